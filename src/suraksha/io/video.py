"""Frames from a video file, a camera, a folder or a file of several pages.

Videos and cameras are read by OpenCV, the extra ``[video]``. A frame that cannot be read is given
as the error that says why, and the source goes on where it can.
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
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".dcm", *PAGES)
# frames a second where a source does not tell
DEFAULT_FPS = 25.0
# greatest difference of two channels of a grey frame: from YUV and back, each rounded
CODEC_ROUNDING = 4
# unreadable frames in a row after which a camera or video counts as gone
PATIENCE = 25


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a source.

    Args:
        index: Its place in the source, from 0.
        time_s: When it is due, in seconds from the first; of a camera, when it came.
        image: The image, or None where it could not be read.
        error: Why it could not be read; empty where it was.
    """

    index: int
    time_s: float
    image: Image | None
    error: str = ""


class FrameSource:
    """Frames of a source, one after the other; a context manager that lets go of the device.

    Args:
        source: A video file, a DICOM clip, a folder of images, a TIFF of several pages, or
            ``camera:0``.
        spacing: Size of a pixel, where it is known.

    Raises:
        InputError: Nothing that can be opened, or a folder without an image.
        MissingExtraError: A video or camera without OpenCV, or DICOM without its extra.
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
                raise unusable(source, f"the folder holds no {', '.join(IMAGES)}")
        elif path.suffix.lower() in PAGES and path.is_file():
            self._files, self._pages = [path], _count_pages(path)
        elif is_dicom(path):
            self._open_dicom(path)
        elif path.is_file():
            self._open(str(path))
        else:
            raise unusable(source, "it is no file, no folder and no camera:N")

    def _open(self, what: str | int) -> None:
        cv2 = opencv()
        self._capture = cv2.VideoCapture(what)
        if not self._capture.isOpened():
            raise unusable(self.name, "OpenCV cannot open it")
        told = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps = told if 1 <= told <= 1000 else DEFAULT_FPS

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
        """All frames from where the source stands; once only for videos and cameras."""
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
        index, missing, start = 0, 0, time.monotonic()
        while missing < PATIENCE:
            there, pixels = self._capture.read()
            due = time.monotonic() - start if self.live else index / self.fps
            if there and pixels is not None and pixels.size:
                missing = 0
                name = f"frame {index}"
                yield Frame(index, due, Image(_rgb(pixels), self.spacing, name))
            elif not self.live and self._ended():
                return
            else:
                missing += 1
                yield Frame(index, due, None, f"frame {index} of {self.name} cannot be decoded")
            index += 1

    def _ended(self) -> bool:
        """Whether a video file stands at its end, as far as it tells how long it is."""
        cv2 = opencv()
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        place = self._capture.get(cv2.CAP_PROP_POS_FRAMES)
        return bool(count <= 0 or place >= count)


def opencv() -> ModuleType:
    """OpenCV.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import cv2
        from cv2.utils import logging
    except ModuleNotFoundError as error:
        raise MissingExtraError("reading videos and cameras", "video", str(error.name)) from error
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    return cv2


def _natural(path: Path) -> list[tuple[int, str]]:
    """frame2 before frame10."""
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
    """OpenCV's BGR as grey where the channels are alike but for a codec's rounding, else as RGB."""
    if pixels.ndim == 2:
        return pixels
    cv2 = opencv()
    blue, green, red = cv2.split(pixels)
    if max(cv2.norm(one, green, cv2.NORM_INF) for one in (blue, red)) <= CODEC_ROUNDING:
        return np.asarray(green)
    return np.ascontiguousarray(pixels[..., 2::-1])


def unusable(source: str | Path, why: str) -> InputError:
    """The error of what is no source of frames, and why."""
    return InputError(
        f"'{source}' cannot be used as a source of frames",
        why,
        "Give a video (mp4, avi), a DICOM clip, a folder of images, a TIFF of several pages, "
        "or camera:0",
    )
