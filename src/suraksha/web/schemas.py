"""Request forms and response models of the HTTP API; ``/openapi.json`` is generated from them.

The responses are built by `suraksha.web.service` from `suraksha.reporting.records`; a test keeps
the models equal to what is sent.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field

from suraksha.types import MAX_SPACING_MM, MIN_SPACING_MM

Part = Literal["image", "mask", "overlay", "attention", "classes"]
ExportKind = Literal["png", "mask", "csv", "json", "seg", "sr", "correction"]
MAX_FRAME = 19_999
MAX_SIDE = 8192
MAX_POLYGONS_TEXT = 4_000_000
KEPT_ID = r"^[0-9]{8}T[0-9]{6}-[0-9a-f]{12}$"

FrameIndex = Annotated[int, Field(ge=0, le=MAX_FRAME, description="Index of the frame, from 0")]
SpacingMm = Annotated[
    float | None,
    Field(
        ge=MIN_SPACING_MM,
        le=MAX_SPACING_MM,
        allow_inf_nan=False,
        description="Millimetres per pixel, overriding the spacing in the file",
    ),
]
PAIR = {"min_length": 2, "max_length": 2}
Point = Annotated[list[float], Field(**PAIR, description="[row, col] coordinate")]
LineSegment = Annotated[list[Point], Field(**PAIR, description="The two end points")]
BoxRecord = Annotated[
    list[int],
    Field(
        min_length=4,
        max_length=4,
        description="[row_min, col_min, row_max, col_max] in pixels, the last two exclusive",
    ),
]
Shape = Annotated[list[int], Field(**PAIR, description="[rows, columns]")]
SpacingPair = Annotated[
    list[float], Field(**PAIR, description="[row, col] size of a pixel in millimetres")
]
PngText = Annotated[str, Field(description="PNG in base64")]


class StrictForm(BaseModel):
    """Base of all forms: unknown fields are rejected."""

    model_config = ConfigDict(extra="forbid")


class FramesForm(StrictForm):
    """A file whose frames are to be returned as images."""

    file: UploadFile = Field(description="PNG, JPEG, TIFF, BMP, DICOM, MP4, AVI or MKV")
    frame: FrameIndex = 0
    count: Annotated[int, Field(ge=1, le=1024, description="Number of frames")] = 1


class SegmentForm(StrictForm):
    """Files to segment and measure."""

    files: Annotated[list[UploadFile], Field(min_length=1, description="One file or several")]
    frame: FrameIndex = 0
    count: Annotated[
        int, Field(ge=1, le=1024, description="Number of frames of each file, from 'frame'")
    ] = 1
    spacing_mm: SpacingMm = None
    parts: list[Part] = Field(
        default=[], description="Optional parts of each result; images are PNG in base64"
    )


class AnnotationForm(StrictForm):
    """Lesions drawn by a person, as a mask or as polygons."""

    mask: UploadFile | None = Field(
        None, description="PNG with the size of the image, white in lesions and black elsewhere"
    )
    polygons: str | None = Field(
        None,
        max_length=MAX_POLYGONS_TEXT,
        description="Instead of a mask: JSON, a list of polygons of [row, col] coordinates",
    )


class MeasureForm(AnnotationForm):
    """An annotation to measure, on an image or on an empty image of a given size."""

    file: UploadFile | None = Field(None, description="The image; otherwise give rows and columns")
    frame: FrameIndex = 0
    spacing_mm: SpacingMm = None
    rows: Annotated[int | None, Field(ge=1, le=MAX_SIDE)] = None
    columns: Annotated[int | None, Field(ge=1, le=MAX_SIDE)] = None


class ExportForm(AnnotationForm):
    """An image to export, and optionally the annotation that replaces the network's mask."""

    file: UploadFile
    frame: FrameIndex = 0
    spacing_mm: SpacingMm = None
    kept: str | None = Field(
        None, pattern=KEPT_ID, description="Id of a stored result, to store a correction with it"
    )


class ErrorDetail(BaseModel):
    """What is wrong, why, and what to do."""

    what: str
    why: str
    fix: str


class ErrorResponse(BaseModel):
    """The response of every request that fails."""

    error: ErrorDetail


class LesionRecord(BaseModel):
    """A lesion: lengths in pixels, and in millimetres where the spacing is known."""

    label: int = Field(description="1 for the largest lesion of the image")
    area_px: int
    bbox: BoxRecord
    centroid: Point
    long_axis_px: float = Field(description="Maximum caliper diameter")
    short_axis_px: float = Field(description="Caliper width perpendicular to the long axis")
    long_axis_ends: LineSegment
    short_axis_ends: LineSegment
    perimeter_px: float
    depth_px: float = Field(description="From the top edge of the image to the nearest point")
    circularity: float = Field(description="4 pi area / perimeter^2; 1 for a disc")
    solidity: float = Field(description="Area / area of the convex hull")
    taller_than_wide: bool
    area_mm2: float | None
    long_axis_mm: float | None
    short_axis_mm: float | None
    perimeter_mm: float | None
    depth_mm: float | None
    confidence: float | None = Field(
        description="Calibrated, 0 to 1; null for lesions drawn by a person"
    )


class PatchRecord(BaseModel):
    """A part of the image that was passed to the network."""

    box: BoxRecord
    size: Shape = Field(description="[rows, columns] after resizing")


class ScanRecord(BaseModel):
    """A part of the image that shows a scan."""

    box: BoxRecord
    spacing_mm: SpacingPair | None
    why_no_spacing: str = Field(description="Empty if the spacing is known")


class AttentionMap(BaseModel):
    """An attention map, scaled to 0..255."""

    png: PngText
    min: float = Field(description="Weight at grey value 0")
    max: float = Field(description="Weight at grey value 255")


class AttentionRecord(BaseModel):
    """The attention maps of the network."""

    box: BoxRecord = Field(description="Part of the image that the maps cover")
    maps: dict[str, AttentionMap]


class DecisionSupport(BaseModel):
    """Class probabilities of the whole image, for research."""

    use: str
    classes: dict[str, float]


class FrameRecord(BaseModel):
    """The result of one frame."""

    image: str = Field(description="The server's name: image-1 for the first file")
    frame_index: int = Field(description="Index of the frame in the file, from 0")
    shape: Shape
    spacing_mm: SpacingPair | None
    spacing_source: str | None
    lesions: list[LesionRecord] = Field(description="Largest first")
    needs_review: bool
    review: list[str] = Field(description="Reasons why a person should review the result")
    bundle: str
    model_sha256: str
    patches: list[PatchRecord]
    latency_ms: dict[str, float] = Field(description="Milliseconds per processing stage")
    contours: list[list[Point]] = Field(description="Closed outer contours, one per lesion")
    scans: list[ScanRecord]
    kind: Literal["image", "dicom", "video"]
    frames: int = Field(description="Number of frames according to the file")
    fps: float | None
    why_no_spacing: str | None = None
    regions: list[BoxRecord] | None = Field(None, description="Scan regions of a DICOM file")
    frame: int | None = Field(None, description="DICOM frame number, from 1")
    image_png: PngText | None = None
    mask_png: PngText | None = None
    overlay_png: PngText | None = None
    attention: AttentionRecord | None = None
    decision_support: DecisionSupport | None = None


class FailedFile(BaseModel):
    """A file of a request with several files that could not be segmented."""

    image: str
    error: ErrorDetail


class SegmentResponse(BaseModel):
    """A result for each frame, in the order of the files, or the error of a file that failed."""

    notice: str
    version: str
    bundle: str
    model_sha256: str
    results: list[FrameRecord | FailedFile]
    kept: str | None = Field(None, description="Id of the stored result, if the server stores them")


class FramesResponse(BaseModel):
    """Frames of one file as images."""

    kind: Literal["image", "dicom", "video"]
    frames: int = Field(
        description="Number of frames according to the file; a video may have fewer"
    )
    fps: float | None
    frame: int = Field(description="Index of the first returned frame, from 0")
    shape: Shape
    ended: bool = Field(description="Whether the file has no further frames")
    images: list[PngText]


class MeasureResponse(BaseModel):
    """The measured lesions of an annotation."""

    shape: Shape
    spacing_mm: SpacingPair | None
    lesions: list[LesionRecord]
    contours: list[list[Point]] = Field(description="Closed outer contours, one per lesion")


class LimitsRecord(BaseModel):
    """The limits of requests."""

    max_upload_mb: int
    max_pixels: int
    max_files: int
    max_frames: int
    max_requests: int
    workers: int
    timeout_s: float


class ServerInfo(BaseModel):
    """The bundle, the limits and the features of the server."""

    notice: str
    intended_use: str
    version: str
    bundle: str
    model_sha256: str
    limits: LimitsRecord
    exports: list[ExportKind]
    keeps: bool = Field(description="Whether the server stores images and results")
    video: bool = Field(description="Whether videos can be read")
    attention: bool = Field(description="Whether the bundle has attention maps")


class Status(BaseModel):
    """State of the server."""

    status: str


ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": text}
    for status, text in {
        400: "The form cannot be parsed",
        401: "Missing or invalid token",
        403: "Cross-origin request",
        404: "No stored result has this id",
        408: "The upload timed out",
        413: "Too many bytes, pixels, files or frames",
        415: "Unsupported file type",
        421: "Host not allowed",
        422: "Invalid field or file",
        429: "The server is busy; see Retry-After",
        501: "An optional dependency is not installed",
        503: "The request timed out; see Retry-After",
        507: "The disk is full or failing, or the response is too large",
    }.items()
}
