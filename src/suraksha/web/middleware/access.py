"""Who may ask: names of the host, origins and the token, looked at before anything is read."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from suraksha.web.errors import HttpError, response_of
from suraksha.web.settings import LOOPBACK, Settings

# addresses that hold no image and no number of one; the page itself asks for the token
OPEN = ("/", "/healthz", "/readyz", "/openapi.json", "/favicon.ico")
OPEN_FOLDER = "/static/"
SAFE_METHODS = ("GET", "HEAD")
OWN_SITES = ("same-origin", "none")


class AccessControl:
    """Lets requests through that call us by our name, from our own page, with the token.

    A browser says where a request comes from (``Origin``, ``Sec-Fetch-Site``); programs that are no
    browsers say nothing, and cannot be made to ask by a page of somebody else.

    Args:
        app: What is behind it.
        settings: Token and names.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._hosts = {name.lower() for name in (*LOOPBACK, *settings.hosts)}
        self._token = None if settings.token is None else settings.token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refusal, or pass the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            self._check(scope)
        except HttpError as refused:
            await response_of(refused)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if _hostname(f"//{host}") not in self._hosts or len(headers.getlist("host")) > 1:
            raise HttpError(
                421,
                "the server does not answer to that name",
                "it is not among its own, which keeps foreign pages out",
                "Call it by its name, or start it with --name NAME",
            )
        self._check_origin(scope, headers, host)
        if self._token is not None and not _is_open(scope):
            self._check_token(headers)

    def _check_origin(self, scope: Scope, headers: Headers, host: str) -> None:
        if scope["method"] in SAFE_METHODS:
            return
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        # a proxy in front may speak TLS where we do not
        own = {f"{scheme}://{host}".lower() for scheme in (scope["scheme"], "https")}
        ours = origin is None or origin.lower() in own
        if not ours or site not in OWN_SITES:
            raise HttpError(
                403,
                "the request comes from another page",
                "only the server's own page may ask in a browser",
                "Open the server's own address",
            )

    def _check_token(self, headers: Headers) -> None:
        kind, _, given = headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode(), self._token or b"")
        if kind.lower() != "bearer" or not right:
            refused = HttpError(
                401,
                "the token is missing or wrong",
                "this server was started with a token",
                "Send the header 'Authorization: Bearer TOKEN'",
            )
            refused.headers = {"WWW-Authenticate": "Bearer"}
            raise refused


def _is_open(scope: Scope) -> bool:
    path = scope["path"]
    return scope["method"] in SAFE_METHODS and (path in OPEN or path.startswith(OPEN_FOLDER))


def _hostname(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
