"""HTTP errors: a status, and a JSON body that says what is wrong, why, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from suraksha.errors import BusyError, MissingExtraError, SurakshaError, UnsuitableError

# why and fix of errors that the framework raises with a status only
STATUS_HELP: Mapping[int, tuple[str, str]] = {
    400: ("the request could not be parsed", "Send a form of type multipart/form-data"),
    404: ("no resource has this path", "See /openapi.json for the available paths"),
    405: ("the path does not support this method", "See /openapi.json for the supported methods"),
    500: ("an internal error occurred", "Report it with the request, but without the image"),
}
DEFAULT_HELP = ("the request could not be processed", "See /openapi.json for valid requests")


class HttpError(HTTPException):
    """A request that is rejected.

    Args:
        status: HTTP status code.
        what: What is wrong.
        why: Why it is wrong.
        fix: What the client can do about it.
        retry_s: Seconds for the Retry-After header; None to send no such header.
    """

    def __init__(
        self, status: int, what: str, *, why: str, fix: str, retry_s: int | None = None
    ) -> None:
        headers = None if retry_s is None else {"Retry-After": str(retry_s)}
        super().__init__(status, what, headers)
        self.what, self.why, self.fix = what, why, fix


def error_body(what: str, *, why: str, fix: str) -> dict[str, dict[str, str]]:
    """The JSON body of an error."""
    return {"error": {"what": what, "why": why, "fix": fix}}


def error_response(error: HttpError) -> JSONResponse:
    """The response for an `HttpError`."""
    content = error_body(error.what, why=error.why, fix=error.fix)
    return JSONResponse(content, error.status_code, error.headers)


def to_http_error(
    error: SurakshaError | OSError | MemoryError, *, folder: Path, name: str
) -> HttpError:
    """Convert an error raised while processing an image; no path of the server is revealed.

    Args:
        error: The error.
        folder: The request's temporary folder, whose paths are removed from the texts.
        name: The server's name for the image, such as ``image-1``.
    """
    if isinstance(error, MemoryError):
        return HttpError(
            413,
            f"{name} is too large",
            why="the server ran out of memory",
            fix="Reduce the size of the image",
        )
    if isinstance(error, OSError):
        return HttpError(
            507,
            f"{name} could not be processed",
            why="the server's disk is full or failing",
            fix="Try again later",
        )
    what, why, fix = (
        _without_paths(part, folder, name) for part in (error.what, error.why, error.fix)
    )
    if isinstance(error, MissingExtraError):
        return HttpError(501, what, why=why, fix=fix)
    if isinstance(error, BusyError):
        return HttpError(429, what, why=why, fix=fix, retry_s=1)
    if isinstance(error, UnsuitableError):
        fix = "If it is one, restart the server with --no-input-check"
    return HttpError(422, what, why=why, fix=fix)


def _without_paths(text: str, folder: Path, name: str) -> str:
    for path in sorted(folder.glob("*")):
        text = text.replace(str(path), name)
    return text.replace(str(folder), name).replace(f"'{name}'", name)


async def on_http_error(_: Request, error: Exception) -> JSONResponse:
    """Handle `HttpError`, the framework's HTTP errors, and any other exception as a 500."""
    if isinstance(error, HttpError):
        return error_response(error)
    status = error.status_code if isinstance(error, HTTPException) else 500
    why, fix = STATUS_HELP.get(status, DEFAULT_HELP)
    phrase = HTTPStatus(status).phrase.lower()
    headers = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse(error_body(phrase, why=why, fix=fix), status, headers)


async def on_validation_error(_: Request, error: Exception) -> JSONResponse:
    """Handle fields that are missing, unknown or out of range, without repeating their values."""
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    fields = sorted({_field(fault["loc"]) for fault in faults}) or ["the form"]
    reasons = "; ".join(sorted({_reason(fault) for fault in faults})[:4]) or "it is not valid"
    what = f"invalid value for {', '.join(fields[:4])}"
    content = error_body(what, why=reasons, fix="See /openapi.json for the accepted fields")
    return JSONResponse(content, 422)


def _field(location: tuple[int | str, ...]) -> str:
    """The name of a field; characters that a client could abuse are removed, and it is cut."""
    parts = [str(part) for part in location if part not in ("body", "query", "path")]
    return "".join(c for c in ".".join(parts) if c.isalnum() or c in "._")[:40] or "the form"


def _reason(fault: Mapping[str, object]) -> str:
    return str(fault["msg"]).replace("\n", " ")[:160].rstrip(".")
