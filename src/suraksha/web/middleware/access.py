"""Access control: host names, origins and the token, checked before the body is read."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from suraksha.web.errors import HttpError, error_response
from suraksha.web.settings import LOOPBACK, Settings

# paths without patient data that need no token; the page itself asks for the token
PUBLIC_PATHS = ("/", "/healthz", "/readyz", "/openapi.json", "/favicon.ico")
PUBLIC_FOLDER = "/static/"
SAFE_METHODS = ("GET", "HEAD")
OWN_SITES = ("same-origin", "none")


class AccessControl:
    """Accepts requests with an allowed host, an own origin and the token.

    A browser states where a request comes from (``Origin``, ``Sec-Fetch-Site``). Other programs do
    not send these headers, and a foreign web page cannot make them send a request.

    Args:
        app: The wrapped application.
        settings: Token and allowed hosts.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._hosts = {name.lower() for name in (*LOOPBACK, *settings.allowed_hosts)}
        self._token = None if settings.token is None else settings.token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject the request or pass it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            self._check(scope)
        except HttpError as error:
            await error_response(error)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if _hostname(f"//{host}") not in self._hosts or len(headers.getlist("host")) > 1:
            raise HttpError(
                421,
                "host not allowed",
                why="the Host header of the request is not in the list of allowed hosts",
                fix="Use the server's own address, or start it with --allow-host HOST",
            )
        self._check_origin(scope, headers, host)
        if self._token is not None and not _is_public(scope):
            self._check_token(headers)

    def _check_origin(self, scope: Scope, headers: Headers, host: str) -> None:
        if scope["method"] in SAFE_METHODS:
            return
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        # a proxy in front of the server may use TLS where the server does not
        own = {f"{scheme}://{host}".lower() for scheme in (scope["scheme"], "https")}
        same_origin = origin is None or origin.lower() in own
        if not same_origin or site not in OWN_SITES:
            raise HttpError(
                403,
                "cross-origin request rejected",
                why="a browser may send requests only from this server's own page",
                fix="Open this server's address in the browser",
            )

    def _check_token(self, headers: Headers) -> None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        valid = hmac.compare_digest(given.strip().encode(), self._token or b"")
        if scheme.lower() != "bearer" or not valid:
            error = HttpError(
                401,
                "missing or invalid token",
                why="this server requires an access token",
                fix="Send the header 'Authorization: Bearer TOKEN'",
            )
            error.headers = {"WWW-Authenticate": "Bearer"}
            raise error


def _is_public(scope: Scope) -> bool:
    path = scope["path"]
    public = path in PUBLIC_PATHS or path.startswith(PUBLIC_FOLDER)
    return scope["method"] in SAFE_METHODS and public


def _hostname(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
