import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage

from suraksha.datasets.phash import fingerprint, group_names, near_duplicates
from suraksha.types import Image


def cosine_matrix(n):
    k, x = np.mgrid[:n, :n]
    return np.cos(np.pi * k * (2 * x + 1) / (2 * n))


def test_bits_by_the_definition_of_the_cosine_transform(tree):
    pixels = tree.texture(4, (97, 131))
    small = PilImage.fromarray(pixels).resize((64, 64), PilImage.Resampling.BILINEAR)
    c = cosine_matrix(64) * np.where(np.arange(64) == 0, np.sqrt(0.5), 1)[:, None]
    low = (c @ np.asarray(small, float) @ c.T)[:16, :16].ravel()
    np.testing.assert_array_equal(fingerprint(Image(pixels)), low > np.median(low))


def test_brightness_contrast_and_size_hardly_matter(tree):
    pixels = tree.texture(4, (200, 260))
    darker = (pixels.astype(float) * 0.6 + 10).astype(np.uint8)
    smaller = np.asarray(PilImage.fromarray(darker).resize((190, 150)))
    bits = fingerprint(Image(pixels))
    assert (bits != fingerprint(Image(smaller))).sum() <= 20
    assert (bits != fingerprint(Image(tree.texture(5)))).sum() > 90
    assert (bits != fingerprint(Image(np.stack([pixels] * 3, axis=2)))).sum() == 0


def linked_by_hand(bits, limit):
    label = list(range(len(bits)))
    changed = True
    while changed:
        changed = False
        for i in range(len(bits)):
            for j in range(len(bits)):
                if (bits[i] != bits[j]).sum() <= limit and label[j] != label[i]:
                    label[i] = label[j] = min(label[i], label[j])
                    changed = True
    order = sorted(set(label))
    return [order.index(number) for number in label]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), count=st.integers(0, 14), limit=st.integers(0, 128))
def test_chains_are_linked(seed, count, limit):
    rng = np.random.default_rng(seed)
    flips = rng.random((count, 256)) < rng.random((count, 1)) * 0.4
    bits = flips ^ (rng.random(256) < 0.5)
    assert near_duplicates(bits, max_distance=limit).tolist() == linked_by_hand(bits, limit)


@pytest.mark.parametrize(("distance", "groups"), [(60, [0, 0]), (61, [0, 1])])
def test_the_limit_itself_is_linked(distance, groups):
    bits = np.zeros((2, 256), np.bool_)
    bits[1, :distance] = True
    assert near_duplicates(bits).tolist() == groups


def test_groups_are_named_after_their_first():
    assert group_names(["a", "b", "c"], np.array([0, 1, 0])) == ["a", "b", "a"]
