"""The cluster bootstrap against drawing by hand and against SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from suraksha.errors import UsageError
from suraksha.metrics.bootstrap import Resampler, estimate

LISTS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5)), min_size=1, max_size=25)


def draw_by_hand(groups, values, *, seed, resamples):
    """Each resample as a plain list: groups drawn with replacement, all their images."""
    names = sorted(set(groups))
    drawn = np.random.default_rng(seed).integers(0, len(names), (resamples, len(names)))
    return [
        [v for i in row for g, v in zip(groups, values, strict=True) if g == names[i]]
        for row in drawn
    ]


@given(LISTS, st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_means_medians_and_totals_of_the_drawn_images(rows, seed):
    values = np.array([v for v, _ in rows])
    groups = [f"g{g}" for _, g in rows]
    draw = Resampler.of(groups, seed=seed, resamples=20)
    by_hand = [list(values), *draw_by_hand(groups, values, seed=seed, resamples=20)]
    assert draw.means(values) == pytest.approx([np.mean(r) for r in by_hand])
    assert draw.medians(values) == pytest.approx([np.median(r) for r in by_hand])
    table = np.stack([values, np.ones_like(values)], axis=1)
    assert draw.totals(table) == pytest.approx(np.array([[np.sum(r), len(r)] for r in by_hand]))


@given(LISTS, st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_nan_is_ignored(rows, seed):
    values = np.array([v for v, _ in rows])
    groups = [f"g{g}" for _, g in rows]
    draw = Resampler.of([*groups, *groups], seed=seed, resamples=20)
    plain = Resampler.of(groups, seed=seed, resamples=20)
    with_nan = np.concatenate([values, np.full(len(values), np.nan)])
    assert draw.means(with_nan) == pytest.approx(plain.means(values))
    assert draw.medians(with_nan) == pytest.approx(plain.medians(values))


@given(LISTS, st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_the_interval_contains_the_mean(rows, seed):
    values = np.array([v for v, _ in rows])
    means = Resampler.of([str(g) for _, g in rows], seed=seed, resamples=400).means(values)
    found = estimate(means[0], means[1:])
    assert found.value == pytest.approx(values.mean())
    assert found.low - 1e-12 <= found.value <= found.high + 1e-12


def test_groups_of_one_give_the_ordinary_bootstrap():
    values = np.random.default_rng(3).beta(5, 2, 200)
    means = Resampler.of([f"{i:03}" for i in range(200)], seed=0, resamples=4000).means(values)
    found = estimate(means[0], means[1:])
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.low == pytest.approx(theirs.low, abs=0.004)
    assert found.high == pytest.approx(theirs.high, abs=0.004)


def test_copies_in_one_group_do_not_narrow_the_interval():
    values = np.random.default_rng(4).random(60)
    names = [str(i) for i in range(60)]
    once = Resampler.of(names, seed=0, resamples=500).means(values)
    thrice = Resampler.of(names * 3, seed=0, resamples=500).means(np.tile(values, 3))
    apart = Resampler.of([str(i) for i in range(180)], seed=0, resamples=500)
    assert thrice == pytest.approx(once)
    assert np.std(apart.means(np.tile(values, 3))) < 0.7 * np.std(once)


def test_the_order_of_the_images_does_not_matter():
    values = np.random.default_rng(5).random(30)
    groups = np.array([str(i // 3) for i in range(30)])
    order = np.random.default_rng(6).permutation(30)
    one = Resampler.of(groups.tolist(), seed=0, resamples=50)
    other = Resampler.of(groups[order].tolist(), seed=0, resamples=50)
    assert one.means(values) == pytest.approx(other.means(values[order]))
    assert one.medians(values) == pytest.approx(other.medians(values[order]))


def test_without_values_everything_is_nan():
    draw = Resampler.of(["a", "b"], seed=0, resamples=10)
    nothing = np.full(2, np.nan)
    assert np.isnan(draw.means(nothing)).all()
    assert np.isnan(draw.medians(nothing)).all()
    found = estimate(float("nan"), draw.means(nothing)[1:])
    assert np.isnan([found.value, found.low, found.high]).all()


@pytest.mark.parametrize(("groups", "resamples"), [([], 10), (["a"], 0)])
def test_an_empty_bootstrap_is_refused(groups, resamples):
    with pytest.raises(UsageError, match="resamples=1000"):
        Resampler.of(groups, seed=0, resamples=resamples)
