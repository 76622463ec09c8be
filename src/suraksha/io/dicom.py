"""Read ultrasound images from DICOM files, one frame at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from suraksha.errors import InputError, UnreadableError
from suraksha.io.dicom_guard import (
    EXPORT,
    NATIVE,
    Guarded,
    frame_bytes,
    guard,
    number,
    open_source,
    suppress_pydicom_warnings,
)
from suraksha.io.dicom_pixels import decode
from suraksha.io.guards import DECODER_ERRORS, one_line
from suraksha.io.spacing import read_spacing
from suraksha.types import Image, Spacing

if TYPE_CHECKING:
    from pydicom import Dataset

PIXEL_DATA = b"\xe0\x7f\x10\x00"
IMPLICIT_LITTLE_ENDIAN = NATIVE[0]


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """The DICOM file that an image was read from.

    Args:
        header: All elements of the file except the pixel data; do not change it.
        frame: Frame number from 1; None for SOP classes with a single frame, which have no frame
            numbers.
        frames: Number of frames in the file.
    """

    header: Dataset
    frame: int | None
    frames: int


class DicomFile:
    """An ultrasound DICOM file: its header, and its frames on request.

    Supported are US Image, US Multi-frame and Secondary Capture; uncompressed, RLE, JPEG (baseline,
    extended, lossless), JPEG-LS and JPEG 2000; MONOCHROME1 and 2, RGB, YBR and palettes. The pixels
    are as a viewer displays them: window and palette are applied, MONOCHROME1 is inverted, YBR
    becomes RGB. Frames are read one at a time.

    Args:
        path: The file; with ``content`` only its name.
        spacing: Size of a pixel, overrides the calibration of the file.
        content: The bytes of the file, if they are already in memory.

    Raises:
        InputError: See `suraksha.io.dicom_guard.guard`.
        MissingExtraError: pydicom is not installed.
    """

    def __init__(
        self, path: str | Path, *, spacing: Spacing | None = None, content: bytes | None = None
    ) -> None:
        self.path, self.spacing, self._content = Path(path), spacing, content
        self._guarded: Guarded = guard(self.path, content=content)

    @property
    def header(self) -> Dataset:
        """All elements except the pixel data."""
        return self._guarded.header

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self._guarded.frames

    @property
    def fps(self) -> float | None:
        """Frames per second, or None if the file does not give a plausible rate."""
        for name, rate in (("FrameTime", _per_second), ("CineRate", float)):
            try:
                per_second = rate(self.header.get(name) or math.nan)
            except (TypeError, ValueError, ZeroDivisionError):
                continue
            if 0.1 <= per_second <= 1000:
                return per_second
        return None

    def __iter__(self) -> Iterator[Image]:
        """All frames in order.

        Raises:
            InputError: A frame that cannot be decoded.
        """
        for index, coded in enumerate(self.coded()):
            yield self._image(coded, index)

    def each(self) -> Iterator[Image | InputError]:
        """All frames in order; for a frame that cannot be decoded, the error."""
        for index, coded in enumerate(self.coded()):
            try:
                yield self._image(coded, index)
            except InputError as error:
                yield error

    def image(self, frame: int = 0) -> Image:
        """One frame; the first has index 0.

        Raises:
            InputError: The frame does not exist or cannot be decoded.
        """
        if not 0 <= frame < self.frames:
            raise UnreadableError(
                self.path,
                f"frame {frame} does not exist, the file has {self.frames}",
                f"Give a frame from 0 to {self.frames - 1}",
            )
        for index, coded in enumerate(self.coded(first=frame)):
            return self._image(coded, index + frame)
        raise self._truncated(frame)

    def coded(self, first: int = 0) -> Iterator[bytes]:
        """The encoded frames, from index ``first``.

        Raises:
            InputError: The pixel data are truncated or damaged.
        """
        index = first
        try:
            for frame in self._coded(first):
                if index == self.frames:
                    return
                yield frame
                index += 1
        except DECODER_ERRORS as error:
            why = f"its pixel data are damaged ({one_line(error)})"
            raise UnreadableError(self.path, why, EXPORT) from error
        if index < self.frames:
            raise self._truncated(index)

    def _truncated(self, index: int) -> UnreadableError:
        why = f"its header declares {self.frames} frames, but it ends after {index}"
        return UnreadableError(self.path, why, EXPORT)

    def _coded(self, first: int) -> Iterator[bytes]:
        from pydicom.encaps import generate_frames

        known, syntax = self._guarded, self._guarded.transfer_syntax
        with open_source(self.path, self._content) as stream:
            stream.seek(known.offset)
            if stream.read(4) != PIXEL_DATA:
                raise ValueError("floating-point pixels are not supported")
            stream.seek(4 if syntax == IMPLICIT_LITTLE_ENDIAN else 8, 1)
            if syntax in NATIVE:
                length = frame_bytes(known.header, known.rows * known.columns)
                stream.seek(first * length, 1)
                while len(frame := stream.read(length)) == length:
                    yield frame
                return
            offsets = known.header.get("ExtendedOffsetTable")
            lengths = known.header.get("ExtendedOffsetTableLengths")
            frames = generate_frames(
                stream,
                number_of_frames=known.frames,
                extended_offsets=(offsets, lengths) if offsets and lengths else None,
            )
            for index, frame in enumerate(frames):
                if index >= first:
                    yield frame

    def _image(self, coded: bytes, index: int) -> Image:
        known = self._guarded
        try:
            with suppress_pydicom_warnings():
                pixels = decode(coded, known)
        except DECODER_ERRORS as error:
            which = f"its frame {index + 1}" if known.frames > 1 else "it"
            why = f"{which} cannot be decoded ({one_line(error)})"
            raise UnreadableError(self.path, why, EXPORT) from error
        return self._calibrated(pixels, index)

    def _calibrated(self, pixels: NDArray[Any], index: int) -> Image:
        known = self._guarded
        with suppress_pydicom_warnings():
            found = read_spacing(known.header, pixels.shape[:2], frame=index, given=self.spacing)
        several = "NumberOfFrames" in known.header
        name = f"{self.path.stem}-{index + 1}" if known.frames > 1 else self.path.stem
        return Image(
            np.ascontiguousarray(pixels),
            found.spacing,
            name,
            regions=found.regions,
            unscaled=found.unscaled,
            origin=Origin(known.header, index + 1 if several else None, known.frames),
        )


def _per_second(milliseconds: Any) -> float:  # noqa: ANN401 - a DS of pydicom
    return 1000 / float(milliseconds)


def is_cine(header: Dataset) -> bool:
    """Whether a header belongs to a file with several frames."""
    return number(header, "NumberOfFrames", missing=1) > 1
