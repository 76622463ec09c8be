"""The server that the tests of this folder share, and input files."""

import sys
from pathlib import Path

import pytest

from .serving import Served, phantom_png

sys.path.append(str(Path(__file__).resolve().parents[1] / "dicom"))  # for make.py


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """A server with the default options except for --max-pixels."""
    made = Served(tmp_path_factory.mktemp("served"), "--max-pixels", 4_000_000)
    yield made
    assert made.stop() == 0


@pytest.fixture(scope="session")
def client(served):
    with served.client() as made:
        yield made


@pytest.fixture(scope="session")
def png():
    return phantom_png()


@pytest.fixture(scope="session")
def dicom(tmp_path_factory):
    """The bytes of a synthetic US Image with a calibrated region."""
    from make import image, region, us_image

    path = tmp_path_factory.mktemp("dicom") / "us.dcm"
    us_image(path, pixels=image(banner=24), regions=[region(24, 0, 223, 249)])
    return path.read_bytes()


@pytest.fixture(scope="session")
def cine(tmp_path_factory):
    """The bytes of a synthetic US Multi-frame Image of five frames."""
    from make import us_cine

    path = tmp_path_factory.mktemp("dicom") / "cine.dcm"
    us_cine(path, frames=5)
    return path.read_bytes()


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """The bytes of a short video of phantoms."""
    import numpy as np

    from suraksha.io.video_writer import VideoWriter

    from .serving import phantom

    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with VideoWriter(path, 10.0) as writer:
        for number in range(6):
            pixels = phantom(number, shape=(160, 200)).image.pixels
            writer.write(np.repeat(pixels[..., None], 3, axis=2))
    return path.read_bytes()
