"""The ASGI application: API routes, the web page, and the middleware."""

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
from suraksha.web.errors import on_http_error, on_validation_error
from suraksha.web.middleware.access import AccessControl
from suraksha.web.middleware.access_log import AccessLog
from suraksha.web.middleware.body_limit import BodyLimit
from suraksha.web.monitoring import ServerMetrics
from suraksha.web.routes import api_routes, health_routes
from suraksha.web.service import NOTICE, Service
from suraksha.web.settings import Settings
from suraksha.web.workers import Workers

STATIC = Path(__file__).parent / "static"
DEFAULT_SETTINGS = Settings()


def create_app(segment: Segmenter, settings: Settings = DEFAULT_SETTINGS) -> ASGIApp:
    """Create the application for one bundle.

    Args:
        segment: The segmenter.
        settings: Limits, token, allowed hosts, and where results are stored.

    Returns:
        An ASGI application, for a server such as Uvicorn.
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
        docs_url=None,  # the framework's own pages load scripts from other sites
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_exception_handler(Exception, on_http_error)
    limited = BodyLimit(app, settings.limits, overdue=lambda: workers.overdue)
    metrics = ServerMetrics(lambda: limited.in_flight, segment.card.name)
    service = Service(
        segment=segment, limits=settings.limits, archive=Archive(settings.keep), metrics=metrics
    )
    app.include_router(api_routes(service, workers))
    app.include_router(health_routes(metrics, workers))
    _add_page(app)
    return AccessLog(AccessControl(limited, settings), metrics)


def _add_page(app: FastAPI) -> None:
    revalidate = {"Cache-Control": "no-cache"}

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers=revalidate)

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon() -> RedirectResponse:
        return RedirectResponse("/static/icon.svg")

    app.mount("/static", StaticFiles(directory=STATIC))
