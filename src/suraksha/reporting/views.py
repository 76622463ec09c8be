"""Display and save a `Result`; `suraksha.types` imports this module by name."""

from __future__ import annotations

import base64
import html
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from suraksha.errors import MissingExtraError
from suraksha.files import keep_matplotlib_out_of_home, write_bytes, write_text
from suraksha.preprocessing import to_uint8
from suraksha.reporting.overlay import AXES, CONTOUR, NOTICE, overlay
from suraksha.reporting.records import MADE_BY, png_bytes, result_record
from suraksha.types import Lesion, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Characters that a file name cannot contain on some system.
_NOT_IN_NAMES = str.maketrans(dict.fromkeys('<>:"/\\|?*\0\n\r\t', "_"))


def result_overlay(result: Result, *, opacity: float = 0.0) -> NDArray[np.uint8]:
    """The overlay of a result; see `suraksha.reporting.overlay.overlay`."""
    return overlay(result.image, result.mask, lesions=result.lesions, opacity=opacity)


def result_png(result: Result) -> bytes:
    """The overlay of a result as PNG."""
    return png_bytes(result_overlay(result))


def result_dict(result: Result) -> dict[str, Any]:
    """A result as JSON-compatible values, with the name of the image and a notice of use."""
    return {"image": result.image.name, **result_record(result), "made_by": MADE_BY}


def save_result(result: Result, directory: str | os.PathLike[str]) -> None:
    """Write mask, overlay and values of a result to a directory.

    Raises:
        OSError: A file cannot be written.
    """
    folder = Path(directory)
    name = result.image.name.translate(_NOT_IN_NAMES).strip(". ") or "image"
    write_bytes(folder / f"{name}_mask.png", png_bytes(result.mask.astype(np.uint8) * 255))
    write_bytes(folder / f"{name}_overlay.png", result_png(result))
    values = json.dumps(result_dict(result), indent=2, allow_nan=False)
    write_text(folder / f"{name}.json", values + "\n")


def _lesion_row(lesion: Lesion) -> str:
    confidence = "" if lesion.confidence is None else f"{lesion.confidence:.2f}"
    depth = f"{lesion.depth_px:.0f} px" if lesion.depth_mm is None else f"{lesion.depth_mm:.1f} mm"
    cells = (str(lesion.label), lesion.size_text, depth, confidence)
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def result_html(result: Result) -> str:
    """The overlay and a table of the lesions as HTML, for notebooks."""
    png = base64.b64encode(result_png(result)).decode()
    name = html.escape(result.image.name)
    rows = "".join(map(_lesion_row, result.lesions))
    head = "<tr><th>lesion</th><th>size</th><th>depth</th><th>confidence</th></tr>"
    table = f"<table>{head}{rows}</table>" if rows else "<p>No lesion found.</p>"
    review = "; ".join(html.escape(reason) for reason in result.review)
    note = f"<p><b>Needs review:</b> {review}</p>" if review else ""
    image = f'<img alt="{name} with contours" src="data:image/png;base64,{png}" '
    image += 'style="max-width: 600px">'
    return f"<div><p><b>{name}</b></p>{image}{table}{note}<p>{NOTICE}</p></div>"


def plot_result(result: Result, ax: Axes | None = None) -> Axes:
    """Draw an image and its contours with matplotlib; see `suraksha.types.Result.plot`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    keep_matplotlib_out_of_home()
    try:
        from matplotlib import pyplot
    except ModuleNotFoundError as error:
        raise MissingExtraError("Result.plot()", "train", str(error.name)) from error
    if ax is None:
        ax = pyplot.subplots()[1]
    pixels = to_uint8(result.image.pixels, 3 if result.image.pixels.ndim == 3 else 1)
    rows, columns = result.image.shape
    # Coordinates count pixel edges, as the contours do.
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=255, extent=(0, columns, rows, 0))
    contour_colour, axis_colour = ([part / 255 for part in rgb] for rgb in (CONTOUR, AXES))
    for lesion in result.lesions:
        ax.plot(lesion.contour[:, 1], lesion.contour[:, 0], color=contour_colour)
        for ends in (lesion.long_axis_ends, lesion.short_axis_ends):
            ax.plot([end[1] for end in ends], [end[0] for end in ends], color=axis_colour)
        ax.annotate(
            f"{lesion.label}: {lesion.size_text}",
            (lesion.bbox[3], lesion.bbox[0]),
            color=contour_colour,
        )
    ax.set_title(f"{result.image.name} ({NOTICE})")
    ax.set_axis_off()
    return ax
