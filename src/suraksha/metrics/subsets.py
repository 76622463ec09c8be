"""Subsets of the images that are scored separately: lesions, lesion sizes, classes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from suraksha.metrics.overlap import Counts

LESION, CONSISTENT = "lesion", "consistent"


@dataclass(frozen=True, slots=True)
class SizeBand:
    """Images whose lesions cover a certain percentage of the image.

    Args:
        part: Name of the subset.
        low: Minimum, in percent, included.
        high: Maximum, in percent, excluded; the last band includes 100.
    """

    part: str
    low: int
    high: int

    def holds(self, truth: Counts) -> bool:
        """Whether the true lesions of an image are in this band; False without a lesion."""
        lesion = truth.tp + truth.fn
        below = self.high == 100 or 100 * lesion < self.high * truth.pixels
        return lesion > 0 and below and 100 * lesion >= self.low * truth.pixels


SIZE_BANDS: tuple[SizeBand, ...] = (
    SizeBand("lesion under 2 %", 0, 2),
    SizeBand("lesion 2 to 5 %", 2, 5),
    SizeBand("lesion 5 to 15 %", 5, 15),
    SizeBand("lesion 15 % or more", 15, 100),
)
# subsets that are not classes, in the order of the tables
NO_CLASS = (LESION, CONSISTENT, *(band.part for band in SIZE_BANDS))


def parts_of(truth: Counts, *, label: str, normal: bool, consistent: bool) -> tuple[str, ...]:
    """The subsets that an image belongs to.

    Args:
        truth: Its counts; only the pixels of the truth are used.
        label: Its class, which is also a subset.
        normal: Whether images of this class have no lesion.
        consistent: Whether no near-duplicate contradicts its mask.
    """
    if normal:
        return (label,)
    sizes = (band.part for band in SIZE_BANDS if band.holds(truth))
    names = (LESION, *([CONSISTENT] if consistent else []), *sizes, label)
    return tuple(dict.fromkeys(names))


def in_order(parts: Iterable[str]) -> list[str]:
    """Subsets in the order of the tables: lesion, consistent, lesion sizes, classes."""
    found = set(parts)
    return [part for part in NO_CLASS if part in found] + sorted(found - set(NO_CLASS))
