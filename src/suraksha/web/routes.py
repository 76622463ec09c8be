"""The addresses of the HTTP interface."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute

from suraksha.web.errors import HttpError, body_of
from suraksha.web.exports import EXPORTS
from suraksha.web.metrics import CONTENT_TYPE, Metrics
from suraksha.web.schemas import (
    MAX_POLYGONS_TEXT,
    REFUSALS,
    About,
    Answer,
    ExportForm,
    FramesAnswer,
    FramesForm,
    Measured,
    MeasureForm,
    SegmentForm,
)
from suraksha.web.service import Service
from suraksha.web.workers import Workers

MAX_FIELDS = 64
MULTIPART = "multipart/form-data"
Kind = Literal["png", "mask", "csv", "json", "seg", "sr", "correction"]
Handler = Callable[[Request], Awaitable[Response]]


class _BoundedForm(Request):
    """A request whose form has few parts; the framework takes a thousand."""

    def form(
        self,
        *,
        max_files: float = MAX_FIELDS,
        max_fields: float = MAX_FIELDS,
        max_part_size: int = MAX_POLYGONS_TEXT,
    ) -> Any:  # noqa: ANN401 - the framework's own type
        """The form, whatever bounds the framework asks for."""
        return super().form(
            max_files=MAX_FIELDS, max_fields=MAX_FIELDS, max_part_size=MAX_POLYGONS_TEXT
        )


class _Route(APIRoute):
    def get_route_handler(self) -> Any:  # noqa: ANN401 - the framework's own type
        handler = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            kind = request.headers.get("content-type", "")
            if request.method == "POST" and not kind.lower().startswith(MULTIPART):
                what = "the form is of another kind"
                raise HttpError(415, what, f"only {MULTIPART} is taken", "Send it as that")
            return await handler(_BoundedForm(request.scope, request.receive))

        return bounded


def multipart() -> Any:  # noqa: ANN401 - what FastAPI takes as a mark of a parameter
    """A parameter that is the whole form."""
    return Form(media_type=MULTIPART)


def api_routes(service: Service, workers: Workers) -> APIRouter:
    """``/v1/...``.

    Args:
        service: What they do.
        workers: Where they do it.
    """
    routes = APIRouter(prefix="/v1", route_class=_Route, responses=REFUSALS)

    @routes.get("/about", response_model=About)
    async def about() -> dict[str, Any]:
        """What answers, and what it takes."""
        return _about(service)

    @routes.post("/segment", response_model=Answer)
    async def segment(form: Annotated[SegmentForm, multipart()]) -> JSONResponse:
        """Find and measure lesions in one image or several."""
        return JSONResponse(await workers.run(lambda until: service.answer(form, until)))

    @routes.post("/frames", response_model=FramesAnswer)
    async def frames(form: Annotated[FramesForm, multipart()]) -> JSONResponse:
        """Frames of a clip, a DICOM file or an image, as PNG that a browser can show."""
        return JSONResponse(await workers.run(lambda until: service.frames(form, until)))

    @routes.post("/measure", response_model=Measured)
    async def measure(form: Annotated[MeasureForm, multipart()]) -> JSONResponse:
        """Measure lesions that a person drew."""
        return JSONResponse(await workers.run(lambda until: service.measure(form, until)))

    @routes.post(
        "/export/{kind}",
        response_class=Response,
        responses={200: {"content": {e.media_type: {} for e in EXPORTS.values()}}},
    )
    async def export(kind: Kind, form: Annotated[ExportForm, multipart()]) -> Response:
        """A result, or what a person made of it, as a file."""
        content = await workers.run(lambda until: service.export(kind, form, deadline=until))
        made = EXPORTS[kind]
        name = f'attachment; filename="suraksha-{made.suffix}"'
        return Response(content, 200, {"Content-Disposition": name}, made.media_type)

    return routes


def _about(service: Service) -> dict[str, Any]:
    limits = service.limits
    return {
        **service.about(),
        "intended_use": service.segment.card.intended_use,
        "limits": {
            "upload_mb": limits.upload_mb,
            "pixels": limits.pixels,
            "files": limits.files,
            "frames": limits.frames,
            "requests": limits.requests,
            "seconds": limits.seconds,
        },
        "exports": list(EXPORTS),
        "keeps": service.keeper.keeps,
        "video": find_spec("cv2") is not None,
        "attention": service.explains,
    }


def health_routes(metrics: Metrics, workers: Workers) -> APIRouter:
    """``/healthz``, ``/readyz`` and ``/metrics``."""
    routes = APIRouter()

    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the server lives."""
        return {"status": "ok"}

    @routes.get("/readyz", responses={503: REFUSALS[503]})
    async def readyz() -> JSONResponse:
        """Whether it can answer images."""
        if workers.stuck:
            why = "every worker is busy with what nobody waits for any more"
            return JSONResponse(body_of("not ready", why=why, fix="Restart the server"), 503)
        return JSONResponse({"status": "ready"})

    @routes.get("/metrics", response_class=Response)
    async def numbers() -> Response:
        """Numbers for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    return routes
