"""Other libraries' logs, kept from telling of patients."""

from __future__ import annotations

import logging

NOISY = ("pynetdicom", "pydicom", "highdicom", "dicomweb_client", "urllib3")


def silence_loggers() -> None:
    """Silence libraries that would write data sets, values or addresses into logs.

    pynetdicom prints whole identifiers and pydicom prints the values that it finds invalid. Call it
    before either is used; it cannot be undone in this process.
    """
    from pynetdicom import _config

    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    for name in NOISY:
        logger = logging.getLogger(name)
        logger.handlers = [logging.NullHandler()]
        logger.propagate = False
        logger.setLevel(logging.CRITICAL + 1)
