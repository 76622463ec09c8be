"""The tissue of a phantom: a map of echogenicity without speckle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from scipy.spatial import KDTree

from suraksha.datasets.phantom_spec import Floats, Layer, PhantomSpec

LOBULE_MM = (3.2, 8.0)
FASCIA_MM, FASCIA_DB = 0.18, 13.0


class _Tissue:
    """Draws the layers of tissue, with one random generator."""

    def __init__(self, spec: PhantomSpec) -> None:
        self.shape = spec.shape
        self.step = np.array([spec.spacing.row_mm, spec.spacing.col_mm])
        self.rng = np.random.default_rng([spec.seed, 1])

    def noise(self, row_mm: float, col_mm: float) -> Floats:
        """(H, W) smooth random values, mean 0 and variance 1, of these correlation lengths."""
        sigma = np.array([row_mm, col_mm]) / self.step
        # A margin, because filtering the spectrum wraps around at the edges.
        rows, columns = (
            fft.next_fast_len(int(size + 3 * wide), real=True)
            for size, wide in zip(self.shape, sigma, strict=True)
        )
        spectrum = fft.rfft2(self.rng.standard_normal((rows, columns)))
        row_gain = np.exp(-2 * (np.pi * np.fft.fftfreq(rows) * sigma[0]) ** 2)
        col_gain = np.exp(-2 * (np.pi * np.fft.rfftfreq(columns) * sigma[1]) ** 2)
        full = np.asarray(
            fft.irfft2(spectrum * row_gain[:, None] * col_gain, (rows, columns)), dtype=np.float64
        )
        part: Floats = full[: self.shape[0], : self.shape[1]] / max(float(full.std()), 1e-12)
        return part

    def fascia(self, below: Floats) -> Floats:
        """A thin bright line where ``below`` is 0, of varying strength."""
        strength = np.clip(0.7 + 0.4 * self.noise(2, 3), 0, 1.2)
        line: Floats = FASCIA_DB * strength * np.exp(-((below / FASCIA_MM) ** 2))
        return line

    def texture(self, layer: Layer, below: Floats) -> Floats:
        """The layer's deviation from its mean level in dB; ``below`` is mm below its top."""
        if layer.texture == "skin":
            entry: Floats = 14 * np.exp(-((below / 0.3) ** 2))
            end: Floats = 10 * np.exp(-(((below - layer.thickness_mm) / 0.2) ** 2))
            return entry + end + 1.5 * self.noise(0.3, 3)
        if layer.texture == "lobules":
            return self.lobules(below)
        if layer.texture == "strands":
            fat = np.clip(self.noise(0.9, 3.5) - 0.9, 0, 1.2)
            fibres = np.clip(self.noise(0.16, 2.2) - 0.6, 0, 1.5)
            return 2.5 * self.noise(0.3, 1.0) + 2.5 * self.noise(2.5, 5) - 9 * fat + 6 * fibres
        if layer.texture == "striations":
            return self.striations(below)
        return np.zeros(self.shape)

    def striations(self, below: Floats) -> Floats:
        """Long thin fibres, tilted a few degrees against the surface of the layer."""
        fibres = self.noise(0.17, 4)
        columns = np.arange(self.shape[1]) * self.step[1]
        slope = self.rng.uniform(-0.12, 0.12)
        depth = (np.arange(self.shape[0])[:, None] + 0.5) * self.step[0]
        rows = (0.5 * (below + depth) + slope * columns) / self.step[0]
        places = np.stack([rows, np.broadcast_to(np.arange(self.shape[1]), rows.shape)])
        along: Floats = ndimage.map_coordinates(fibres, places, order=1, mode="grid-wrap")
        strength = np.clip(0.8 + 0.5 * self.noise(1.5, 4), 0, 1.6)
        texture: Floats = 8 * strength * np.clip(along - 0.5, -0.5, 1.5) + 2.0 * self.noise(2, 4)
        return texture

    def lobules(self, below: Floats) -> Floats:
        """Dark lobules in a net of septa; horizontal septa are brighter."""
        cell = np.array(LOBULE_MM)
        places = np.indices(self.shape).astype(np.float64) * self.step[:, None, None]
        places += np.stack([0.5 * self.noise(1.5, 3), 1.3 * self.noise(1.5, 3)])
        inside = below > -FASCIA_MM
        septa = np.zeros(self.shape)
        if inside.any():
            points = places[:, inside].T / cell
            low, high = np.floor(points.min(axis=0)) - 2, np.ceil(points.max(axis=0)) + 2
            axes = [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
            centres = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
            centres += self.rng.uniform(-0.42, 0.42, centres.shape)
            distance, nearest = (np.asarray(found) for found in KDTree(centres).query(points, k=2))
            across = (centres[nearest[:, 1]] - centres[nearest[:, 0]]) * cell
            flat = across[:, 0] ** 2 / (across**2).sum(axis=1)
            line = np.exp(-(((distance[:, 1] - distance[:, 0]) / 0.09) ** 2))
            septa[inside] = line * (7 + 14 * flat)
        return septa * np.clip(0.8 + 0.4 * self.noise(2, 5), 0, 1.3) + 2.0 * self.noise(1, 2)


def echogenicity(spec: PhantomSpec, masks: list[NDArray[np.bool_]]) -> Floats:
    """Mean brightness of each pixel, without speckle and attenuation.

    Args:
        spec: Layers, lesions and seed.
        masks: The lesions' masks, in the spec's order.

    Returns:
        (H, W) float64, dB relative to white.
    """
    tissue = _Tissue(spec)
    depth = (np.arange(spec.shape[0])[:, None] + 0.5) * spec.spacing.row_mm
    level = np.zeros(spec.shape)
    top = np.zeros(spec.shape)
    for number, layer in enumerate(spec.layers):
        below = depth - top
        drawn = layer.level_db + tissue.texture(layer, below)
        if number > 1:
            drawn = drawn + tissue.fascia(below)
        level = np.where(below >= 0, drawn, level)
        waves = tissue.noise(20, 6)[:1] + 0.25 * tissue.noise(20, 1.2)[:1]
        height = 0.1 if layer.texture == "skin" else min(0.1 * layer.thickness_mm, 0.8)
        top = top + layer.thickness_mm + height * waves
    for lesion, mask in zip(spec.lesions, masks, strict=True):
        distance = ndimage.distance_transform_edt(~mask, sampling=tuple(tissue.step))
        smooth = lesion.kind != "spiculated"
        rim = 9.0 * np.exp(-((distance / 0.3) ** 2)) if smooth else 8.0 * np.exp(-distance / 1.5)
        level = level + rim * np.clip(0.8 + 0.4 * tissue.noise(1, 2), 0, 1.5)
        spots = tissue.noise(0.5, 0.8) * (1.0 if smooth else 2.5)
        soft_px = (0.1 if smooth else 0.25) / tissue.step
        fraction = ndimage.gaussian_filter(mask.astype(np.float64), soft_px)
        level = level + fraction * (lesion.level_db + spots - level)
    return level
