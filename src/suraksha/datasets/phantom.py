"""Synthetic B-mode images of a breast, with lesions of exactly known shape and size.

They are for tests, demos and users without data. They are SYNTHETIC: a simple model of speckle, not
of patients. No clinical conclusion may be drawn from them, or from a score on them.

The model: scatterers with random complex amplitudes, scaled by a map of echogenicity, are blurred
with a Gaussian point-spread function that widens away from the focus; attenuation, electronic noise
and time-gain compensation follow; the envelope is compressed logarithmically. As many scatterers
are in a resolution cell, the envelope of a uniform region is Rayleigh distributed, of mean / std
1.91 (Burckhardt 1978, doi 10.1109/T-SU.1978.30978; Wagner et al. 1983, doi
10.1109/T-SU.1983.31404). The signal is demodulated: the carrier's phase within a pixel is part of
the random amplitude.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from suraksha.datasets.phantom_spec import (
    BREAST,
    Floats,
    Layer,
    LesionSpec,
    LesionTruth,
    PhantomSpec,
    lesion_masks,
    lesion_truth,
)
from suraksha.datasets.phantom_tissue import echogenicity
from suraksha.types import Image, Spacing

__all__ = [
    "BREAST",
    "Layer",
    "LesionSpec",
    "LesionTruth",
    "Phantom",
    "PhantomSpec",
    "make_phantom",
    "sample_phantoms",
]

SPEED_MM_PER_US = 1.54
TISSUE_DB_PER_CM_MHZ = 0.5
PULSE_WAVELENGTHS, F_NUMBER, FOCUS_MM, FOCUS_DEPTH_MM = 2.2, 3.2, 16.0, 12.0
FIELD_DEPTH_MM = 40.0
SHAPE = (400, 500)
SERIES = ("benign", "malignant", "benign", "normal", "malignant", "benign")
FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A synthetic image and its exact truth. No clinical conclusion may be drawn from it.

    Args:
        image: (H, W) uint8 with spacing; its name starts with ``synthetic-``.
        mask: (H, W) bool, read-only: pixels whose centre is inside an outline.
        lesions: One for each lesion of the spec, in its order.
        spec: What it was made from.
    """

    image: Image
    mask: NDArray[np.bool_]
    lesions: tuple[LesionTruth, ...]
    spec: PhantomSpec


def _speckle(
    spec: PhantomSpec, amplitude: Floats, rng: np.random.Generator
) -> NDArray[np.complex128]:
    """Scatterers of these amplitudes, blurred by a point-spread function of unit gain."""
    wavelength_mm = SPEED_MM_PER_US / spec.frequency_mhz
    axial = PULSE_WAVELENGTHS * wavelength_mm / FWHM_PER_SIGMA / spec.spacing.row_mm
    focus = F_NUMBER * wavelength_mm / FWHM_PER_SIGMA / spec.spacing.col_mm
    margin = (math.ceil(4 * axial), math.ceil(12 * focus))
    padded = np.pad(amplitude, ((margin[0],) * 2, (margin[1],) * 2), mode="edge")
    field = (
        rng.standard_normal((*padded.shape, 2)).view(np.complex128)[..., 0] * padded / math.sqrt(2)
    )
    # Along the rows each depth has its own width, so that the filter is applied to the spectrum.
    depth = (np.arange(padded.shape[0]) - margin[0] + 0.5) * spec.spacing.row_mm
    width = focus * np.hypot(1, (depth - FOCUS_MM) / FOCUS_DEPTH_MM)
    gain = np.exp(-2 * (np.pi * np.fft.fftfreq(padded.shape[1]) * width[:, None]) ** 2)
    gain /= np.sqrt((gain**2).mean(axis=1, keepdims=True))
    field = fft.ifft(fft.fft(field, axis=1) * gain, axis=1)
    impulse = np.zeros(2 * margin[0] + 1)
    impulse[margin[0]] = 1
    unit = np.linalg.norm(ndimage.gaussian_filter1d(impulse, axial))
    field = ndimage.gaussian_filter1d(field, axial, axis=0) / unit
    rows, columns = amplitude.shape
    cropped: NDArray[np.complex128] = field[margin[0] :, margin[1] :][:rows, :columns]
    return cropped


def _behind(spec: PhantomSpec, masks: list[NDArray[np.bool_]]) -> Floats:
    """Change of brightness in dB caused by the lesions that the beam crossed, (H, W)."""
    change = np.zeros(spec.shape)
    for lesion, mask in zip(spec.lesions, masks, strict=True):
        crossed = np.cumsum(mask, axis=0, dtype=np.float64)
        sign = {"shadow": -1.0, "enhancement": 1.0, "none": 0.0}[lesion.posterior]
        change += sign * lesion.posterior_db * crossed / max(float(crossed.max()), 1.0)
    return ndimage.gaussian_filter1d(change, 0.7 / spec.spacing.col_mm, axis=1)


def make_phantom(spec: PhantomSpec) -> Phantom:
    """Draw a synthetic B-mode image with its exact truth.

    Args:
        spec: All that determines it.

    Returns:
        The phantom. No clinical conclusion may be drawn from it.

    Raises:
        UsageError: A lesion that extends outside the image or overlaps another one.
    """
    masks = lesion_masks(spec)
    level = echogenicity(spec, masks) + _behind(spec, masks)
    depth_cm = (np.arange(spec.shape[0])[:, None] + 0.5) * spec.spacing.row_mm / 10
    attenuation = 10 ** (-2 * TISSUE_DB_PER_CM_MHZ * spec.frequency_mhz * depth_cm / 20)
    amplitude = 10 ** (level / 20)
    noise = 10 ** (spec.noise_db / 20) / math.sqrt(2)
    rng = np.random.default_rng([spec.seed, 2])
    envelope = np.zeros(spec.shape)
    for _ in range(spec.looks):
        received = _speckle(spec, amplitude, rng) * attenuation
        received += noise * rng.standard_normal((*spec.shape, 2)).view(np.complex128)[..., 0]
        envelope += np.abs(received / attenuation) / spec.looks
    decibel = 20 * np.log10(np.maximum(envelope, 1e-12))
    grey = np.clip(np.rint(255 * (1 + decibel / spec.dynamic_range_db)), 0, 255).astype(np.uint8)
    mask = np.any(masks, axis=0) if masks else np.zeros(spec.shape, dtype=bool)
    mask.flags.writeable = False
    truths = tuple(lesion_truth(lesion) for lesion in spec.lesions)
    return Phantom(Image(grey, spec.spacing, f"synthetic-{spec.name}"), mask, truths, spec)


def _sample_lesion(rng: np.random.Generator, benign: bool, width_mm: float) -> LesionSpec:
    """A textbook lesion: wider than tall and smooth, or taller than wide and spiculated."""
    scale = min(1.0, width_mm / 50)
    long, short = rng.uniform(4.5, 9.0) * scale, rng.uniform(0.5, 0.75)
    centre = (rng.uniform(14, 20), width_mm * rng.uniform(0.35, 0.65))
    seed = int(rng.integers(2**31))
    if benign:
        return LesionSpec(
            centre,
            (long, long * short),
            angle_deg=rng.uniform(-15, 15),
            kind="lobulated" if rng.random() < 0.4 else "ellipse",
            level_db=rng.uniform(-60, -46),
            posterior="none" if rng.random() < 0.25 else "enhancement",
            posterior_db=rng.uniform(4, 9),
            outline_seed=seed,
        )
    tall = min(0.75 * long, 5.5 * scale)
    return LesionSpec(
        centre,
        (tall * rng.uniform(0.65, 0.95), tall),
        angle_deg=rng.uniform(-20, 20),
        kind="spiculated",
        level_db=rng.uniform(-53, -45),
        posterior="none" if rng.random() < 0.2 else "shadow",
        posterior_db=rng.uniform(10, 22),
        outline_seed=seed,
    )


def sample_phantom(seed: int, number: int, *, shape: tuple[int, int] = SHAPE) -> Phantom:
    """One of a series of varied synthetic images for tests, demos and trials of training.

    Of six, one has no lesion, three are benign-like (smooth, wider than tall, often brighter
    behind) and two malignant-like (spiculated, taller than wide, often with a shadow). This is how
    textbooks draw them; patients differ, and no clinical conclusion may be drawn.

    Args:
        seed: Selects the series.
        number: Which of the series, from 0.
        shape: (rows, columns) in pixels; the rows always cover 40 mm.

    Returns:
        The phantom, named ``synthetic-<kind>-<seed>-<number>``.

    Raises:
        UsageError: A shape without pixels, or so narrow that a lesion does not fit.
    """
    spacing = Spacing.square(FIELD_DEPTH_MM / max(shape[0], 1), "phantom")
    rng = np.random.default_rng([seed, number])
    kind = kind_of(number)
    layers = tuple(
        replace(
            layer,
            thickness_mm=layer.thickness_mm * rng.uniform(0.7, 1.3),
            level_db=layer.level_db + rng.uniform(-2, 2),
        )
        for layer in BREAST
    )
    drawn = _sample_lesion(rng, kind == "benign", shape[1] * spacing.col_mm)
    spec = PhantomSpec(
        shape=shape,
        spacing=spacing,
        seed=int(rng.integers(2**31)),
        layers=layers,
        lesions=() if kind == "normal" else (drawn,),
        frequency_mhz=rng.uniform(8, 13),
        looks=int(rng.integers(2, 5)),
        name=f"{kind}-{seed}-{number:04d}",
    )
    return make_phantom(spec)


def kind_of(number: int) -> str:
    """The kind of a series' image: ``benign``, ``malignant`` or ``normal``."""
    return SERIES[number % len(SERIES)]


def sample_phantoms(n: int, seed: int, *, shape: tuple[int, int] = SHAPE) -> list[Phantom]:
    """The first ``n`` images of a series, see `sample_phantom`."""
    return [sample_phantom(seed, number, shape=shape) for number in range(n)]
