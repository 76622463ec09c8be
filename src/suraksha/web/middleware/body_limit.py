"""Limits of request bodies: size, upload time, and number of concurrent requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from suraksha.web.errors import HttpError, error_response
from suraksha.web.settings import RequestLimits

# After a rejection the rest of the body is read and discarded for this long. Otherwise a client
# that is still sending would see a broken connection instead of the response.
DRAIN_S = 2.0
BODYLESS_METHODS = ("GET", "HEAD")


class BodyLimit:
    """Limits the number of concurrent requests with a body, and the size and time of each body.

    Args:
        app: The wrapped application.
        limits: The limits.
        overdue: Returns the number of workers still busy with requests that timed out.
    """

    def __init__(self, app: ASGIApp, limits: RequestLimits, *, overdue: Callable[[], int]) -> None:
        self.app, self._limits, self._overdue = app, limits, overdue
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject the request, or pass it on with a limited body."""
        if scope["type"] != "http" or scope["method"] in BODYLESS_METHODS:
            await self.app(scope, receive, send)
            return
        body = _LimitedBody(receive, self._limits)
        try:
            self._check(Headers(scope=scope))
        except HttpError as error:
            await body.drain()
            await error_response(error)(scope, receive, send)
            return
        self.in_flight += 1
        try:
            await self.app(scope, body, send)
        finally:
            self.in_flight -= 1

    def _check(self, headers: Headers) -> None:
        if self.in_flight + self._overdue() >= self._limits.max_requests:
            raise HttpError(
                429,
                "the server is busy",
                why=f"it accepts {self._limits.max_requests} concurrent requests",
                fix="Try again after the number of seconds in Retry-After",
                retry_s=1,
            )
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._limits.max_upload_bytes:
            raise _too_large(self._limits)


def _too_large(limits: RequestLimits) -> HttpError:
    return HttpError(
        413,
        "the upload is too large",
        why=f"the limit of this server is {limits.max_upload_mb} MiB per request",
        fix="Send fewer images or a shorter video, or start the server with a larger "
        "--max-upload-mb",
    )


class _LimitedBody:
    """Receives a body, and limits its size and upload time."""

    def __init__(self, receive: Receive, limits: RequestLimits) -> None:
        self._receive, self._limits = receive, limits
        self._count, self._ended = 0, False
        self._due = asyncio.get_running_loop().time() + limits.timeout_s

    async def __call__(self) -> Message:
        if self._ended:  # waiting for the client to disconnect has no time limit
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._due):
                message = await self._receive()
        except TimeoutError as error:
            raise HttpError(
                408,
                "the upload timed out",
                why=f"it was not complete after {self._limits.timeout_s:.0f} s",
                fix="Send it again, or send fewer or smaller files",
            ) from error
        self._count += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        if self._count > self._limits.max_upload_bytes:
            await self.drain()
            raise _too_large(self._limits)
        return message

    async def drain(self) -> None:
        """Read and discard the rest of the body, for at most `DRAIN_S` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while not self._ended:
                    message = await self._receive()
                    self._ended = not message.get("more_body", False)
