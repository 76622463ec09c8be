"""Draw contours, calipers, sizes and a scale bar over an image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont
from scipy import ndimage

from suraksha.errors import InputError, UsageError
from suraksha.preprocessing import resize_mask, to_uint8
from suraksha.types import Box, Image, Lesion, Point, Region

NOTICE = "Research use only"

# Two colours of the Okabe-Ito palette, which all kinds of colour vision distinguish.
CONTOUR = (230, 159, 0)
AXES = (86, 180, 233)
BLACK, WHITE = (0, 0, 0), (255, 255, 255)

# Smaller images are enlarged by a whole factor until the longer side has this many pixels, so that
# lines and text are readable.
MIN_DISPLAY_PX = 512
# Line width and text height as fractions of the longer side.
LINE_FRACTION, FONT_FRACTION = 1 / 300, 1 / 42
SMALLEST_FONT_PX, SMALLEST_NOTICE_PX = 8, 5
CAPTION_LENGTH = 60
# Lengths of a scale bar, and the maximum fraction of the scan's width that it covers.
BAR_MM = (50.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.5)
BAR_FRACTION = 1 / 4

Corner = tuple[int, int]  # row, col


def _overlap(one: Box, two: Box) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def _plate(text: str, font_px: int) -> PilImage.Image:
    """White text, one or several lines, on a black plate that is readable on any image."""
    font = ImageFont.load_default(size=font_px)
    probe = ImageDraw.Draw(PilImage.new("RGB", (1, 1)))
    left, top, right, bottom = (
        round(edge) for edge in probe.multiline_textbbox((0, 0), text, font=font)
    )
    margin = max(1, font_px // 4)
    plate = PilImage.new("RGB", (right - left + 2 * margin, bottom - top + 2 * margin))
    place = (margin - left, margin - top)
    ImageDraw.Draw(plate).multiline_text(place, text, font=font, fill=WHITE)
    return plate


@dataclass
class _Canvas:
    """The image that is drawn on, the mask at its size, and the boxes that labels occupy.

    Args:
        image: RGB, enlarged by ``scale``.
        mask: (H, W) bool of the same size.
        scale: Pixels of the canvas per pixel of the original image.
    """

    image: PilImage.Image
    mask: NDArray[np.bool_]
    scale: int
    taken: list[Box] = field(default_factory=list)

    @property
    def line_px(self) -> int:
        return max(1, round(max(self.image.size) * LINE_FRACTION))

    @property
    def font_px(self) -> int:
        return max(SMALLEST_FONT_PX, round(max(self.image.size) * FONT_FRACTION))

    def pixel(self, point: Point) -> Corner:
        """The pixel of a (row, col) coordinate of the original image, inside the canvas."""
        row, col = (math.floor(value * self.scale) for value in point)
        return (
            min(max(row, 0), self.image.height - 1),
            min(max(col, 0), self.image.width - 1),
        )

    def fitting_plate(self, text: str, smallest_px: int) -> PilImage.Image | None:
        """The text at the usual size, or smaller to fit the image; None if it does not fit."""
        for font_px in range(self.font_px, smallest_px - 1, -1):
            plate = _plate(text, font_px)
            if plate.width <= self.image.width and plate.height <= self.image.height:
                return plate
        return None

    def place(self, plate: PilImage.Image, corners: Iterable[Corner]) -> bool:
        """Paste the plate at the first free corner that hides the fewest mask pixels."""
        best: tuple[int, Box] | None = None
        for row, col in corners:
            box = (row, col, row + plate.height, col + plate.width)
            if min(row, col) < 0 or box[2] > self.image.height or box[3] > self.image.width:
                continue
            if any(_overlap(box, other) for other in self.taken):
                continue
            hidden = int(np.count_nonzero(self.mask[row : box[2], col : box[3]]))
            if best is None or hidden < best[0]:
                best = hidden, box
        if best is None:
            return False
        self.image.paste(plate, (best[1][1], best[1][0]))
        self.taken.append(best[1])
        return True

    def write_in_corner(self, text: str, smallest_px: int, *, top_first: bool) -> None:
        """Write in a corner of the image, preferably on the left."""
        plate = self.fitting_plate(text, smallest_px)
        if plate is None:
            return
        bottom, right = self.image.height - plate.height, self.image.width - plate.width
        rows = (0, bottom) if top_first else (bottom, 0)
        self.place(plate, [(row, col) for row in rows for col in (0, right)])

    def write_beside(self, text: str, bbox: Box) -> None:
        """Write right, left, below or above of a box of the original image, or at a side."""
        plate = self.fitting_plate(text, SMALLEST_FONT_PX)
        if plate is None:
            return
        top, left, bottom, right = (edge * self.scale for edge in bbox)
        gap = 2 * self.font_px  # keeps clear of the letters at the axes
        last_row, last_col = self.image.height - plate.height, self.image.width - plate.width
        row = min(max((top + bottom - plate.height) // 2, 0), last_row)
        col = min(max((left + right - plate.width) // 2, 0), last_col)
        near = [
            (row, right + gap),
            (row, left - gap - plate.width),
            (bottom + gap, col),
            (top - gap - plate.height, col),
        ]
        step = max(1, self.font_px // 2)
        sides = [(at, side) for at in range(0, last_row + 1, step) for side in (0, last_col)]
        if not self.place(plate, near):
            self.place(plate, sides)

    def write_at(self, text: str, centre: Corner, colour: tuple[int, int, int]) -> None:
        """Write a letter or number with a black outline, centred, as far inside as possible."""
        font = ImageFont.load_default(size=self.font_px)
        stroke = max(1, self.font_px // 8)
        left, top, right, bottom = (round(edge) for edge in font.getbbox(text))
        height, width = bottom - top + 2 * stroke, right - left + 2 * stroke
        if height > self.image.height or width > self.image.width:
            return
        row = min(max(centre[0] - height // 2, 0), self.image.height - height)
        col = min(max(centre[1] - width // 2, 0), self.image.width - width)
        ImageDraw.Draw(self.image).text(
            (col + stroke - left, row + stroke - top),
            text,
            font=font,
            fill=colour,
            stroke_width=stroke,
            stroke_fill=BLACK,
        )
        self.taken.append((row, col, row + height, col + width))


def _enlarged(image: Image, mask: NDArray[np.bool_], scale: int) -> _Canvas:
    pixels = PilImage.fromarray(to_uint8(image.pixels, 3))
    if scale > 1:
        shape = (image.shape[0] * scale, image.shape[1] * scale)
        pixels = pixels.resize((shape[1], shape[0]), PilImage.Resampling.BICUBIC)
        mask = resize_mask(mask, shape)
    return _Canvas(pixels, mask, scale)


def _draw_mask(canvas: _Canvas, opacity: float) -> None:
    """Fill the mask with ``opacity`` and draw its inner edge."""
    rows, cols = (np.flatnonzero(canvas.mask.any(axis=axis)) for axis in (1, 0))
    if rows.size == 0:
        return
    box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)
    pixels = np.array(canvas.image)
    inside, view = canvas.mask[box], pixels[box]
    colour = np.array(CONTOUR, dtype=np.float64)
    if opacity > 0:
        view[inside] = np.rint(view[inside] * (1 - opacity) + colour * opacity).astype(np.uint8)
    window = 2 * canvas.line_px + 1
    core = ndimage.minimum_filter(inside.view(np.uint8), size=window, mode="constant", cval=0)
    view[inside & (core == 0)] = CONTOUR
    canvas.image = PilImage.fromarray(pixels)


def _draw_axis(canvas: _Canvas, ends: tuple[Point, Point], letter: str) -> None:
    """A caliper line with a cross at both ends and its letter beyond one of them."""
    pen, width = ImageDraw.Draw(canvas.image), max(1, canvas.line_px // 2)
    first, last = (canvas.pixel(end) for end in ends)
    pen.line([first[::-1], last[::-1]], fill=AXES, width=width)
    arm = 2 + 2 * canvas.line_px
    for row, col in (first, last):
        pen.line((col - arm, row, col + arm, row), fill=AXES, width=width)
        pen.line((col, row - arm, col, row + arm), fill=AXES, width=width)
    length = math.hypot(last[0] - first[0], last[1] - first[1]) or 1.0
    beyond = (length + canvas.font_px) / length
    row, col = (round(a + (b - a) * beyond) for a, b in zip(first, last, strict=True))
    canvas.write_at(letter, (row, col), AXES)


def _draw_number(canvas: _Canvas, lesion: Lesion) -> None:
    """The number of a lesion, outside its contour at the upper left."""
    nearest = lesion.contour[int(np.argmin(lesion.contour.sum(axis=1)))]
    row, col = canvas.pixel((float(nearest[0]), float(nearest[1])))
    away = round(0.7 * canvas.font_px)
    canvas.write_at(str(lesion.label), (row - away, col - away), WHITE)


def _draw_scale_bar(canvas: _Canvas, scan: Region) -> None:
    """A horizontal bar of a round length in the lower right corner of a scan."""
    if scan.spacing is None:
        return
    _, left, bottom, right = (edge * canvas.scale for edge in scan.box)
    per_mm = canvas.scale / scan.spacing.col_mm
    longest = (right - left) * BAR_FRACTION / per_mm
    length = next((mm for mm in BAR_MM if mm <= longest), None)
    if length is None:
        return
    text = _plate(f"{length:g} mm", canvas.font_px)
    bar, margin = round(length * per_mm), max(2, canvas.font_px // 4)
    thickness = max(2, canvas.line_px)
    size = (max(bar, text.width) + 2 * margin, text.height + thickness + 2 * margin)
    plate = PilImage.new("RGB", size)
    plate.paste(text, ((size[0] - text.width) // 2, 0))
    start, top = (size[0] - bar) // 2, text.height + margin
    ImageDraw.Draw(plate).rectangle((start, top, start + bar - 1, top + thickness - 1), fill=WHITE)
    lowest = min(bottom, canvas.image.height) - plate.height
    canvas.place(plate, [(lowest, right - plate.width), (lowest, left)])


def _label(lesion: Lesion) -> str:
    """Number, confidence and both axes, one per line."""
    head = f"{lesion.label}"
    if lesion.confidence is not None:
        head += f"  confidence {lesion.confidence:.2f}"
    if lesion.long_axis_mm is None or lesion.short_axis_mm is None:
        sizes = f"L {lesion.long_axis_px:.0f} px\nS {lesion.short_axis_px:.0f} px"
    else:
        sizes = f"L {lesion.long_axis_mm:.1f} mm\nS {lesion.short_axis_mm:.1f} mm"
    return f"{head}\n{sizes}"


def _shortened(caption: str) -> str:
    words = " ".join(caption.split())
    return words if len(words) <= CAPTION_LENGTH else words[: CAPTION_LENGTH - 3] + "..."


def _check(image: Image, mask: NDArray[np.bool_], opacity: float) -> None:
    if mask.shape != image.shape:
        raise InputError(
            f"a mask of shape {mask.shape} cannot be drawn over '{image.name}'",
            f"the image has shape {image.shape}",
            "Resize the mask to the image first",
        )
    if not 0 <= opacity <= 1:
        raise UsageError(
            f"opacity = {opacity} is out of range",
            "it is the fraction of the fill colour inside a lesion",
            "Give a number from 0 to 1",
        )


def overlay(
    image: Image,
    mask: NDArray[np.bool_],
    *,
    lesions: Sequence[Lesion] = (),
    opacity: float = 0.0,
    caption: str | None = None,
    enlarge: bool = True,
) -> NDArray[np.uint8]:
    """Draw the contour of a mask, and the calipers and size of each lesion, over the image.

    The contour is drawn inside the mask. Each lesion is numbered; its long axis (L) and short axis
    (S) are drawn as calipers, and a label beside it gives both lengths and the confidence. Every
    scan with a known spacing gets a scale bar. "Research use only" is written in a corner. Line
    width and text height follow the size of the result; text that does not fit is left out.

    Args:
        image: The image.
        mask: (H, W), True in lesions.
        lesions: The lesions to label, such as those of a `Result`.
        opacity: How strongly the inside of the mask is filled, 0 (contour only) to 1.
        caption: A line of text for another corner, cut at 60 characters.
        enlarge: Whether an image of less than 512 pixels on the longer side is enlarged by a whole
            factor, so that lines and text are readable.

    Returns:
        (H * k, W * k, 3) uint8 RGB, where k is the factor of ``enlarge``; k = 1 for images of 512
        pixels or more.

    Raises:
        InputError: The mask differs in size from the image.
        UsageError: The opacity is outside 0 to 1.
    """
    _check(image, mask, opacity)
    scale = max(1, math.ceil(MIN_DISPLAY_PX / max(image.shape))) if enlarge else 1
    canvas = _enlarged(image, mask.astype(bool), scale)
    _draw_mask(canvas, opacity)
    for lesion in lesions:
        _draw_axis(canvas, lesion.long_axis_ends, "L")
        _draw_axis(canvas, lesion.short_axis_ends, "S")
        _draw_number(canvas, lesion)
    canvas.write_in_corner(NOTICE, SMALLEST_NOTICE_PX, top_first=False)
    for scan in image.scans:
        _draw_scale_bar(canvas, scan)
    if caption is not None and caption.strip():
        canvas.write_in_corner(_shortened(caption), SMALLEST_FONT_PX, top_first=True)
    for lesion in lesions:
        canvas.write_beside(_label(lesion), lesion.bbox)
    return np.array(canvas.image)
