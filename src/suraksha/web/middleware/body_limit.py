"""How much may be sent and asked at once: size, time and slots, held while a body streams in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from suraksha.web.errors import HttpError, response_of
from suraksha.web.settings import Limits

# after a refusal the rest of a body is read and dropped for so long, or the caller, who is still
# sending, would see a broken connection and not the answer
DRAIN_S = 2.0
READS_NOTHING = ("GET", "HEAD")


class BodyLimit:
    """Lets so many requests with a body through at once, and each so many bytes and seconds.

    Args:
        app: What is behind it.
        limits: The bounds.
        overdue: Tells how many workers are still busy with requests that were given up.
    """

    def __init__(self, app: ASGIApp, limits: Limits, overdue: Callable[[], int]) -> None:
        self.app, self._limits, self._overdue = app, limits, overdue
        self.taken = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass the request on with a body that is counted."""
        if scope["type"] != "http" or scope["method"] in READS_NOTHING:
            await self.app(scope, receive, send)
            return
        body = _Body(receive, self._limits)
        try:
            self._check(Headers(scope=scope))
        except HttpError as refused:
            await body.drain()
            await response_of(refused)(scope, receive, send)
            return
        self.taken += 1
        try:
            await self.app(scope, body, send)
        finally:
            self.taken -= 1

    def _check(self, headers: Headers) -> None:
        if self.taken + self._overdue() >= self._limits.requests:
            raise HttpError(
                429,
                "the server is busy",
                f"it takes {self._limits.requests} requests at once",
                "Try again after the seconds of Retry-After",
                retry_s=1,
            )
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._limits.upload_bytes:
            raise _too_large(self._limits)


def _too_large(limits: Limits) -> HttpError:
    return HttpError(
        413,
        "the upload is too large",
        f"this server takes {limits.upload_mb} MiB a request",
        "Send fewer images or a shorter clip, or start it with a greater --max-upload",
    )


class _Body:
    """Receives a body, counts it and watches the time."""

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive, self._limits = receive, limits
        self._count, self._ended = 0, False
        self._due = asyncio.get_running_loop().time() + limits.seconds

    async def __call__(self) -> Message:
        if self._ended:  # what waits for the caller to hang up has all the time
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._due):
                message = await self._receive()
        except TimeoutError as error:
            raise HttpError(
                408,
                "the upload took too long",
                f"it was not here after {self._limits.seconds:.0f} s",
                "Send it again, or send less",
            ) from error
        self._count += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        if self._count > self._limits.upload_bytes:
            await self.drain()
            raise _too_large(self._limits)
        return message

    async def drain(self) -> None:
        """Read and drop what is still coming, for a short while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while not self._ended:
                    message = await self._receive()
                    self._ended = not message.get("more_body", False)
