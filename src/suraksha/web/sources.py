"""What was uploaded, as frames: an image, a file of pages, DICOM or a video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from PIL import Image as PilImage

from suraksha.errors import InputError
from suraksha.io.dicom import DicomFile
from suraksha.io.guards import DECODER_ERRORS
from suraksha.io.images import FORMATS, read_image
from suraksha.io.video import FrameSource, opencv
from suraksha.types import Image, Spacing
from suraksha.web.errors import HttpError

IMAGE, DICOM, VIDEO = "image", "dicom", "video"
MAX_CLIP_FRAMES = 20_000
HEAD_BYTES = 132


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file that is taken.

    Args:
        name: What is done with it: ``image``, ``dicom`` or ``video``.
        suffix: What our own name of it ends in.
        offset: Where its mark stands.
        mark: The bytes by which it is known.
    """

    name: str
    suffix: str
    offset: int
    mark: bytes


KINDS = (
    Kind(IMAGE, ".png", 0, b"\x89PNG\r\n\x1a\n"),
    Kind(IMAGE, ".jpg", 0, b"\xff\xd8\xff"),
    Kind(IMAGE, ".bmp", 0, b"BM"),
    Kind(IMAGE, ".tif", 0, b"II*\0"),
    Kind(IMAGE, ".tif", 0, b"MM\0*"),
    Kind(DICOM, ".dcm", 128, b"DICM"),
    Kind(VIDEO, ".mp4", 4, b"ftyp"),
    Kind(VIDEO, ".avi", 8, b"AVI "),
    Kind(VIDEO, ".mkv", 0, b"\x1a\x45\xdf\xa3"),
)


class Source(Protocol):
    """Something that gives frames."""

    @property
    def frames(self) -> int:
        """How many it tells of; a video may have fewer."""

    @property
    def fps(self) -> float | None:
        """Frames a second, where it tells."""

    def images(self, first: int, count: int) -> Iterator[Image]:
        """Frames from ``first`` on; fewer where it ends."""


def kind_of(head: bytes, name: str) -> Kind:
    """The kind of a file, by its first bytes alone; what a caller calls it plays no part.

    Raises:
        Refused: It is of no kind that is taken.
    """
    for kind in KINDS:
        if head[kind.offset : kind.offset + len(kind.mark)] == kind.mark:
            return kind
    why = "it is empty" if not head else "its first bytes are of no known kind"
    raise HttpError(
        415, f"{name} is not taken", why, "Send PNG, JPEG, TIFF, BMP, DICOM, MP4 or AVI"
    )


def open_source(path: Path, kind: Kind, *, spacing: Spacing | None, pixels: int) -> Source:
    """Open a file as a source of frames, its sizes checked before anything is decoded.

    Args:
        path: The file.
        kind: Its kind.
        spacing: Size of a pixel, in place of what the file tells.
        pixels: Most pixels of a frame.

    Raises:
        Refused: A frame of more pixels.
        InputError: A file that cannot be used.
    """
    made: _Still | _Dicom | _Clip
    if kind.name == IMAGE:
        made = _Still(path, spacing)
    else:
        made = _Dicom(path, spacing) if kind.name == DICOM else _Clip(path, spacing)
    rows, columns = made.shape
    if rows * columns > pixels:
        raise HttpError(
            413,
            f"{path.stem} is too large",
            f"it has {columns} x {rows} pixels, and this server takes {pixels} in all",
            "Crop it to the scan or scale it down",
        )
    return made


class _Still:
    """An image, or a TIFF of several pages."""

    fps = None

    def __init__(self, path: Path, spacing: Spacing | None) -> None:
        self._path, self._spacing = path, spacing
        try:
            with PilImage.open(path, formats=FORMATS) as image:
                self.shape = image.size[::-1]
                self.frames = int(getattr(image, "n_frames", 1))
        except DECODER_ERRORS:  # the reader says what is wrong
            self.shape, self.frames = (0, 0), 1

    def images(self, first: int, count: int) -> Iterator[Image]:
        for frame in range(first, min(first + count, self.frames)):
            yield read_image(self._path, frame=frame, spacing=self._spacing)


class _Dicom:
    """A DICOM file; frames are read from the disk as they are asked for."""

    def __init__(self, path: Path, spacing: Spacing | None) -> None:
        self._file = DicomFile(path, spacing=spacing)
        self.frames, self.fps = self._file.frames, self._file.fps
        self.shape = int(self._file.header.Rows), int(self._file.header.Columns)

    def images(self, first: int, count: int) -> Iterator[Image]:
        for frame in range(first, min(first + count, self.frames)):
            yield self._file.image(frame)


class _Clip:
    """A video, decoded from its beginning: seeking is not exact to the frame in all of them."""

    def __init__(self, path: Path, spacing: Spacing | None) -> None:
        self._path, self._spacing = path, spacing
        cv2 = opencv()
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        try:
            told = [
                float(capture.get(what))
                for what in (
                    cv2.CAP_PROP_FRAME_HEIGHT,
                    cv2.CAP_PROP_FRAME_WIDTH,
                    cv2.CAP_PROP_FRAME_COUNT,
                    cv2.CAP_PROP_FPS,
                )
            ]
            if not capture.isOpened() or min(told[:2]) < 1:
                raise InputError(
                    f"cannot read '{path}'", "no video can be found in it", "Save it as MP4 (H.264)"
                )
        finally:
            capture.release()
        self.shape = int(told[0]), int(told[1])
        self.frames = int(min(max(told[2], 1), MAX_CLIP_FRAMES))
        self.fps: float | None = told[3] if 0.1 <= told[3] <= 1000 else None

    def images(self, first: int, count: int) -> Iterator[Image]:
        with FrameSource(self._path, spacing=self._spacing) as frames:
            for frame in islice(frames, first, first + count):
                if frame.image is None:
                    raise InputError(
                        f"frame {frame.index} cannot be read", "it is damaged", "Save it again"
                    )
                yield frame.image
