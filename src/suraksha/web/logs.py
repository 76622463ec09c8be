"""Logs without anything that came from outside: no names, no paths, no text of errors."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType
from typing import Any

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class PlainFormatter(logging.Formatter):
    """Tells of an error its type and places, not its text, which may quote a file."""

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802 - the name is logging's
        """The type and the places, one a line."""
        kind, _, trace = ei
        places = [
            f"  {frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(trace)
        ]
        return "\n".join([kind.__name__ if kind else "error", *places])

    def format(self, record: logging.LogRecord) -> str:
        """Without what another formatter has kept on the record."""
        record.exc_text = None
        return super().format(record)


def log_config(level: str = "INFO") -> dict[str, Any]:
    """Our own lines and the server's faults to standard error; libraries that read files stay mute.

    Args:
        level: Of our own lines.
    """
    mute = {"handlers": [], "propagate": False, "level": "CRITICAL"}
    ours = {"handlers": ["plain"], "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"()": PlainFormatter, "fmt": FORMAT}},
        "handlers": {"plain": {"class": "logging.StreamHandler", "formatter": "plain"}},
        "loggers": {
            "suraksha": {**ours, "level": level},
            "uvicorn": {**ours, "level": "WARNING"},
            "uvicorn.error": {**ours, "level": "WARNING"},
            **{name: dict(mute) for name in ("uvicorn.access", "pydicom", "highdicom", "PIL")},
        },
    }
