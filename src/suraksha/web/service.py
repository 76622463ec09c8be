"""The operations of the HTTP API, run in worker threads: uploads in, records and files out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import UploadFile

import suraksha
from suraksha.inference.segmenter import Segmenter
from suraksha.types import Image, Result, Spacing
from suraksha.web.annotations import (
    Annotation,
    corrected_result,
    lesion_records,
    measure_annotation,
)
from suraksha.web.archive import Archive
from suraksha.web.errors import HttpError, error_body
from suraksha.web.exports import EXPORT_FORMATS, FrameResult
from suraksha.web.monitoring import ServerMetrics
from suraksha.web.responses import encode_image, frame_record, optional_parts
from suraksha.web.schemas import ExportForm, ExportKind, FramesForm, MeasureForm, SegmentForm
from suraksha.web.settings import RequestLimits
from suraksha.web.uploads import http_errors, private_folder, store_upload
from suraksha.web.workers import Deadline

# errors that concern the whole request, not one of its files
REQUEST_ERRORS = (503, 507)
# an image to find out what a bundle returns
BLANK = Image(np.zeros((8, 8), np.uint8))
NOTICE = "Research use only. Not a medical device."


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """The operations of one server.

    Args:
        segment: The segmenter.
        limits: Limits of requests.
        archive: Stores results, if enabled.
        metrics: Where images are counted.
    """

    segment: Segmenter
    limits: RequestLimits
    archive: Archive
    metrics: ServerMetrics

    def bundle_info(self) -> dict[str, Any]:
        """The fields at the start of every response of ``/v1/segment``."""
        card = self.segment.card
        return {
            "notice": NOTICE,
            "version": suraksha.__version__,
            "bundle": card.name,
            "model_sha256": card.model_sha256,
        }

    def server_info(self) -> dict[str, Any]:
        """The bundle, the limits and the features of the server."""
        return {
            **self.bundle_info(),
            "intended_use": self.segment.card.intended_use,
            "limits": asdict(self.limits),
            "exports": list(EXPORT_FORMATS),
            "keeps": self.archive.enabled,
            "video": find_spec("cv2") is not None,
            "attention": bool(self.segment.explain(BLANK)),
        }

    def segment_files(self, form: SegmentForm, deadline: Deadline) -> dict[str, Any]:
        """Segment the files of a form. If some of several files fail, their errors are included.

        Raises:
            HttpError: All files failed, there are too many, or the response is too large.
        """
        self._check_counts(len(form.files), form.count)
        results: list[dict[str, Any]] = []
        failures: list[HttpError] = []
        size = 0
        with private_folder() as folder:
            for number, file in enumerate(form.files, 1):
                try:
                    for record in self._segment_file(file, form, folder=folder, number=number):
                        results.append(record)
                        size += sum(len(v) for v in record.values() if isinstance(v, str))
                        self._check_response(size, deadline)
                except HttpError as error:
                    self.metrics.count_failure()
                    if error.status_code in REQUEST_ERRORS:
                        raise
                    failures.append(error)
                    detail = error_body(error.what, why=error.why, fix=error.fix)
                    results.append({"image": f"image-{number}", **detail})
            if len(failures) == len(form.files):
                raise failures[0]
            response = {**self.bundle_info(), "results": results}
            with http_errors(folder, "the result"):
                kept = self.archive.save_result(sorted(folder.iterdir()), response)
        return {**response, "kept": kept}

    def _segment_file(
        self, file: UploadFile, form: SegmentForm, *, folder: Path, number: int
    ) -> Iterator[dict[str, Any]]:
        name = f"image-{number}"
        with http_errors(folder, name):
            upload = store_upload(file, folder, number=number)
            source = upload.open(spacing_mm=form.spacing_mm, max_pixels=self.limits.max_pixels)
            info = {"kind": upload.file_type.kind, "frames": source.frames, "fps": source.fps}
            frame = form.frame
            for image in source.images(form.frame, form.count):
                result = self.segment(image)
                self.metrics.count_image(dict(result.latency_ms))
                record = {**frame_record(result, name=name, frame=frame), **info}
                yield {**record, **optional_parts(result, form.parts, segment=self.segment)}
                frame += 1
            if frame == form.frame:
                raise _no_such_frame(name, form.frame)

    def read_frames(self, form: FramesForm, deadline: Deadline) -> dict[str, Any]:
        """Frames of a file as images.

        Raises:
            HttpError: The file cannot be read, has no such frame, or too many are requested.
        """
        self._check_counts(1, form.count)
        shape: tuple[int, int] = (0, 0)
        with private_folder() as folder, http_errors(folder, "image-1"):
            upload = store_upload(form.file, folder, number=1)
            source = upload.open(spacing_mm=None, max_pixels=self.limits.max_pixels)
            images = []
            for image in source.images(form.frame, form.count):
                images.append(encode_image(image))
                shape = image.shape
                self._check_response(sum(map(len, images)), deadline)
            if not images:
                raise _no_such_frame("image-1", form.frame)
            return {
                "kind": upload.file_type.kind,
                "frames": source.frames,
                "fps": source.fps,
                "frame": form.frame,
                "shape": list(shape),
                "ended": len(images) < form.count or form.frame + form.count >= source.frames,
                "images": images,
            }

    def measure(self, form: MeasureForm, deadline: Deadline) -> dict[str, Any]:
        """Measure the lesions of an annotation.

        Raises:
            HttpError: There is no annotation, or no image or size, or one of them is invalid.
        """
        annotation = Annotation.from_form(form)
        if annotation is None:
            raise HttpError(
                422,
                "no annotation was sent",
                why="there is nothing to measure",
                fix="Send a mask or polygons",
            )
        with private_folder() as folder, http_errors(folder, "the annotation"):
            if form.file is not None:
                image = self._read_image(form.file, folder, form)
            else:
                image = self._blank_image(form)
            deadline.check()
            lesions = measure_annotation(annotation.to_mask(image.shape, folder), image)
        spacing = image.spacing
        return {
            "shape": list(image.shape),
            "spacing_mm": None if spacing is None else [spacing.row_mm, spacing.col_mm],
            **lesion_records(lesions),
        }

    def export(self, kind: ExportKind, form: ExportForm, *, deadline: Deadline) -> bytes:
        """The content of an exported file, of the network's result or of a person's annotation.

        Raises:
            HttpError: The image or the annotation is invalid, or cannot be exported in this format.
        """
        annotation = Annotation.from_form(form)
        with private_folder() as folder, http_errors(folder, "image-1"):
            image = self._read_image(form.file, folder, form)
            if annotation is None:
                result = self.segment(image)
            else:
                result = self._annotated(image, annotation, folder)
            deadline.check()
            frame = FrameResult(
                result=result,
                name="image-1",
                frame=form.frame,
                corrected=annotation is not None,
            )
            content = EXPORT_FORMATS[kind].encode(frame)
            if form.kept is not None and kind == "correction":
                self.archive.save_correction(form.kept, content, frame=form.frame)
        return content

    def _read_image(self, file: UploadFile, folder: Path, form: MeasureForm | ExportForm) -> Image:
        """The frame of a file that a form asks for; to be called inside `http_errors`."""
        upload = store_upload(file, folder, number=1)
        source = upload.open(spacing_mm=form.spacing_mm, max_pixels=self.limits.max_pixels)
        for image in source.images(form.frame, 1):
            return image
        raise _no_such_frame("image-1", form.frame)

    def _blank_image(self, form: MeasureForm) -> Image:
        limit = self.limits.max_pixels
        if form.rows is None or form.columns is None or form.rows * form.columns > limit:
            raise HttpError(
                422,
                "the annotation has no image",
                why=f"an image, or rows and columns of at most {limit} pixels, is required",
                fix="Send a file, or rows and columns",
            )
        spacing = None if form.spacing_mm is None else Spacing.square(form.spacing_mm)
        return Image(np.zeros((form.rows, form.columns), np.uint8), spacing)

    def _annotated(self, image: Image, annotation: Annotation, folder: Path) -> Result:
        """A result that holds an annotation; the network is not run."""
        mask = annotation.to_mask(image.shape, folder)
        empty = np.zeros(image.shape, bool)
        result = Result(
            mask=empty,
            probability=empty.astype(np.float32),
            lesions=(),
            image=image,
            card=self.segment.card,
            latency_ms={"total": 0.0},
        )
        return corrected_result(result, mask)

    def _check_counts(self, files: int, frames: int) -> None:
        for count, limit, what in (
            (files, self.limits.max_files, "files"),
            (files * frames, self.limits.max_frames, "frames"),
        ):
            if count > limit:
                raise HttpError(
                    413,
                    f"too many {what}",
                    why=f"the request has {count}; the limit of this server is {limit}",
                    fix="Split it into several requests",
                )

    def _check_response(self, size: int, deadline: Deadline) -> None:
        """Check the time limit and the size: a response may be as large as an upload."""
        deadline.check()
        if size > self.limits.max_upload_bytes:
            raise HttpError(
                507,
                "the response is too large",
                why=f"the limit of this server is {self.limits.max_upload_mb} MiB per response",
                fix="Request fewer frames or parts",
            )


def _no_such_frame(name: str, frame: int) -> HttpError:
    return HttpError(
        422, f"{name} has no frame {frame}", why="it has fewer frames", fix="Use a smaller index"
    )
