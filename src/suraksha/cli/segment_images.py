"""Which images ``segment`` is given: files, the images of folders, and what it leaves out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from suraksha.cli.text import count_text, path_text, printable
from suraksha.errors import InputError
from suraksha.io.guards import is_dicom

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".jp2", ".dcm", ".dicom"
)  # fmt: skip
# names of masks and results, as `segment` and BUSI give them
NOT_AN_IMAGE = re.compile(r"_mask(_\d+)?$|_(overlay|attention|seg|sr|sc|rtstruct)$")
WILDCARDS = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class FoundImage:
    """One image to segment.

    Args:
        path: The file, or a folder without an image, which is reported as a failure.
        label: What its results are called: the path below the folder that was given, without its
            suffix, with ``/`` between the parts.
    """

    path: Path
    label: str

    @property
    def source(self) -> str:
        """The absolute path, which identifies the image."""
        return path_text(self.path.absolute())


@dataclass(slots=True)
class Found:
    """What the paths of a command line hold.

    Args:
        images: The images, in order, each once.
        masks: Number of masks and results of earlier runs that were left out.
        others: Number of files of other kinds by suffix.
    """

    images: list[FoundImage] = field(default_factory=list)
    masks: int = 0
    others: Counter[str] = field(default_factory=Counter)

    @property
    def left_out(self) -> str:
        """What was left out, as one clause; empty if nothing was."""
        parts = []
        if self.masks:
            parts.append(count_text(self.masks, "mask or overlay file"))
        if self.others:
            kinds = ", ".join(f"{n} {suffix}" for suffix, n in self.others.most_common())
            parts.append(f"{count_text(self.others.total(), 'file')} of other kinds ({kinds})")
        return printable(" and ".join(parts))


def find_images(paths: Sequence[Path], *, out: Path) -> Found:
    """Collect the images of files, folders and patterns such as ``'*.png'``.

    A file is taken whatever its name is: one that cannot be used is reported with its own error.
    In folders, masks and results (``*_mask``, ``*_overlay``, ``*_seg`` and so on), files of other
    kinds, hidden files and the output folder are left out.

    Raises:
        InputError: There is no image at all.
    """
    found, images = Found(), dict[str, FoundImage]()
    for path in _expanded(paths):
        below = list(_images_below(path, found, out)) if path.is_dir() else []
        for image in below or [FoundImage(path, _label(Path(path.name)))]:
            images.setdefault(image.source, image)
    found.images = list(images.values())
    if all(image.path.is_dir() for image in found.images):
        raise InputError(
            "there is nothing to segment",
            f"no image ({', '.join(SUFFIXES)}) was found in "
            f"{', '.join(printable(path) for path in paths)}",
            "Give images, or a folder that contains some",
        )
    return found


def _expanded(paths: Sequence[Path]) -> Iterator[Path]:
    """The paths, with patterns that the shell left as they are replaced by their matches."""
    for path in paths:
        pattern = bool(WILDCARDS & set(str(path))) and not path.exists()
        start, rest = Path(path.anchor), str(path.relative_to(path.anchor))
        yield from (sorted(start.glob(rest)) if pattern else []) or [path]


def _images_below(root: Path, found: Found, out: Path) -> Iterator[FoundImage]:
    inside_out = out.absolute()
    for path in sorted(root.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if hidden or path.is_dir() or (inside_out in path.absolute().parents and out != root):
            continue
        if path.suffix.lower() not in SUFFIXES and not is_dicom(path):
            found.others[path.suffix.lower() or "without suffix"] += 1
        elif NOT_AN_IMAGE.search(_without_suffix(path.name)):
            found.masks += 1
        else:
            yield FoundImage(path, _label(path.relative_to(root)))


def _without_suffix(name: str) -> str:
    """The name without the suffix of an image; the last part of a UID is not a suffix."""
    suffix = Path(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in SUFFIXES else name


def _label(path: Path) -> str:
    """The path without its suffix, without characters that a file name should not have."""
    parts = (*path.parts[:-1], _without_suffix(path.name))
    safe = ("".join(c if c.isprintable() else "_" for c in path_text(part)) for part in parts)
    return "/".join(safe)
