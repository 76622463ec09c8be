"""Logging without patient data: silent libraries, and exceptions without their text."""

from __future__ import annotations

import logging
import traceback

LIBRARIES = ("pynetdicom", "pydicom", "highdicom", "dicomweb_client", "urllib3")


def silence_loggers() -> None:
    """Silence libraries that would log data sets, values or addresses.

    pynetdicom logs whole identifiers, and pydicom logs invalid values. Call this before either is
    used; it cannot be undone in this process.
    """
    from pynetdicom import _config

    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers = [logging.NullHandler()]
        logger.propagate = False
        logger.setLevel(logging.CRITICAL + 1)


def describe(error: BaseException) -> str:
    """The type of an exception and its places in the code, without its text.

    The text of an exception may quote a header. Example: ``KeyError at
    suraksha.dicom.network.worker:121, suraksha.dicom.objects.results:57``.
    """
    places = [
        f"{frame.f_globals.get('__name__', 'unknown')}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    kind = type(error).__name__
    return f"{kind} at {', '.join(places)}" if places else kind
