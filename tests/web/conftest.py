"""One server for the tests of this folder, and images for it."""

import sys
from pathlib import Path

import pytest

from .serving import Served, phantom_png

sys.path.append(str(Path(__file__).resolve().parents[1] / "dicom"))  # make.py, of DICOM files


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """A server as it starts by default, but for a keep-folder it does not have."""
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
    """A synthetic US Image with a region of known scale, its bytes."""
    from make import image, region, us_image

    path = tmp_path_factory.mktemp("dicom") / "us.dcm"
    us_image(path, pixels=image(banner=24), regions=[region(24, 0, 223, 249)])
    return path.read_bytes()


@pytest.fixture(scope="session")
def cine(tmp_path_factory):
    """A synthetic US Multi-frame of five frames, its bytes."""
    from make import us_cine

    path = tmp_path_factory.mktemp("dicom") / "cine.dcm"
    us_cine(path, frames=5)
    return path.read_bytes()


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """A short video of phantoms, its bytes."""
    import numpy as np

    from suraksha.io.video_writer import VideoWriter

    from .serving import phantom

    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with VideoWriter(path, 10.0) as writer:
        for number in range(6):
            pixels = phantom(number, shape=(160, 200)).image.pixels
            writer.write(np.repeat(pixels[..., None], 3, axis=2))
    return path.read_bytes()
