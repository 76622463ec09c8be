"""Logging without content from outside: no file names, no paths, no error messages."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType
from typing import Any

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class PlainFormatter(logging.Formatter):
    """Logs the type and the traceback of an error, but not its message, which may quote a file."""

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802 - the name is logging's
        """The type and the code locations, one per line."""
        kind, _, trace = ei
        places = [
            f"  {frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(trace)
        ]
        return "\n".join([kind.__name__ if kind else "error", *places])

    def format(self, record: logging.LogRecord) -> str:
        """Format a record, ignoring exception text cached by another formatter."""
        record.exc_text = None
        return super().format(record)


def log_config(level: str = "INFO") -> dict[str, Any]:
    """Logging configuration: own messages and server errors to stderr, file readers silenced.

    Args:
        level: Level of the own messages.
    """
    silent = {"handlers": [], "propagate": False, "level": "CRITICAL"}
    own = {"handlers": ["plain"], "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"()": PlainFormatter, "fmt": FORMAT}},
        "handlers": {"plain": {"class": "logging.StreamHandler", "formatter": "plain"}},
        "loggers": {
            "suraksha": {**own, "level": level},
            "uvicorn": {**own, "level": "WARNING"},
            "uvicorn.error": {**own, "level": "WARNING"},
            **{name: dict(silent) for name in ("uvicorn.access", "pydicom", "highdicom", "PIL")},
        },
    }
