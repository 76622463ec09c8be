"""The routes of the HTTP API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute

from suraksha.web.errors import HttpError, error_body
from suraksha.web.exports import EXPORT_FORMATS
from suraksha.web.monitoring import CONTENT_TYPE, ServerMetrics
from suraksha.web.schemas import (
    ERROR_RESPONSES,
    MAX_POLYGONS_TEXT,
    ExportForm,
    ExportKind,
    FramesForm,
    FramesResponse,
    MeasureForm,
    MeasureResponse,
    SegmentForm,
    SegmentResponse,
    ServerInfo,
    Status,
)
from suraksha.web.service import Service
from suraksha.web.workers import Workers

MAX_FIELDS = 64
MULTIPART = "multipart/form-data"
Handler = Callable[[Request], Awaitable[Response]]


class _FormRequest(Request):
    """A request whose form has few parts; the framework's default limit is a thousand."""

    def form(
        self,
        *,
        max_files: float = MAX_FIELDS,
        max_fields: float = MAX_FIELDS,
        max_part_size: int = MAX_POLYGONS_TEXT,
    ) -> Any:  # noqa: ANN401 - the framework's own type
        """The form; the limits that the framework passes are ignored."""
        return super().form(
            max_files=MAX_FIELDS, max_fields=MAX_FIELDS, max_part_size=MAX_POLYGONS_TEXT
        )


class _FormRoute(APIRoute):
    """A route that accepts only multipart forms, with a limited number of parts."""

    def get_route_handler(self) -> Any:  # noqa: ANN401 - the framework's own type
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            content_type = request.headers.get("content-type", "")
            if request.method == "POST" and not content_type.lower().startswith(MULTIPART):
                raise HttpError(
                    415,
                    "unsupported content type",
                    why=f"only {MULTIPART} is supported",
                    fix=f"Send the form as {MULTIPART}",
                )
            return await handler(_FormRequest(request.scope, request.receive))

        return handle


def multipart() -> Any:  # noqa: ANN401 - what FastAPI expects as the marker of a parameter
    """Marks a parameter as the whole multipart form."""
    return Form(media_type=MULTIPART)


def api_routes(service: Service, workers: Workers) -> APIRouter:
    """The routes below ``/v1``.

    Args:
        service: The operations.
        workers: The threads that run them.
    """
    routes = APIRouter(prefix="/v1", route_class=_FormRoute, responses=ERROR_RESPONSES)

    @routes.get("/about", response_model=ServerInfo)
    async def about() -> dict[str, Any]:
        """The bundle, the limits and the features of the server."""
        return service.server_info()

    @routes.post("/segment", response_model=SegmentResponse)
    async def segment(form: Annotated[SegmentForm, multipart()]) -> JSONResponse:
        """Segment and measure lesions in one file or several."""
        return JSONResponse(await workers.run(lambda due: service.segment_files(form, due)))

    @routes.post("/frames", response_model=FramesResponse)
    async def frames(form: Annotated[FramesForm, multipart()]) -> JSONResponse:
        """Return frames of a clip, a DICOM file or an image as PNG."""
        return JSONResponse(await workers.run(lambda due: service.read_frames(form, due)))

    @routes.post("/measure", response_model=MeasureResponse)
    async def measure(form: Annotated[MeasureForm, multipart()]) -> JSONResponse:
        """Measure lesions drawn by a person."""
        return JSONResponse(await workers.run(lambda due: service.measure(form, due)))

    @routes.post(
        "/export/{kind}",
        response_class=Response,
        responses={200: {"content": {e.media_type: {} for e in EXPORT_FORMATS.values()}}},
    )
    async def export(kind: ExportKind, form: Annotated[ExportForm, multipart()]) -> Response:
        """Export a result, or a person's correction of it, as a file."""
        content = await workers.run(lambda due: service.export(kind, form, deadline=due))
        file = EXPORT_FORMATS[kind]
        disposition = f'attachment; filename="suraksha-{file.suffix}"'
        return Response(content, 200, {"Content-Disposition": disposition}, file.media_type)

    return routes


def health_routes(metrics: ServerMetrics, workers: Workers) -> APIRouter:
    """``/healthz``, ``/readyz`` and ``/metrics``."""
    routes = APIRouter()

    @routes.get("/healthz", response_model=Status)
    async def healthz() -> dict[str, str]:
        """Whether the server is running."""
        return {"status": "ok"}

    @routes.get("/readyz", response_model=Status, responses={503: ERROR_RESPONSES[503]})
    async def readyz() -> JSONResponse:
        """Whether the server can process requests."""
        if workers.stuck:
            why = "every worker is busy with a request that timed out"
            return JSONResponse(error_body("not ready", why=why, fix="Restart the server"), 503)
        return JSONResponse({"status": "ready"})

    @routes.get("/metrics", response_class=Response)
    async def prometheus() -> Response:
        """Metrics in the Prometheus text format."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    return routes
