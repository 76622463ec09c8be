"""Frames from a video file, a camera, a DICOM clip, a folder or a TIFF with several pages.

Videos and cameras are read with OpenCV, the extra ``[video]``. For a frame that cannot be read the
source returns the error and continues with the next frame if possible.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from suraksha.errors import InputError, MissingExtraError
from suraksha.io.guards import DECODER_ERRORS, is_dicom
from suraksha.io.images import read_image
from suraksha.types import Image, Spacing

if TYPE_CHECKING:
    from suraksha.io.dicom import DicomFile

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".m4v")
PAGES = (".tif", ".tiff")
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".jp2", ".dcm", *PAGES)
# frames per second of a source that does not declare its rate
DEFAULT_FPS = 25.0
# maximum difference between the channels of a grey frame after rounding to YUV and back
CODEC_ROUNDING = 4
# consecutive unreadable frames after which a camera or video is considered disconnected
MAX_UNREADABLE = 25


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a source.

    Args:
        index: Index in the source, from 0.
        time_s: Seconds from the first frame: presentation time, or arrival time for a camera.
        image: The image, or None if it could not be read.
        error: Why it could not be read; empty if it was read.
    """

    index: int
    time_s: float
    image: Image | None
    error: str = ""


class FrameSource:
    """An iterable over the frames of a source; a context manager that releases the device.

    Args:
        source: A video file, a DICOM clip, a folder of images, a TIFF with several pages, or
            ``camera:0``.
        spacing: Size of a pixel, if known.

    Raises:
        InputError: The source cannot be opened, or the folder contains no image.
        MissingExtraError: OpenCV is needed for a video or camera, or the DICOM extra for a clip.
    """

    def __init__(self, source: str | Path, *, spacing: Spacing | None = None) -> None:
        self.name, self.spacing = str(source), spacing
        self.fps, self.live = DEFAULT_FPS, False
        self._capture: Any = None
        self._files: list[Path] = []
        self._pages = 0
        self._dicom: DicomFile | None = None
        path = Path(source)
        if camera := re.fullmatch(r"camera:(\d+)", str(source)):
            self._open(int(camera[1]))
            self.live = True
        elif path.is_dir():
            files = [file for file in path.iterdir() if file.suffix.lower() in IMAGES]
            self._files = sorted(files, key=_natural)
            if not self._files:
                raise unusable(source, f"the folder contains no {', '.join(IMAGES)}")
        elif path.suffix.lower() in PAGES and path.is_file():
            self._files, self._pages = [path], _count_pages(path)
        elif is_dicom(path):
            self._open_dicom(path)
        elif path.is_file():
            self._open(str(path))
        else:
            raise unusable(source, "it is not a file, a folder or camera:N")

    def _open(self, what: str | int) -> None:
        cv2 = opencv()
        self._capture = cv2.VideoCapture(what)
        if not self._capture.isOpened():
            raise unusable(self.name, "OpenCV cannot open it")
        declared = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps = declared if 1 <= declared <= 1000 else DEFAULT_FPS

    def _open_dicom(self, path: Path) -> None:
        from suraksha.io.dicom import DicomFile

        file = DicomFile(path, spacing=self.spacing)
        self._dicom, self.fps = file, file.fps or DEFAULT_FPS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._capture is not None:
            self._capture.release()

    def __iter__(self) -> Iterator[Frame]:
        """All frames from the current position; videos and cameras can be iterated only once."""
        if self._capture is not None:
            yield from self._captured()
        elif self._dicom is not None:
            for index, found in enumerate(self._dicom.each()):
                due = index / self.fps
                if isinstance(found, Image):
                    yield Frame(index, due, found)
                else:
                    yield Frame(index, due, None, str(found))
        elif self._pages:
            for page in range(self._pages):
                yield self._read(self._files[0], page, page)
        else:
            for index, file in enumerate(self._files):
                yield self._read(file, index, 0)

    def _read(self, file: Path, index: int, page: int) -> Frame:
        due = index / self.fps
        try:
            return Frame(index, due, read_image(file, frame=page, spacing=self.spacing))
        except InputError as error:
            return Frame(index, due, None, str(error))

    def _captured(self) -> Iterator[Frame]:
        index, unreadable, start = 0, 0, time.monotonic()
        while unreadable < MAX_UNREADABLE:
            success, pixels = self._capture.read()
            due = time.monotonic() - start if self.live else index / self.fps
            if success and pixels is not None and pixels.size:
                unreadable = 0
                name = f"frame {index}"
                yield Frame(index, due, Image(_rgb(pixels), self.spacing, name))
            elif not self.live and self._ended():
                return
            else:
                unreadable += 1
                yield Frame(index, due, None, f"frame {index} of {self.name} cannot be decoded")
            index += 1

    def _ended(self) -> bool:
        """Whether a video file is at its end, or does not declare its length."""
        cv2 = opencv()
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        position = self._capture.get(cv2.CAP_PROP_POS_FRAMES)
        return bool(count <= 0 or position >= count)


def opencv() -> ModuleType:
    """The module `cv2`, with its log output disabled.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    try:
        import cv2
        from cv2.utils import logging
    except ModuleNotFoundError as error:
        raise MissingExtraError("reading videos and cameras", "video", str(error.name)) from error
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    return cv2


def _natural(path: Path) -> list[tuple[int, str]]:
    """A sort key that puts frame2 before frame10."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _count_pages(path: Path) -> int:
    try:
        with warnings.catch_warnings(action="error"), path.open("rb") as stream:
            image = PilImage.open(stream, formats=("TIFF",))
            return int(getattr(image, "n_frames", 1))
    except DECODER_ERRORS as error:
        raise unusable(path, f"it is damaged: {error}") from error


def _rgb(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert OpenCV's BGR to grey if the channels differ only by rounding, else to RGB."""
    if pixels.ndim == 2:
        return pixels
    cv2 = opencv()
    blue, green, red = cv2.split(pixels)
    if max(cv2.norm(one, green, cv2.NORM_INF) for one in (blue, red)) <= CODEC_ROUNDING:
        return np.asarray(green)
    return np.ascontiguousarray(pixels[..., 2::-1])


def unusable(source: str | Path, why: str) -> InputError:
    """The error for a source that cannot be used."""
    return InputError(
        f"'{source}' cannot be used as a source of frames",
        why,
        "Give a video (mp4, avi), a DICOM clip, a folder of images, a TIFF with several pages, "
        "or camera:0",
    )
