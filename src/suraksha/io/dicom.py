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
    suppress_pydicom_warnings,
)
from suraksha.io.dicom_pixels import decode
from suraksha.io.dicom_spacing import read_spacing
from suraksha.io.images import DECODER_ERRORS, one_line
from suraksha.types import Image, Spacing

if TYPE_CHECKING:
    from pydicom import Dataset

# the SOP classes of a single frame have no number of frames to refer to
PIXEL_DATA = b"\xe0\x7f\x10\x00"
IMPLICIT_LITTLE_ENDIAN = NATIVE[0]


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Where an image came from.

    Args:
        header: All elements of the file but its pixel data; not to be changed.
        frame: Its number, from 1, in a file that holds several; else None.
        frames: How many the file holds.
    """

    header: Dataset
    frame: int | None
    frames: int


class DicomFile:
    """A DICOM file of ultrasound: its header, and its frames as they are asked for.

    US Image, US Multi-frame and Secondary Capture are taken, native, RLE, JPEG (baseline, extended,
    lossless), JPEG-LS and JPEG 2000; MONOCHROME1 and 2, RGB, YBR and palettes. What a person sees
    is what one gets: window and palette are applied, MONOCHROME1 is inverted, YBR becomes RGB.
    Frames are read from the disk one by one.

    Args:
        path: The file.
        spacing: Size of a pixel, in place of what the file tells.

    Raises:
        InputError: See `suraksha.io.dicom_guard.guard`.
        MissingExtraError: pydicom is not installed.
    """

    def __init__(self, path: str | Path, *, spacing: Spacing | None = None) -> None:
        self.path, self.spacing = Path(path), spacing
        self._guarded: Guarded = guard(self.path)

    @property
    def header(self) -> Dataset:
        """All elements but the pixel data."""
        return self._guarded.header

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self._guarded.frames

    @property
    def fps(self) -> float | None:
        """Frames a second, where the file tells."""
        for name, rate in (("FrameTime", _per_second), ("CineRate", float)):
            try:
                told = rate(self.header.get(name) or math.nan)
            except (TypeError, ValueError, ZeroDivisionError):
                continue
            if 0.1 <= told <= 1000:
                return told
        return None

    def __iter__(self) -> Iterator[Image]:
        """All frames, one after the other.

        Raises:
            InputError: A frame that cannot be decoded.
        """
        for index, coded in enumerate(self.coded()):
            yield self._image(coded, index)

    def each(self) -> Iterator[Image | InputError]:
        """All frames, and in the place of one that cannot be decoded its error."""
        for index, coded in enumerate(self.coded()):
            try:
                yield self._image(coded, index)
            except InputError as error:
                yield error

    def image(self, frame: int = 0) -> Image:
        """One frame, from 0.

        Raises:
            InputError: No such frame, or one that cannot be decoded.
        """
        if not 0 <= frame < self.frames:
            raise UnreadableError(
                self.path,
                f"frame {frame} was asked for and it has {self.frames}",
                f"Give 0 to {self.frames - 1}",
            )
        for index, coded in enumerate(self.coded(first=frame)):
            return self._image(coded, index + frame)
        raise self._short(frame)

    def coded(self, first: int = 0) -> Iterator[bytes]:
        """The frames as they lie in the file, from ``first`` on.

        Raises:
            InputError: Pixel data that end early, or that are not where they should be.
        """
        given = first
        try:
            for frame in self._coded(first):
                if given == self.frames:
                    return
                yield frame
                given += 1
        except DECODER_ERRORS as error:
            why = f"its pixel data are damaged ({one_line(error)})"
            raise UnreadableError(self.path, why, EXPORT) from error
        if given < self.frames:
            raise self._short(given)

    def _short(self, index: int) -> UnreadableError:
        return UnreadableError(
            self.path, f"it tells of {self.frames} frames and ends after {index}", EXPORT
        )

    def _coded(self, first: int) -> Iterator[bytes]:
        from pydicom.encaps import generate_frames

        known, syntax = self._guarded, self._guarded.transfer_syntax
        with self.path.open("rb") as stream:
            stream.seek(known.offset)
            if stream.read(4) != PIXEL_DATA:
                raise ValueError("floating point pixels are not taken")
            stream.seek(4 if syntax == IMPLICIT_LITTLE_ENDIAN else 8, 1)
            if syntax in NATIVE:
                length = frame_bytes(known.header, known.rows * known.columns)
                stream.seek(first * length, 1)
                while len(frame := stream.read(length)) == length:
                    yield frame
                return
            told = [known.header.get(f"ExtendedOffsetTable{part}") for part in ("", "Lengths")]
            frames = generate_frames(
                stream,
                number_of_frames=known.frames,
                extended_offsets=(told[0], told[1]) if told[0] and told[1] else None,
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
            which = f"frame {index + 1} of it" if known.frames > 1 else "it"
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
    """Whether a header is of a file of several frames."""
    return number(header, "NumberOfFrames", missing=1) > 1
