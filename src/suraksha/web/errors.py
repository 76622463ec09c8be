"""Errors as HTTP tells them: a status, and JSON with what, why and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from suraksha.errors import BusyError, MissingExtraError, SurakshaError, UnsuitableError

# what a plain status means here: why, and what to do
PLAIN: Mapping[int, tuple[str, str]] = {
    400: ("the request cannot be understood", "Send a form of the kind multipart/form-data"),
    404: ("there is nothing under that address", "See /openapi.json for what there is"),
    405: ("the address does not take that method", "See /openapi.json for what it takes"),
    500: ("the server made a mistake", "Tell the developers what was asked, without the image"),
}
UNKNOWN = ("the request cannot be answered", "See /openapi.json for what can be asked")


class HttpError(HTTPException):
    """A request that is not answered.

    Args:
        status: HTTP status.
        what: What is wrong.
        why: Why it is wrong.
        fix: What the caller can do about it.
        retry_s: After how many seconds it can be tried again, where that helps.
    """

    def __init__(
        self, status: int, what: str, why: str, fix: str, retry_s: int | None = None
    ) -> None:
        headers = None if retry_s is None else {"Retry-After": str(retry_s)}
        super().__init__(status, what, headers)
        self.what, self.why, self.fix = what, why, fix


def body_of(what: str, *, why: str, fix: str) -> dict[str, dict[str, str]]:
    """The JSON of an error."""
    return {"error": {"what": what, "why": why, "fix": fix}}


def response_of(refused: HttpError) -> JSONResponse:
    """The response that tells a refusal."""
    content = body_of(refused.what, why=refused.why, fix=refused.fix)
    return JSONResponse(content, refused.status_code, refused.headers)


def told(error: SurakshaError | OSError | MemoryError, *, folder: Path, name: str) -> HttpError:
    """A failure on one image as a refusal, without any path of this computer.

    Args:
        error: What was raised.
        folder: Private folder of the request, whose paths are taken out.
        name: Our own name of the image.
    """
    if isinstance(error, MemoryError):
        return HttpError(
            413, f"{name} is too large", "the memory does not suffice", "Scale it down"
        )
    if isinstance(error, OSError):
        return HttpError(
            507, f"{name} cannot be worked on", "the disk is full or fails", "Try later"
        )
    what, why, fix = (_hidden(part, folder, name) for part in (error.what, error.why, error.fix))
    if isinstance(error, MissingExtraError):
        return HttpError(501, what, why, fix)
    if isinstance(error, BusyError):
        return HttpError(429, what, why, fix, retry_s=1)
    if isinstance(error, UnsuitableError):
        fix = "If it is one, it takes a server that was started with --any-image"
    return HttpError(422, what, why, fix)


def _hidden(text: str, folder: Path, name: str) -> str:
    for path in sorted(folder.glob("*")):
        text = text.replace(str(path), name)
    return text.replace(str(folder), name).replace(f"'{name}'", name)


async def on_http_error(_: Request, error: Exception) -> JSONResponse:
    """Errors of the framework and our own refusals."""
    if isinstance(error, HttpError):
        return response_of(error)
    status = error.status_code if isinstance(error, HTTPException) else 500
    why, fix = PLAIN.get(status, UNKNOWN)
    phrase = HTTPStatus(status).phrase.lower()
    headers = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse(body_of(phrase, why=why, fix=fix), status, headers)


async def on_invalid(_: Request, error: Exception) -> JSONResponse:
    """Fields that are missing, unknown or out of range; what was sent is not repeated."""
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    places = sorted({_field(fault["loc"]) for fault in faults}) or ["the form"]
    reasons = "; ".join(sorted({_reason(fault) for fault in faults})[:4]) or "it does not fit"
    what = f"cannot use {', '.join(places[:4])}"
    content = body_of(what, why=reasons, fix="See /openapi.json for what is taken")
    return JSONResponse(content, 422)


def _field(place: tuple[int | str, ...]) -> str:
    """The name of a field of ours, or what else is wrong; names that a caller made up are cut."""
    parts = [str(part) for part in place if part not in ("body", "query", "path")]
    return "".join(c for c in ".".join(parts) if c.isalnum() or c in "._")[:40] or "the form"


def _reason(fault: Mapping[str, object]) -> str:
    return str(fault["msg"]).replace("\n", " ")[:160].rstrip(".")
