"""Forms and answers of the HTTP interface, from which ``/openapi.json`` is made."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field

from suraksha.types import MAX_SPACING_MM, MIN_SPACING_MM

Part = Literal["image", "mask", "overlay", "attention", "classes"]
MAX_FRAME = 19_999
MAX_SIDE = 8192
MAX_POLYGONS_TEXT = 4_000_000
KEPT = r"^[0-9]{8}T[0-9]{6}-[0-9a-f]{12}$"

Frame = Annotated[int, Field(ge=0, le=MAX_FRAME, description="Which frame, from 0")]
SpacingMm = Annotated[
    float | None,
    Field(
        ge=MIN_SPACING_MM,
        le=MAX_SPACING_MM,
        allow_inf_nan=False,
        description="Millimetres per pixel, in place of what the file tells",
    ),
]


class Form(BaseModel):
    """What all forms have in common: fields that are not known are refused."""

    model_config = ConfigDict(extra="forbid")


class FramesForm(Form):
    """A file whose frames are wanted as images."""

    file: UploadFile = Field(description="PNG, JPEG, TIFF, BMP, DICOM, MP4, AVI or MKV")
    frame: Frame = 0
    count: Annotated[int, Field(ge=1, le=1024, description="How many frames")] = 1


class SegmentForm(Form):
    """Files that are to be segmented and measured."""

    files: Annotated[
        list[UploadFile], Field(min_length=1, description="One image, or several as a batch")
    ]
    frame: Frame = 0
    count: Annotated[int, Field(ge=1, le=1024, description="How many frames of each file")] = 1
    spacing_mm: SpacingMm = None
    parts: list[Part] = Field(
        default=[],
        description="What the answer holds besides the record; images are PNG in base64",
    )


class Drawing(Form):
    """A contour that a person has drawn or changed."""

    mask: UploadFile | None = Field(
        None, description="PNG of the image's size, white in lesions and black elsewhere"
    )
    polygons: str | None = Field(
        None,
        max_length=MAX_POLYGONS_TEXT,
        description="In place of a mask: JSON, a list of polygons of [row, col] coordinates",
    )


class MeasureForm(Drawing):
    """A drawing that is to be measured, on an image or on its size alone."""

    file: UploadFile | None = Field(None, description="The image; else give rows and columns")
    frame: Frame = 0
    spacing_mm: SpacingMm = None
    rows: Annotated[int | None, Field(ge=1, le=MAX_SIDE)] = None
    columns: Annotated[int | None, Field(ge=1, le=MAX_SIDE)] = None


class ExportForm(Drawing):
    """An image, and the drawing that replaces what the network finds, if there is one."""

    file: UploadFile
    frame: Frame = 0
    spacing_mm: SpacingMm = None
    kept: str | None = Field(
        None, pattern=KEPT, description="Id of a kept result, to put a correction beside it"
    )


class ErrorText(BaseModel):
    """What is wrong, why, and what to do."""

    what: str
    why: str
    fix: str


class ErrorAnswer(BaseModel):
    """Every refusal has this form."""

    error: ErrorText


class Answer(BaseModel):
    """A record for each frame, in the order of the files; one that failed holds its error."""

    notice: str
    version: str
    bundle: str
    model_sha256: str
    results: list[dict[str, Any]]
    kept: str | None = Field(None, description="Id under which the server kept it, if it keeps")


class FramesAnswer(BaseModel):
    """Frames of one file as images."""

    kind: str
    frames: int = Field(description="How many the file tells of; a video may have fewer")
    fps: float | None
    frame: int
    shape: list[int]
    ended: bool = Field(description="Whether the file ends with these")
    images: list[str] = Field(description="PNG in base64")


class Measured(BaseModel):
    """Lesions of a drawing, as in the record of a result."""

    shape: list[int]
    spacing_mm: list[float] | None
    lesions: list[dict[str, Any]]
    contours: list[list[list[float]]] = Field(description="[row, col], closed, one a lesion")


class About(BaseModel):
    """What answers, and what it takes."""

    notice: str
    intended_use: str
    version: str
    bundle: str
    model_sha256: str
    limits: dict[str, float]
    exports: list[str]
    keeps: bool
    video: bool
    attention: bool


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": text}
    for status, text in {
        400: "The form cannot be parsed",
        401: "The token is missing or wrong",
        403: "The request comes from another page",
        404: "Nothing is kept under that id",
        408: "The upload took too long",
        413: "Too many bytes or pixels",
        415: "A kind of file that is not taken",
        421: "The server does not answer to that name",
        422: "A field or file that cannot be used",
        429: "Busy; see Retry-After",
        501: "An optional part is not installed",
        503: "The answer took too long; see Retry-After",
        507: "The disk is full or fails, or the answer would be too large",
    }.items()
}
