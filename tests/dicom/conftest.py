"""Fixtures for tests of the node: real servers, and a node in this process."""

import pytest

from .servers import Orthanc, install_tools, private_network


@pytest.fixture(scope="session")
def debian_tools():
    """Orthanc, DCMTK and dicom3tools, installed where they are missing and that is possible."""
    why_not = install_tools()
    if why_not:
        pytest.skip(why_not)


@pytest.fixture(scope="module")
def own_network(debian_tools):
    """The tests of a module in a network that nothing outside can reach."""
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
