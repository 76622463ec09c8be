"""The network is drawn from its spec."""

import numpy as np
from PIL import Image as PilImage

from suraksha.networks.diagram import draw_network
from suraksha.networks.suraksha import SurakshaSpec


def test_diagram_follows_the_spec(tmp_path):
    images = []
    for name, spec in (
        ("whole", SurakshaSpec()),
        ("plain", SurakshaSpec(skip_attention=False, bottleneck_attention=False)),
    ):
        draw_network(spec, tmp_path / f"{name}.png")
        with PilImage.open(tmp_path / f"{name}.png") as image:
            images.append(np.asarray(image.convert("RGB")).reshape(-1, 3))
    red = [(np.abs(p.astype(int) - (252, 146, 114)).max(axis=1) < 3).mean() for p in images]
    assert red[0] > 0.05
    assert red[1] == 0


def test_diagram_can_be_a_vector_file(tmp_path):
    draw_network(SurakshaSpec(width=8), tmp_path / "net.svg", size=64)
    text = (tmp_path / "net.svg").read_text()
    assert text.startswith("<?xml")
    assert text.count("<path") > 50
