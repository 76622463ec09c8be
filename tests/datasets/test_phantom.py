import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage
from PIL import ImageDraw

from suraksha.datasets import phantom, phantom_spec
from suraksha.datasets.phantom import (
    Layer,
    LesionSpec,
    PhantomSpec,
    make_phantom,
    sample_phantom,
    sample_phantoms,
)
from suraksha.errors import UsageError
from suraksha.types import Spacing

UNIFORM = (Layer("uniform", 1.0, -30.0),)
DISC = LesionSpec((14.0, 25.0), (5.0, 5.0))


def envelope(made):
    """The envelope that the log compression started from."""
    pixels = made.image.pixels.astype(float)
    return 10 ** ((pixels / 255 - 1) * made.spec.dynamic_range_db / 20)


def spec_of(lesion, **changes):
    return PhantomSpec(layers=UNIFORM, lesions=(lesion,), **changes)


# --- the image ----------------------------------------------------------------------------------


def test_speckle_is_rayleigh():
    seen = envelope(make_phantom(PhantomSpec(layers=UNIFORM, seed=1)))
    rayleigh = math.sqrt(math.pi / (4 - math.pi))
    assert rayleigh == pytest.approx(1.913, abs=1e-3)
    assert seen.mean() / seen.std() == pytest.approx(rayleigh, rel=0.03)
    # The distribution as a whole: P(envelope <= x) = 1 - exp(-x^2 / mean square).
    power = np.mean(seen**2)
    for fraction in (0.1, 0.3, 0.5, 0.7, 0.9):
        edge = math.sqrt(-power * math.log(1 - fraction))
        assert np.mean(seen <= edge) == pytest.approx(fraction, abs=0.02)


def test_averaging_looks_raises_the_signal_to_noise_ratio():
    seen = envelope(make_phantom(PhantomSpec(layers=UNIFORM, seed=1, looks=4)))
    assert seen.mean() / seen.std() == pytest.approx(2 * 1.913, rel=0.04)


@pytest.mark.parametrize("level", [-20.0, -35.0])
def test_brightness_is_the_echogenicity(level):
    made = make_phantom(PhantomSpec(layers=(Layer("uniform", 1.0, level),), seed=2))
    rms = 10 * math.log10(np.mean(envelope(made) ** 2))
    assert rms == pytest.approx(level, abs=0.3)
    top, bottom = np.split(envelope(made), 2)
    assert 20 * math.log10(top.mean() / bottom.mean()) == pytest.approx(0, abs=0.4)


def correlation_length(envelopes, axis):
    """Lag in pixels at which the correlation of the intensity falls below one half."""
    power = envelopes**2 - np.mean(envelopes**2)
    for lag in range(1, 40):
        ahead = np.take(power, range(lag, power.shape[axis]), axis)
        behind = np.take(power, range(power.shape[axis] - lag), axis)
        if np.mean(ahead * behind) < 0.5 * np.mean(power**2):
            return lag
    return 40


def test_speckle_widens_away_from_the_focus_and_with_a_lower_frequency():
    seen = envelope(make_phantom(PhantomSpec(layers=UNIFORM, seed=3)))
    assert correlation_length(seen[140:180], 1) < correlation_length(seen[-40:], 1)
    low = envelope(make_phantom(PhantomSpec(layers=UNIFORM, seed=3, frequency_mhz=4.0)))
    assert correlation_length(seen, 0) < correlation_length(low, 0)
    assert correlation_length(seen, 0) < correlation_length(seen, 1)


def test_a_lesion_is_darker_than_what_surrounds_it():
    made = make_phantom(spec_of(DISC, seed=4))
    around = ~made.mask[90:190, 150:350]
    pixels = made.image.pixels[90:190, 150:350]
    assert pixels[~around].mean() < 0.5 * pixels[around].mean()


@pytest.mark.parametrize(
    ("posterior", "change"), [("shadow", -12.0), ("enhancement", 12.0), ("none", 0.0)]
)
def test_brightness_behind_a_lesion(posterior, change):
    made = make_phantom(spec_of(dataclasses.replace(DISC, posterior=posterior), seed=5))
    seen = envelope(made)
    behind, beside = seen[240:340, 240:260], seen[240:340, 20:160]
    assert 20 * math.log10(behind.mean() / beside.mean()) == pytest.approx(change, abs=1.5)


def test_noise_grows_with_depth():
    layers = (Layer("nothing", 1.0, -200.0),)
    seen = envelope(make_phantom(PhantomSpec(layers=layers, noise_db=-60.0, seed=6)))
    # 0.5 dB/cm/MHz there and back at 10 MHz over 1 cm.
    ratio = 20 * math.log10(seen[300:310].mean() / seen[200:210].mean())
    assert ratio == pytest.approx(10, abs=0.6)


def test_a_breast_has_its_layers():
    made = make_phantom(PhantomSpec(seed=7))
    rows = made.image.pixels.mean(axis=1)
    skin, fat, gland = rows[:4].mean(), rows[25:80].mean(), rows[120:210].mean()
    assert skin > gland > fat
    assert rows.mean() == pytest.approx(100, abs=30)


def test_the_same_spec_gives_the_same_image():
    one, two = (make_phantom(PhantomSpec(shape=(90, 110), seed=8)) for _ in range(2))
    np.testing.assert_array_equal(one.image.pixels, two.image.pixels)
    other = make_phantom(PhantomSpec(shape=(90, 110), seed=9))
    assert (one.image.pixels != other.image.pixels).mean() > 0.5


def test_images_are_named_synthetic_and_are_read_only():
    made = make_phantom(spec_of(DISC, name="demo"))
    assert made.image.name == "synthetic-demo"
    assert made.image.spacing == Spacing(0.1, 0.1, "phantom")
    assert made.image.pixels.dtype == np.uint8
    assert not made.mask.flags.writeable
    for text in (phantom.__doc__, make_phantom.__doc__, sample_phantom.__doc__):
        assert "synthetic" in text.lower()
        assert "no clinical conclusion may be drawn" in " ".join(text.lower().split())


# --- the truth ------------------------------------------------------------------------------------

KINDS = st.sampled_from(["ellipse", "lobulated", "spiculated"])


def any_lesion(draw):
    return LesionSpec(
        (draw(st.floats(14, 26)), draw(st.floats(18, 32))),
        (draw(st.floats(2, 7)), draw(st.floats(2, 7))),
        angle_deg=draw(st.floats(-180, 180)),
        kind=draw(KINDS),
        outline_seed=draw(st.integers(0, 1000)),
    )


lesions = st.composite(any_lesion)()


@settings(deadline=None, max_examples=25)
@given(lesion=lesions, row_mm=st.floats(0.05, 0.2), col_mm=st.floats(0.05, 0.2))
def test_the_mask_has_the_area_of_the_outline(lesion, row_mm, col_mm):
    spec = PhantomSpec((int(42 / row_mm), int(52 / col_mm)), Spacing(row_mm, col_mm))
    mask = phantom_spec.lesion_masks(dataclasses.replace(spec, lesions=(lesion,)))[0]
    area = phantom_spec.lesion_truth(lesion).area_mm2
    assert mask.sum() * row_mm * col_mm == pytest.approx(area, rel=0.02)


@settings(deadline=None, max_examples=12)
@given(lesion=lesions)
def test_the_truth_is_that_of_the_outline_as_a_polygon(lesion):
    truth = phantom_spec.lesion_truth(lesion)
    rows, columns = phantom_spec._outline(lesion).T
    shoelace = abs(np.dot(rows, np.roll(columns, 1)) - np.dot(columns, np.roll(rows, 1))) / 2
    assert truth.area_mm2 == pytest.approx(shoelace, rel=1e-4)
    # The maximum width over all directions is the maximum diameter.
    turns = np.linspace(0, np.pi, 720, endpoint=False)
    across = np.outer(rows, np.sin(turns)) + np.outer(columns, np.cos(turns))
    widths = np.ptp(across, axis=0)
    assert truth.long_axis_mm == pytest.approx(widths.max(), rel=1e-4)
    assert widths.min() - 1e-3 <= truth.short_axis_mm <= truth.long_axis_mm + 1e-3


def test_the_truth_of_an_ellipse_is_analytic():
    truth = phantom_spec.lesion_truth(LesionSpec((10, 10), (3.0, 5.0), angle_deg=33))
    assert truth.area_mm2 == pytest.approx(math.pi * 15)
    assert (truth.long_axis_mm, truth.short_axis_mm) == (10.0, 6.0)


def test_the_mask_agrees_with_the_outline_drawn_by_pillow():
    lesion = LesionSpec((20, 25), (8, 4), angle_deg=30, kind="lobulated", outline_seed=3)
    made = make_phantom(spec_of(lesion))
    scale = 8
    canvas = PilImage.new("1", (500 * scale, 400 * scale))
    outline = phantom_spec._outline(lesion) / 0.1 * scale - 0.5
    ImageDraw.Draw(canvas).polygon([(c, r) for r, c in outline], fill=1)
    fine = np.asarray(canvas).reshape(400, scale, 500, scale).mean(axis=(1, 3))
    assert not ((fine > 0.75) & ~made.mask).any()
    assert not ((fine < 0.25) & made.mask).any()
    # The angle turns clockwise on the screen: the right end of the long axis is lower.
    rows, columns = np.nonzero(made.mask)
    assert rows[columns.argmax()] > rows[columns.argmin()] + 30


def test_several_lesions_keep_their_order():
    one, two = LesionSpec((10, 12), (3, 3)), LesionSpec((30, 40), (5, 4))
    made = make_phantom(PhantomSpec(layers=UNIFORM, lesions=(one, two)))
    assert [truth.spec for truth in made.lesions] == [one, two]
    assert made.mask[100, 120]
    assert made.mask[300, 400]
    total = sum(truth.area_mm2 for truth in made.lesions)
    assert made.mask.sum() * 0.01 == pytest.approx(total, rel=0.01)


# --- the series and the refusals ------------------------------------------------------------------


def test_samples_are_varied_plausible_and_stable():
    made = sample_phantoms(6, 11, shape=(120, 150))
    names = [each.image.name for each in made]
    assert len(set(names)) == 6
    assert all(name.startswith("synthetic-") for name in names)
    kinds = [name.split("-")[1] for name in names]
    assert {kind: kinds.count(kind) for kind in kinds} == {"benign": 3, "malignant": 2, "normal": 1}
    for kind, each in zip(kinds, made, strict=True):
        assert each.image.shape == (120, 150)
        assert len(each.lesions) == (kind != "normal")
        assert each.mask.any() == (kind != "normal")
        if kind != "normal":
            rows, columns = (np.ptp(index) for index in np.nonzero(each.mask))
            assert (rows > columns) == (kind == "malignant")
            assert each.image.pixels[each.mask].mean() < 0.7 * each.image.pixels.mean()
    again = sample_phantoms(2, 11, shape=(120, 150))
    for one, two in zip(again, made, strict=False):
        np.testing.assert_array_equal(one.image.pixels, two.image.pixels)
    assert sample_phantoms(0, 11) == []


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), benign=st.booleans(), width=st.floats(30, 60))
def test_sampled_lesions_always_fit(seed, benign, width):
    lesion = phantom._sample_lesion(np.random.default_rng(seed), benign, width)
    spec = PhantomSpec((400, int(width * 10)), lesions=(lesion,))
    assert phantom_spec.lesion_masks(spec)[0].any()


def test_invalid_specs_are_refused():
    for wrong in (
        {"shape": (0, 10)}, {"looks": 0}, {"frequency_mhz": 0.0}, {"dynamic_range_db": 0.0},
        {"layers": ()},
    ):  # fmt: skip
        with pytest.raises(UsageError, match="cannot be drawn"):
            PhantomSpec(**wrong)
    for wrong in (
        {"semi_axes_mm": (0.0, 3.0)}, {"kind": "round"}, {"posterior": "dark"},
        {"posterior_db": -1.0},
    ):  # fmt: skip
        with pytest.raises(UsageError, match="cannot be drawn"):
            dataclasses.replace(DISC, **wrong)
    with pytest.raises(UsageError, match="extends outside the image"):
        make_phantom(spec_of(dataclasses.replace(DISC, centre_mm=(3.0, 20.0))))
    with pytest.raises(UsageError, match="overlap"):
        make_phantom(PhantomSpec(lesions=(DISC, DISC)))


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (31, 47)])
def test_small_images_can_be_drawn(shape):
    assert make_phantom(PhantomSpec(shape=shape)).image.shape == shape


def test_anisotropic_pixels():
    made = make_phantom(spec_of(DISC, shape=(400, 250), spacing=Spacing(0.1, 0.2)))
    rows, columns = (np.ptp(index) + 1 for index in np.nonzero(made.mask))
    assert rows == pytest.approx(100, abs=1)
    assert columns == pytest.approx(50, abs=1)
