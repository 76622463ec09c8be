"""The server: addresses, the page, and what stands around them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

import suraksha
from suraksha.inference.segmenter import Segmenter
from suraksha.web.archive import Archive
from suraksha.web.errors import on_http_error, on_invalid
from suraksha.web.metrics import Metrics
from suraksha.web.middleware.access import AccessControl
from suraksha.web.middleware.access_log import AccessLog
from suraksha.web.middleware.body_limit import BodyLimit
from suraksha.web.routes import api_routes, health_routes
from suraksha.web.service import NOTICE, Service
from suraksha.web.settings import Settings
from suraksha.web.workers import Workers

STATIC = Path(__file__).parent / "static"
DEFAULT_SETTINGS = Settings()


def create_app(segment: Segmenter, settings: Settings = DEFAULT_SETTINGS) -> ASGIApp:
    """A server of one bundle.

    Args:
        segment: Answers the images.
        settings: Bounds, token, names, and whether images are kept.

    Returns:
        What an ASGI server such as Uvicorn runs.
    """
    workers = Workers(settings.limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        workers.close()

    app = FastAPI(
        title="Suraksha",
        version=suraksha.__version__,
        description=NOTICE,
        docs_url=None,  # the framework's own pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(Exception, on_http_error)
    bounded = BodyLimit(app, settings.limits, lambda: workers.overdue)
    metrics = Metrics(lambda: bounded.taken, segment.card.name)
    service = Service(segment, settings.limits, Archive(settings.keep), metrics)
    app.include_router(api_routes(service, workers))
    app.include_router(health_routes(metrics, workers))
    _add_page(app)
    return AccessLog(AccessControl(bounded, settings), metrics)


def _add_page(app: FastAPI) -> None:
    fresh = {"Cache-Control": "no-cache"}

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers=fresh)

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon() -> RedirectResponse:
        return RedirectResponse("/static/icon.svg")

    app.mount("/static", StaticFiles(directory=STATIC))
