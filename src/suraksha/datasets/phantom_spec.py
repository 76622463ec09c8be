"""The specification of a phantom, and the exact size of its lesions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist, squareform

from suraksha.errors import UsageError
from suraksha.types import Point, Spacing

Floats = NDArray[np.float64]

BOUNDARY_POINTS = 3600

Texture = Literal["plain", "skin", "lobules", "strands", "striations"]
Kind = Literal["ellipse", "lobulated", "spiculated"]
Posterior = Literal["shadow", "enhancement", "none"]
KINDS: tuple[Kind, ...] = get_args(Kind)
POSTERIORS: tuple[Posterior, ...] = get_args(Posterior)


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of tissue, from the skin downwards.

    Args:
        name: The tissue.
        thickness_mm: Mean thickness; the last layer reaches the bottom in any case.
        level_db: Mean echogenicity, in dB relative to white.
        texture: Its structure; ``plain`` is speckle alone.
    """

    name: str
    thickness_mm: float
    level_db: float
    texture: Texture = "plain"


BREAST = (
    Layer("skin", 1.7, -25.0, "skin"),
    Layer("fat", 8.0, -41.0, "lobules"),
    Layer("fibroglandular", 14.0, -29.0, "strands"),
    Layer("muscle", 12.0, -37.0, "striations"),
)


DEFAULT_SPACING = Spacing.square(0.1, "phantom")


@dataclass(frozen=True, slots=True)
class LesionSpec:
    """A lesion to draw.

    Args:
        centre_mm: (row, col) from the image's top left corner, in mm.
        semi_axes_mm: Of the ellipse that the outline is made from, in mm; the first is along
            the columns if the angle is 0.
        angle_deg: Turns the outline, clockwise on the screen.
        kind: Smooth, wavy or spiculated.
        level_db: Echogenicity in dB relative to white.
        posterior: Brightness behind the lesion.
        posterior_db: Change of brightness behind the thickest part of the lesion, in dB.
        outline_seed: Selects waves and spikes.
    """

    centre_mm: Point
    semi_axes_mm: tuple[float, float]
    angle_deg: float = 0.0
    kind: Kind = "ellipse"
    level_db: float = -53.0
    posterior: Posterior = "none"
    posterior_db: float = 12.0
    outline_seed: int = 0

    def __post_init__(self) -> None:
        known = self.kind in KINDS and self.posterior in POSTERIORS
        if not known or not min(self.semi_axes_mm) > 0 or self.posterior_db < 0:
            raise UsageError(
                f"{self} cannot be drawn",
                f"it needs axes above 0, a kind of {', '.join(KINDS)}, a posterior of "
                f"{', '.join(POSTERIORS)} and posterior_db of at least 0",
                "Correct the lesion",
            )


@dataclass(frozen=True, slots=True)
class PhantomSpec:
    """All parameters of a phantom: the same spec gives the same image.

    Args:
        shape: (rows, columns) in pixels.
        spacing: Size of a pixel.
        seed: Of scatterers, textures and noise.
        layers: From the skin downwards.
        lesions: Inside the image, without overlap.
        frequency_mhz: Sets the resolution and the attenuation.
        looks: How many independent patterns of speckle are averaged, as in spatial compounding;
            the Rayleigh statistics hold for 1.
        noise_db: Electronic noise before time-gain compensation, in dB relative to white.
        dynamic_range_db: From black to white.
        name: Goes into the image's name, after ``synthetic-``.
    """

    shape: tuple[int, int] = (400, 500)
    spacing: Spacing = DEFAULT_SPACING
    seed: int = 0
    layers: tuple[Layer, ...] = BREAST
    lesions: tuple[LesionSpec, ...] = ()
    frequency_mhz: float = 10.0
    looks: int = 1
    noise_db: float = -100.0
    dynamic_range_db: float = 60.0
    name: str = "phantom"

    def __post_init__(self) -> None:
        positive = (*self.shape, self.looks, self.frequency_mhz, self.dynamic_range_db)
        if min(positive) <= 0 or not self.layers:
            raise UsageError(
                f"{self} cannot be drawn",
                "sizes, looks, frequency and dynamic range are above 0, and a layer is needed",
                "Correct the spec",
            )


@dataclass(frozen=True, slots=True)
class LesionTruth:
    """Size of a lesion by the formula of its outline, not by its pixels.

    Args:
        spec: The lesion.
        area_mm2: Area of the outline.
        long_axis_mm: Maximum diameter.
        short_axis_mm: Width perpendicular to it.
    """

    spec: LesionSpec
    area_mm2: float
    long_axis_mm: float
    short_axis_mm: float


def _radius(lesion: LesionSpec, angle: Floats) -> Floats:
    """The outline's distance from the centre, in units of the ellipse, at angles in radians."""
    rng = np.random.default_rng(lesion.outline_seed)
    radius = np.ones_like(angle)
    if lesion.kind == "lobulated":
        for waves, height in ((3, 0.09), (4, 0.06), (6, 0.05)):
            radius += height * np.cos(waves * angle + rng.uniform(0, 2 * np.pi))
    if lesion.kind == "spiculated":
        radius += 0.08 * np.cos(3 * angle + rng.uniform(0, 2 * np.pi))
        count = int(rng.integers(11, 16))
        for spike in range(count):
            at = 2 * np.pi * (spike + rng.uniform(-0.35, 0.35)) / count
            sharpness, height = rng.uniform(40, 250), rng.uniform(0.05, 0.4)
            radius += height * np.exp(sharpness * (np.cos(angle - at) - 1))
    return radius


def _outline(lesion: LesionSpec) -> Floats:
    """(n, 2) (row, col) of the outline in mm."""
    angle = np.linspace(0, 2 * np.pi, BOUNDARY_POINTS, endpoint=False)
    radius, turn = _radius(lesion, angle), math.radians(lesion.angle_deg)
    along = lesion.semi_axes_mm[0] * radius * np.cos(angle)
    across = lesion.semi_axes_mm[1] * radius * np.sin(angle)
    rows = lesion.centre_mm[0] + along * math.sin(turn) + across * math.cos(turn)
    columns = lesion.centre_mm[1] + along * math.cos(turn) - across * math.sin(turn)
    return np.stack([rows, columns], axis=1)


def _inside(lesion: LesionSpec, spec: PhantomSpec) -> NDArray[np.bool_]:
    """The pixels whose centre is inside the outline, (H, W) bool."""
    shape, spacing = spec.shape, spec.spacing
    rows = (np.arange(shape[0])[:, None] + 0.5) * spacing.row_mm - lesion.centre_mm[0]
    columns = (np.arange(shape[1])[None] + 0.5) * spacing.col_mm - lesion.centre_mm[1]
    turn = math.radians(lesion.angle_deg)
    along = (columns * math.cos(turn) + rows * math.sin(turn)) / lesion.semi_axes_mm[0]
    across = (rows * math.cos(turn) - columns * math.sin(turn)) / lesion.semi_axes_mm[1]
    distance = np.hypot(along, across)
    inside = distance <= 2
    inside[inside] = distance[inside] <= _radius(lesion, np.arctan2(across[inside], along[inside]))
    return inside


def lesion_truth(lesion: LesionSpec) -> LesionTruth:
    """Area and calipers of the outline: closed forms for an ellipse, quadrature otherwise.

    Args:
        lesion: The lesion.

    Returns:
        The truth; for waves and spikes exact to about 0.0001 of each length.
    """
    half = lesion.semi_axes_mm
    if lesion.kind == "ellipse":
        return LesionTruth(lesion, math.pi * half[0] * half[1], 2 * max(half), 2 * min(half))
    angle = np.linspace(0, 2 * np.pi, BOUNDARY_POINTS, endpoint=False)
    area = math.pi * half[0] * half[1] * float(np.mean(_radius(lesion, angle) ** 2))
    outline = _outline(lesion)
    hull = outline[ConvexHull(outline).vertices]
    distances = squareform(pdist(hull))
    first, last = np.unravel_index(np.argmax(distances), distances.shape)
    long_axis = hull[last] - hull[first]
    length = float(np.hypot(*long_axis))
    sideways = hull @ np.array([-long_axis[1], long_axis[0]]) / length
    return LesionTruth(lesion, area, length, float(np.ptp(sideways)))


def lesion_masks(spec: PhantomSpec) -> list[NDArray[np.bool_]]:
    """The mask of each lesion, (H, W) bool.

    Args:
        spec: The phantom with its lesions.

    Returns:
        A mask for each lesion, in the spec's order.

    Raises:
        UsageError: A lesion without size, one that extends outside the image, or two that overlap.
    """
    height = spec.shape[0] * spec.spacing.row_mm
    width = spec.shape[1] * spec.spacing.col_mm
    for lesion in spec.lesions:
        outline = _outline(lesion)
        if outline.min() < 0 or outline[:, 0].max() > height or outline[:, 1].max() > width:
            raise UsageError(
                f"{lesion} cannot be drawn",
                f"it extends outside the image of {height:g} x {width:g} mm",
                "Move it or make it smaller",
            )
    masks = [_inside(lesion, spec) for lesion in spec.lesions]
    if masks and np.sum(masks, axis=0).max() > 1:
        raise UsageError(
            "the lesions cannot be drawn", "they overlap", "Move them away from each other"
        )
    return masks
