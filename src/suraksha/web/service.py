"""What the addresses do, in a worker: uploads in, records and files out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import UploadFile

import suraksha
from suraksha.inference.segmenter import Segmenter
from suraksha.types import Image, Result, Spacing
from suraksha.web.annotations import Annotations, corrected, lesions_of, measured
from suraksha.web.archive import Archive
from suraksha.web.errors import HttpError, body_of
from suraksha.web.exports import EXPORTS, Exported
from suraksha.web.metrics import Metrics
from suraksha.web.responses import image_text, parts_of, record_of
from suraksha.web.schemas import ExportForm, FramesForm, MeasureForm, SegmentForm
from suraksha.web.settings import Limits
from suraksha.web.uploads import private_folder, refusals_of, store
from suraksha.web.workers import Deadline

# refusals that are of the whole request, not of one of its images
WHOLE = (503, 507)
# any image, to see what a bundle can tell
BLANK = Image(np.zeros((8, 8), np.uint8))
NOTICE = "Research use only. Not a medical device."


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """A segmenter and what goes with it.

    Args:
        segment: Answers images.
        limits: The bounds.
        keeper: Keeps what is to be kept.
        metrics: Where images are counted.
    """

    segment: Segmenter
    limits: Limits
    keeper: Archive
    metrics: Metrics

    def answer(self, form: SegmentForm, deadline: Deadline) -> dict[str, Any]:
        """Segment the files of a form; a failure among several is told in its place.

        Raises:
            Refused: The one file, or all of several, failed; or too many were sent.
        """
        self._check_counts(len(form.files), form.count)
        results: list[dict[str, Any]] = []
        failures: list[HttpError] = []
        weight = 0
        with private_folder() as folder:
            for number, sent in enumerate(form.files, 1):
                try:
                    for record in self._records(sent, form, folder=folder, number=number):
                        results.append(record)
                        weight += sum(len(v) for v in record.values() if isinstance(v, str))
                        self._check(weight, deadline)
                except HttpError as refused:
                    self.metrics.images.labels("refused").inc()
                    if refused.status_code in WHOLE:
                        raise
                    failures.append(refused)
                    error = body_of(refused.what, why=refused.why, fix=refused.fix)
                    results.append({"image": f"image-{number}", **error})
            if len(failures) == len(form.files):
                raise failures[0]
            answer = {**self.about(), "results": results}
            with refusals_of(folder, "the result"):
                kept = self.keeper.result(sorted(folder.iterdir()), answer)
        return {**answer, "kept": kept}

    @property
    def explains(self) -> bool:
        """Whether the bundle can tell where it looked."""
        return bool(self.segment.explain(BLANK))

    def about(self) -> dict[str, Any]:
        """What stands at the head of every answer."""
        card = self.segment.card
        return {
            "notice": NOTICE,
            "version": suraksha.__version__,
            "bundle": card.name,
            "model_sha256": card.model_sha256,
        }

    def _check_counts(self, files: int, frames: int) -> None:
        for count, most, what in (
            (files, self.limits.files, "files"),
            (files * frames, self.limits.frames, "frames"),
        ):
            if count > most:
                raise HttpError(
                    413,
                    f"too many {what}",
                    f"{count} were sent or asked for, and this server takes {most} a request",
                    "Send them in several requests",
                )

    def _check(self, weight: int, deadline: Deadline) -> None:
        """Whether there is time left, and room: an answer is as large as an upload at most."""
        deadline.check()
        if weight > self.limits.upload_bytes:
            raise HttpError(
                507,
                "the answer is too large",
                f"this server gives {self.limits.upload_mb} MiB a request",
                "Ask for fewer frames or parts",
            )

    def _records(
        self, sent: UploadFile, form: SegmentForm, *, folder: Path, number: int
    ) -> Iterator[dict[str, Any]]:
        name = f"image-{number}"
        with refusals_of(folder, name):
            upload = store(sent, folder, number=number)
            source = upload.open(form.spacing_mm, self.limits.pixels)
            about = {"kind": upload.kind.name, "frames": source.frames, "fps": source.fps}
            frame = form.frame
            for image in source.images(form.frame, form.count):
                result = self.segment(image)
                self.metrics.images.labels("answered").inc()
                self.metrics.stages(dict(result.latency_ms))
                record = {**record_of(result, name=name, frame=frame), **about}
                yield {**record, **parts_of(result, form.parts, segment=self.segment)}
                frame += 1
            if frame == form.frame:
                raise _no_frame(name, form.frame)

    def frames(self, form: FramesForm, deadline: Deadline) -> dict[str, Any]:
        """Frames of a file as images."""
        self._check_counts(1, form.count)
        shape: tuple[int, int] = (0, 0)
        with private_folder() as folder, refusals_of(folder, "image-1"):
            upload = store(form.file, folder, number=1)
            source = upload.open(None, self.limits.pixels)
            images = []
            for image in source.images(form.frame, form.count):
                images.append(image_text(image))
                shape = image.shape
                self._check(sum(map(len, images)), deadline)
            if not images:
                raise _no_frame("image-1", form.frame)
            return {
                "kind": upload.kind.name,
                "frames": source.frames,
                "fps": source.fps,
                "frame": form.frame,
                "shape": list(shape),
                "ended": len(images) < form.count or form.frame + form.count >= source.frames,
                "images": images,
            }

    def _image(self, sent: UploadFile, folder: Path, *, frame: int, mm: float | None) -> Image:
        """One frame of a file, to be called inside `refusals_of`."""
        source = store(sent, folder, number=1).open(mm, self.limits.pixels)
        for image in source.images(frame, 1):
            return image
        raise _no_frame("image-1", frame)

    def measure(self, form: MeasureForm, deadline: Deadline) -> dict[str, Any]:
        """Lesions of a drawing.

        Raises:
            Refused: There is no drawing, or nothing to measure it on, or one that cannot be used.
        """
        drawing = Annotations.of(form)
        if drawing is None:
            raise HttpError(422, "no drawing was sent", "it is what is measured", "Send a mask")
        with private_folder() as folder, refusals_of(folder, "the drawing"):
            if form.file is not None:
                image = self._image(form.file, folder, frame=form.frame, mm=form.spacing_mm)
            else:
                image = self._blank(form)
            deadline.check()
            told = measured(lesions_of(drawing.pixels(image.shape, folder), image))
        spacing = image.spacing
        told["spacing_mm"] = None if spacing is None else [spacing.row_mm, spacing.col_mm]
        return {"shape": list(image.shape), **told}

    def _blank(self, form: MeasureForm) -> Image:
        if (
            form.rows is None
            or form.columns is None
            or form.rows * form.columns > self.limits.pixels
        ):
            raise HttpError(
                422,
                "nothing to measure the drawing on",
                f"it needs an image, or rows and columns of at most {self.limits.pixels} pixels",
                "Send a file, or rows and columns",
            )
        spacing = None if form.spacing_mm is None else Spacing.square(form.spacing_mm)
        return Image(np.zeros((form.rows, form.columns), np.uint8), spacing)

    def export(self, kind: str, form: ExportForm, *, deadline: Deadline) -> bytes:
        """A file of the result, or of what a person made of it."""
        drawing = Annotations.of(form)
        with private_folder() as folder, refusals_of(folder, "image-1"):
            image = self._image(form.file, folder, frame=form.frame, mm=form.spacing_mm)
            result = self.segment(image) if drawing is None else self._drawn(image, drawing, folder)
            deadline.check()
            exported = Exported(result, "image-1", form.frame, drawing is not None)
            content = EXPORTS[kind].content(exported)
            if form.kept is not None and kind == "correction":
                self.keeper.correction(form.kept, content, frame=form.frame)
        return content

    def _drawn(self, image: Image, drawing: Annotations, folder: Path) -> Result:
        mask = drawing.pixels(image.shape, folder)
        empty = np.zeros(image.shape, bool)
        bare = Result(
            *(empty, empty.astype(np.float32), (), image, self.segment.card), {"total": 0.0}
        )
        return corrected(bare, mask)


def _no_frame(name: str, frame: int) -> HttpError:
    return HttpError(422, f"{name} has no frame {frame}", "it ends before", "Give a smaller frame")
