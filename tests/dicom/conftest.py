"""Fixtures with real servers."""

import pytest

from .servers import Orthanc, install_tools, private_network


@pytest.fixture(scope="session")
def debian_tools():
    """Orthanc, DCMTK and dicom3tools, installed if they are missing."""
    why_not = install_tools()
    if why_not:
        pytest.skip(why_not)


@pytest.fixture(scope="module")
def own_network(debian_tools):
    """Run the tests of a module in a network namespace that is not reachable from outside."""
    try:
        network = private_network()
        network.__enter__()
    except OSError as error:
        pytest.skip(f"no network namespace: {error.strerror}")
    yield
    network.__exit__(None, None, None)


@pytest.fixture
def orthanc(own_network, tmp_path):
    """An empty Orthanc."""
    with Orthanc(tmp_path / "orthanc") as server:
        yield server
