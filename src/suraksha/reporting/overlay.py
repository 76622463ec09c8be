"""Draw a mask and its measurements over the image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont
from scipy import ndimage

from suraksha.errors import InputError, UsageError
from suraksha.preprocessing import to_uint8
from suraksha.types import Image, Lesion, Point

NOTICE = "Research use only"

# Two colours of the Okabe-Ito palette, which every kind of colour vision tells apart.
CONTOUR = (230, 159, 0)
AXES = (86, 180, 233)

BOLD_FROM_PX = 400
LARGEST_FONT_PX, SMALLEST_FONT_PX, SMALLEST_NOTICE_PX = 40, 8, 5
CAPTION_LENGTH = 60

Corner = tuple[int, int]  # left, top
Box = tuple[int, int, int, int]  # left, top, right, bottom; the last two exclusive


def _overlap(one: Box, two: Box) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def _plate(text: str, font_px: int) -> PilImage.Image:
    """White text on a black plate, readable on any image."""
    font = ImageFont.load_default(size=font_px)
    left, top, right, bottom = (round(edge) for edge in font.getbbox(text))
    margin = max(1, font_px // 4)
    plate = PilImage.new("RGB", (right - left + 2 * margin, bottom - top + 2 * margin))
    ImageDraw.Draw(plate).text((margin - left, margin - top), text, font=font, fill="white")
    return plate


@dataclass
class _Board:
    """The image under the pen, and where labels lie already."""

    image: PilImage.Image
    mask: NDArray[np.bool_]
    taken: list[Box] = field(default_factory=list)

    @property
    def font_px(self) -> int:
        return min(max(round(min(self.image.size) / 30), SMALLEST_FONT_PX), LARGEST_FONT_PX)

    def fitting_plate(self, text: str, smallest_px: int) -> PilImage.Image | None:
        """The text as large as usual, or as small as it must be to fit; None if it cannot."""
        for font_px in range(self.font_px, smallest_px - 1, -1):
            plate = _plate(text, font_px)
            if plate.width <= self.image.width and plate.height <= self.image.height:
                return plate
        return None

    def stick(self, plate: PilImage.Image, corners: Iterable[Corner]) -> bool:
        """Put the plate where it is free and hides least of the mask, the first corner if equal."""
        best: tuple[int, Box] | None = None
        for left, top in corners:
            box = (left, top, left + plate.width, top + plate.height)
            inside = min(left, top) >= 0 and box[2] <= self.image.width
            if not inside or box[3] > self.image.height:
                continue
            if any(_overlap(box, other) for other in self.taken):
                continue
            hidden = int(np.count_nonzero(self.mask[top : box[3], left : box[2]]))
            if best is None or hidden < best[0]:
                best = hidden, box
        if best is None:
            return False
        self.image.paste(plate, best[1][:2])
        self.taken.append(best[1])
        return True

    def write_in_corner(self, text: str, smallest_px: int, *, top_first: bool) -> None:
        """Write in a corner, on the left if nothing speaks against it."""
        plate = self.fitting_plate(text, smallest_px)
        if plate is None:
            return
        right, bottom = self.image.width - plate.width, self.image.height - plate.height
        rows = (0, bottom) if top_first else (bottom, 0)
        self.stick(plate, [(left, top) for top in rows for left in (0, right)])

    def write_beside(self, text: str, lesion: Lesion) -> None:
        """Write right, left, below or above of a lesion, or where there is room."""
        plate = self.fitting_plate(text, SMALLEST_FONT_PX)
        if plate is None:
            return
        first_row, first_col, end_row, end_col = lesion.bbox
        gap = self.font_px // 2
        last_left, last_top = self.image.width - plate.width, self.image.height - plate.height
        left = min(max((first_col + end_col - plate.width) // 2, 0), last_left)
        top = min(max((first_row + end_row - plate.height) // 2, 0), last_top)
        near = [
            (end_col + gap, top),
            (first_col - gap - plate.width, top),
            (left, end_row + gap),
            (left, first_row - gap - plate.height),
        ]
        sides = [(side, row) for row in range(0, last_top + 1, 4) for side in (0, last_left)]
        if not self.stick(plate, near):
            self.stick(plate, sides)

    def draw_axis(self, ends: tuple[Point, Point]) -> None:
        """A caliper line with a small cross at both ends."""
        pen = ImageDraw.Draw(self.image)
        # Coordinates count pixel edges, Pillow counts pixels.
        columns = [min(max(int(end[1]), 0), self.image.width - 1) for end in ends]
        rows = [min(max(int(end[0]), 0), self.image.height - 1) for end in ends]
        points = list(zip(columns, rows, strict=True))
        pen.line(points, fill=AXES)
        arm = 4 if max(self.image.size) >= BOLD_FROM_PX else 2
        for column, row in points:
            pen.line((column - arm, row, column + arm, row), fill=AXES)
            pen.line((column, row - arm, column, row + arm), fill=AXES)


def _tinted(image: Image, mask: NDArray[np.bool_], opacity: float) -> NDArray[np.uint8]:
    """RGB pixels with the mask tinted and its inner edge drawn."""
    pixels = to_uint8(image.pixels, 3).copy()
    tint = np.array(CONTOUR, dtype=np.float64)
    pixels[mask] = np.rint(pixels[mask] * (1 - opacity) + tint * opacity).astype(np.uint8)
    width = 2 if max(image.shape) >= BOLD_FROM_PX else 1
    pixels[mask & ~ndimage.binary_erosion(mask, np.ones((3, 3), dtype=bool), iterations=width)] = (
        CONTOUR
    )
    return pixels


def _size_text(lesion: Lesion, *, several: bool) -> str:
    if lesion.long_axis_mm is None or lesion.short_axis_mm is None:
        text = f"{lesion.long_axis_px:.0f} x {lesion.short_axis_px:.0f} px"
    else:
        text = f"{lesion.long_axis_mm:.1f} x {lesion.short_axis_mm:.1f} mm"
    return f"{lesion.label}: {text}" if several else text


def _shortened(caption: str) -> str:
    words = " ".join(caption.split())
    return words if len(words) <= CAPTION_LENGTH else words[: CAPTION_LENGTH - 3] + "..."


def _check(image: Image, mask: NDArray[np.bool_], opacity: float) -> None:
    if mask.shape != image.shape:
        raise InputError(
            f"a mask of shape {mask.shape} cannot be drawn over '{image.name}'",
            f"the image has shape {image.shape}",
            "Restore the mask to the image's own size first",
        )
    if not 0 <= opacity <= 1:
        raise UsageError(
            f"an opacity of {opacity} cannot be drawn",
            "it is the fraction of the tint over a lesion",
            "Give a number from 0 to 1",
        )


def overlay(
    image: Image,
    mask: NDArray[np.bool_],
    *,
    lesions: Sequence[Lesion] = (),
    opacity: float = 0.3,
    caption: str | None = None,
) -> NDArray[np.uint8]:
    """Draw a mask, its outline, the calipers and the size of each lesion over the image.

    The answer has the image's own size. The outline lies inside the mask, two pixels wide from
    400 pixels on the longer side and one below. A size is written beside its lesion, with the
    lesion's label before it where there are several. "Research use only" stands in a corner; on
    small images the text shrinks, and what does not fit is left out. All other pixels are those
    of the image as RGB, 8 bit.

    Args:
        image: The image.
        mask: (H, W), True in lesions.
        lesions: The lesions to measure, such as those of a `Result`.
        opacity: How much of the tint covers a lesion, 0 to 1.
        caption: A line for another corner, cut at 60 characters; left out where it does not fit.

    Returns:
        (H, W, 3) uint8.

    Raises:
        InputError: A mask of another size than the image.
        UsageError: An opacity outside 0 to 1.
    """
    _check(image, mask, opacity)
    mask = mask.astype(bool)
    board = _Board(PilImage.fromarray(_tinted(image, mask, opacity)), mask)
    for lesion in lesions:
        board.draw_axis(lesion.long_axis_ends)
        board.draw_axis(lesion.short_axis_ends)
    board.write_in_corner(NOTICE, SMALLEST_NOTICE_PX, top_first=False)
    if caption is not None and caption.strip():
        board.write_in_corner(_shortened(caption), SMALLEST_FONT_PX, top_first=True)
    for lesion in lesions:
        board.write_beside(_size_text(lesion, several=len(lesions) > 1), lesion)
    return np.array(board.image)
