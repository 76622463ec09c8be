"""Associations over TLS: mutual if a CA is given; slow handshakes do not block others."""

import gc
import shutil
import socket
import subprocess
import time

import pytest

from suraksha.dicom.network.commitment import Commitments
from suraksha.dicom.network.logs import silence_loggers
from suraksha.dicom.network.peer import Peer, PeerError
from suraksha.dicom.network.queue import Queue
from suraksha.dicom.network.scp import ScpOptions, StorageScp
from suraksha.dicom.network.scu import DicomDestination, SendOptions
from suraksha.dicom.network.server import NetworkLimits
from suraksha.dicom.network.spool import Spool
from suraksha.dicom.network.tls import Tls
from suraksha.errors import UsageError

from ..make import us_files

if shutil.which("openssl") is None:
    pytest.skip("openssl makes the certificates", allow_module_level=True)
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")


def openssl(*words, folder):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A CA, certificates of a node and a scanner, and a self-signed one of a stranger."""
    folder = tmp_path_factory.mktemp("tls")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("ca", "stranger"):
        words = ("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem")
        openssl(*words, "-subj", f"/CN={name}", "-days", "2", folder=folder)
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
    for name in ("node", "scanner"):
        words = ("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl(*words, "-subj", f"/CN={name}", folder=folder)
        words = ("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key")
        more = ("-CAcreateserial", "-out", f"{name}.pem", "-days", "2", "-extfile", "names")
        openssl(*words, *more, folder=folder)
    return folder


def files(folder, name, *, authority="ca"):
    return Tls(
        certificate=folder / f"{name}.pem" if name else None,
        key=folder / f"{name}.key" if name else None,
        ca=folder / f"{authority}.pem" if authority else None,
    )


@pytest.fixture
def node(certificates, tmp_path):
    silence_loggers()
    spool, queue = Spool(tmp_path / "spool"), Queue(tmp_path / "spool")
    options = ScpOptions(
        port=0,
        tls=files(certificates, "node"),
        limits=NetworkLimits(max_associations=4, pdu_timeout_s=3),
    )
    made = StorageScp(spool, queue, options=options, commitments=Commitments())
    made.start()
    yield made
    made.stop()
    queue.close()
    gc.collect()  # sockets of failed handshakes, which pynetdicom does not close


def send(node, paths, tls):
    peer = Peer("SURAKSHA", "127.0.0.1", node.port)
    return DicomDestination(peer, SendOptions(tls=tls, timeout_s=5)).send(paths)


def test_a_client_with_a_certificate_of_the_ca_can_send(node, certificates, tmp_path):
    paths = us_files(tmp_path / "in", 2)
    assert send(node, paths, files(certificates, "scanner")) == dict.fromkeys(paths, "")
    assert node.counts()["stored"] == 2


@pytest.mark.parametrize(
    ("name", "authority"), [("", "ca"), ("stranger", "ca"), ("scanner", "stranger"), ("", "")]
)
def test_other_clients_cannot_send(node, certificates, tmp_path, name, authority):
    paths = us_files(tmp_path / "in", 1)
    with pytest.raises(PeerError):
        send(node, paths, files(certificates, name, authority=authority))
    assert node.counts()["stored"] == 0
    assert send(node, paths, files(certificates, "scanner")) == {paths[0]: ""}


def test_incomplete_handshakes_do_not_block_others(node, certificates, tmp_path):
    wires = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(5)]
    wires[0].sendall(b"\x16\x03\x01\x02\x00\x01")  # the start of a ClientHello
    begun = time.monotonic()
    paths = us_files(tmp_path / "in", 1)
    assert send(node, paths, files(certificates, "scanner")) == {paths[0]: ""}
    assert time.monotonic() - begun < 2.5  # before the timeout of the others
    for wire in wires:
        wire.close()


@pytest.mark.parametrize("broken", ["missing", "not PEM", "another key"])
def test_unusable_files_are_reported(certificates, tmp_path, broken):
    bad = tmp_path / "bad.pem"
    if broken == "not PEM":
        bad.write_text("nothing")
    key = certificates / "scanner.key"
    certificate = certificates / "node.pem" if broken == "another key" else bad
    with pytest.raises(UsageError, match="TLS cannot be configured"):
        Tls(certificate, key).server()


def test_incomplete_files_are_refused(certificates):
    with pytest.raises(UsageError):
        Tls(certificate=certificates / "node.pem")
    with pytest.raises(UsageError, match="CA alone"):
        files(certificates, "").server()
    with pytest.raises(UsageError, match="--tls-ca"):
        files(certificates, "node", authority=None).client()
    assert Tls().server() is None
    assert Tls().client() is None
