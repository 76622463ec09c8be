"""Uploaded files: stored in a private folder, recognised by content, and read frame by frame."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from fastapi import UploadFile
from PIL import Image as PilImage

from suraksha.errors import InputError, SurakshaError
from suraksha.io.dicom import DicomFile
from suraksha.io.guards import DECODER_ERRORS
from suraksha.io.images import FORMATS, read_image
from suraksha.io.video import FrameSource, opencv
from suraksha.types import Image, Spacing
from suraksha.web.errors import HttpError, to_http_error

IMAGE, DICOM, VIDEO = "image", "dicom", "video"
MAX_VIDEO_FRAMES = 20_000
SIGNATURE_BYTES = 132


@dataclass(frozen=True, slots=True)
class FileType:
    """A supported type of file.

    Args:
        kind: ``image``, ``dicom`` or ``video``.
        suffix: Suffix of the stored file.
        offset: Position of the signature in the file, in bytes.
        signature: The bytes that identify the type.
    """

    kind: str
    suffix: str
    offset: int
    signature: bytes


FILE_TYPES = (
    FileType(IMAGE, ".png", 0, b"\x89PNG\r\n\x1a\n"),
    FileType(IMAGE, ".jpg", 0, b"\xff\xd8\xff"),
    FileType(IMAGE, ".bmp", 0, b"BM"),
    FileType(IMAGE, ".tif", 0, b"II*\0"),
    FileType(IMAGE, ".tif", 0, b"MM\0*"),
    FileType(DICOM, ".dcm", 128, b"DICM"),
    FileType(VIDEO, ".mp4", 4, b"ftyp"),
    FileType(VIDEO, ".avi", 8, b"AVI "),
    FileType(VIDEO, ".mkv", 0, b"\x1a\x45\xdf\xa3"),
)


def file_type_of(head: bytes, name: str) -> FileType:
    """The type of a file by its first bytes; the client's file name is ignored.

    Raises:
        HttpError: 415, the type is not supported.
    """
    for file_type in FILE_TYPES:
        if head[file_type.offset :].startswith(file_type.signature):
            return file_type
    raise HttpError(
        415,
        f"unsupported file type of {name}",
        why="its content is not in a supported format" if head else "it is empty",
        fix="Send PNG, JPEG, TIFF, BMP, DICOM, MP4, AVI or MKV",
    )


class UploadedFrames(Protocol):
    """The frames of an uploaded file."""

    @property
    def frames(self) -> int:
        """Number of frames according to the file; a video may have fewer."""

    @property
    def fps(self) -> float | None:
        """Frames per second, or None if unknown."""

    def images(self, first: int, count: int) -> Iterator[Image]:
        """Up to ``count`` frames from index ``first``; fewer at the end of the file."""


def open_frames(
    path: Path, file_type: FileType, *, spacing: Spacing | None, max_pixels: int
) -> UploadedFrames:
    """Open a file; the size of its frames is checked before anything is decoded.

    Args:
        path: The file.
        file_type: Its type.
        spacing: Size of a pixel, overriding that of the file.
        max_pixels: Maximum number of pixels of a frame.

    Raises:
        HttpError: 413, a frame has more pixels.
        InputError: The file cannot be read.
    """
    opened: _ImageFrames | _DicomFrames | _VideoFrames
    if file_type.kind == IMAGE:
        opened = _ImageFrames(path, spacing)
    elif file_type.kind == DICOM:
        opened = _DicomFrames(path, spacing)
    else:
        opened = _VideoFrames(path, spacing)
    rows, columns = opened.shape
    if rows * columns > max_pixels:
        raise HttpError(
            413,
            f"{path.stem} is too large",
            why=f"it has {columns} x {rows} pixels; the limit of this server is {max_pixels} "
            "pixels in total",
            fix="Crop the image to the scan, or reduce its size",
        )
    return opened


class _ImageFrames:
    """An image file; the pages of a TIFF are its frames."""

    fps = None

    def __init__(self, path: Path, spacing: Spacing | None) -> None:
        self._path, self._spacing = path, spacing
        try:
            with PilImage.open(path, formats=FORMATS) as image:
                self.shape = image.size[::-1]
                self.frames = int(getattr(image, "n_frames", 1))
        except DECODER_ERRORS:  # read_image reports what is wrong
            self.shape, self.frames = (0, 0), 1

    def images(self, first: int, count: int) -> Iterator[Image]:
        for frame in range(first, min(first + count, self.frames)):
            yield read_image(self._path, frame=frame, spacing=self._spacing)


class _DicomFrames:
    """A DICOM file; each frame is read from disk when it is needed."""

    def __init__(self, path: Path, spacing: Spacing | None) -> None:
        self._file = DicomFile(path, spacing=spacing)
        self.frames, self.fps = self._file.frames, self._file.fps
        self.shape = int(self._file.header.Rows), int(self._file.header.Columns)

    def images(self, first: int, count: int) -> Iterator[Image]:
        for frame in range(first, min(first + count, self.frames)):
            yield self._file.image(frame)


class _VideoFrames:
    """A video, decoded from its start: seeking is not exact to the frame in every format."""

    def __init__(self, path: Path, spacing: Spacing | None) -> None:
        self._path, self._spacing = path, spacing
        cv2 = opencv()
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        try:
            rows, columns, frames, fps = (
                float(capture.get(key))
                for key in (
                    cv2.CAP_PROP_FRAME_HEIGHT,
                    cv2.CAP_PROP_FRAME_WIDTH,
                    cv2.CAP_PROP_FRAME_COUNT,
                    cv2.CAP_PROP_FPS,
                )
            )
            if not capture.isOpened() or min(rows, columns) < 1:
                raise InputError(
                    f"cannot read '{path}'", "it contains no video", "Save it as MP4 (H.264)"
                )
        finally:
            capture.release()
        self.shape = int(rows), int(columns)
        self.frames = int(min(max(frames, 1), MAX_VIDEO_FRAMES))
        self.fps: float | None = fps if 0.1 <= fps <= 1000 else None

    def images(self, first: int, count: int) -> Iterator[Image]:
        with FrameSource(self._path, spacing=self._spacing) as frames:
            for frame in islice(frames, first, first + count):
                if frame.image is None:
                    raise InputError(
                        f"frame {frame.index} cannot be read",
                        "the video is damaged",
                        "Export the video again",
                    )
                yield frame.image


@dataclass(frozen=True, slots=True)
class StoredUpload:
    """One file of a request, stored for the duration of the request.

    Args:
        name: The server's name for it, such as ``image-1``.
        path: Path of the stored file.
        file_type: Its type.
    """

    name: str
    path: Path
    file_type: FileType

    def open(self, *, spacing_mm: float | None, max_pixels: int) -> UploadedFrames:
        """Open its frames; see `open_frames`."""
        spacing = None if spacing_mm is None else Spacing.square(spacing_mm)
        return open_frames(self.path, self.file_type, spacing=spacing, max_pixels=max_pixels)


@contextmanager
def private_folder() -> Iterator[Path]:
    """A temporary folder that only this user can read, deleted at the end of the request."""
    with TemporaryDirectory(prefix="suraksha-") as name:
        yield Path(name)


def store_upload(upload: UploadFile, folder: Path, *, number: int) -> StoredUpload:
    """Write a file of a request to the folder; to be called in a worker thread.

    Args:
        upload: The file.
        folder: The request's temporary folder.
        number: Position of the file in the request, from 1.

    Raises:
        HttpError: 415, the type is not supported.
    """
    name = f"image-{number}"
    upload.file.seek(0)
    file_type = file_type_of(upload.file.read(SIGNATURE_BYTES), name)
    upload.file.seek(0)
    path = folder / f"{name}{file_type.suffix}"
    with path.open("wb") as target:
        shutil.copyfileobj(upload.file, target, 1 << 20)
    return StoredUpload(name, path, file_type)


@contextmanager
def http_errors(folder: Path, name: str) -> Iterator[None]:
    """Convert every error raised while processing an image to an `HttpError` without paths."""
    try:
        yield
    except (SurakshaError, OSError, MemoryError) as error:
        raise to_http_error(error, folder=folder, name=name) from error
