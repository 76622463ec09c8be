"""Around every request: headers that keep a browser strict, a line in the log, a count."""

from __future__ import annotations

import logging
import secrets
import time
from http import HTTPMethod

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from suraksha.web.metrics import Metrics

LOG = logging.getLogger("suraksha.web")
METHODS = tuple(method.value for method in HTTPMethod)
POLICY = (
    "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}


class AccessLog:
    """Counts and logs each request by its route, never by what a caller wrote.

    Args:
        app: What is behind it.
        metrics: Where it is counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and tell what became of it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, number, status = time.perf_counter(), secrets.token_hex(6), 0

        async def strict_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update({**HEADERS, "X-Request-ID": number})
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self.app(scope, receive, strict_send)
        finally:
            seconds = time.perf_counter() - start
            route = str(getattr(scope.get("route"), "path", "other"))
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.request(route, method, status=status or 500, seconds=seconds)
            LOG.info("%s %s %s %d %.0f ms", number, method, route, status or 500, 1000 * seconds)
