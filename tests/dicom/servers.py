"""Real servers for tests and trials, in a network namespace that is not reachable from outside."""

import ctypes
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

PACKAGES = {
    "Orthanc": "orthanc",
    "storescu": "dcmtk",
    "dciodvfy": "dicom3tools",
}
PLUGINS = Path("/usr/lib/orthanc")
WEB_PLUGIN = "libOrthancDicomWeb.so*"
CLONE_NEWNET, GET_FLAGS, SET_FLAGS, UP = 0x40000000, 0x8913, 0x8914, 1
HTTP, DICOM, NODE = 8042, 4242, 11112
USER, PASSWORD = "tests", "only-for-tests"


def missing_tools():
    """The Debian packages that are not installed."""
    wanted = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    return wanted + ["orthanc-dicomweb"] * (not list(PLUGINS.glob(WEB_PLUGIN)))


def install_tools():
    """Install them if possible; the reason if not, else an empty string."""
    if not missing_tools():
        return ""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return f"Debian packages are missing: {', '.join(missing_tools())}"
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", *missing_tools()]):
        subprocess.run(["apt-get", "-qq", *words], env=environment, check=False, timeout=280)
    return f"apt-get could not install {', '.join(missing_tools())}" if missing_tools() else ""


@contextmanager
def private_network():
    """Move this thread, and what it starts, to a network namespace with a loopback only.

    Raises OSError if that is not permitted.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as before:
        if libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "a network namespace is not permitted")
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
                request = struct.pack("16sh", b"lo", 0)
                flags = struct.unpack("16sh", fcntl.ioctl(any_socket, GET_FLAGS, request))[1]
                fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh", b"lo", flags | UP))
            yield
        finally:
            libc.setns(before.fileno(), CLONE_NEWNET)


class Orthanc:
    """A real Orthanc with DICOMweb; it listens on all addresses: use a `private_network`."""

    def __init__(self, folder: Path, **settings):
        self.folder, self.settings, self._process = folder, settings, None
        self.web = f"http://127.0.0.1:{HTTP}/dicom-web"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        config = {
            "Name": "tests",
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "Plugins": [str(path) for path in sorted(PLUGINS.glob(WEB_PLUGIN))[:1]],
            "HttpPort": HTTP,
            "DicomPort": DICOM,
            "DicomAet": "ORTHANC",
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowFind": True,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "OverwriteInstances": False,
            "DicomModalities": {
                "node": {
                    "AET": "SURAKSHA",
                    "Host": "127.0.0.1",
                    "Port": NODE,
                    "AllowStorageCommitment": True,
                }
            },
            **self.settings,
        }
        path = self.folder / "orthanc.json"
        path.write_text(json.dumps(config))
        log = (self.folder / "orthanc.log").open("ab")
        with log:
            self._process = subprocess.Popen(["Orthanc", path], stdout=log, stderr=log)
        wait_for(lambda: self.reachable(), 20, "Orthanc")

    def stop(self):
        self._process.kill()  # a regular stop takes seconds
        self._process.wait(20)

    def reachable(self):
        try:
            return bool(self.get("/system"))
        except OSError:
            return False

    def get(self, path, *, method="GET", data=None):
        """The JSON, or bytes, of a REST call."""
        request = urllib.request.Request(f"http://127.0.0.1:{HTTP}{path}", data=data, method=method)
        import base64

        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=20) as answer:
            content = answer.read()
            kind = answer.headers.get("Content-Type", "")
        return json.loads(content) if "json" in kind else content

    def stored(self, modality):
        """Orthanc's ids of the instances of a modality."""
        series = self.get("/series?expand")
        return [
            instance
            for one in series
            if one["MainDicomTags"].get("Modality") == modality
            for instance in one["Instances"]
        ]

    def file(self, instance):
        """The stored file of an instance."""
        return self.get(f"/instances/{instance}/file")

    def upload(self, path):
        """Upload a file over REST."""
        return self.get("/instances", method="POST", data=Path(path).read_bytes())


def wait_for(condition, seconds, what):
    """Wait until a condition is true; its value."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {seconds} s")
        time.sleep(0.05)
    return found


def program(*words):
    """The command line of suraksha."""
    return [sys.executable, "-m", "suraksha.cli.app", *map(str, words)]


class Listening:
    """`suraksha dicom listen` or `watch` as a process."""

    def __init__(self, *words, log):
        self.words, self.log, self.process = words, log, None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()

    def start(self):
        before = self.log.read_text().count('"ready"') if self.log.is_file() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                program("dicom", *self.words, "--json", "--status-s", "0.2"), stdout=log, stderr=log
            )

        def ready():
            if self.process.poll() is not None:
                raise RuntimeError(self.log.read_text())
            return self.log.read_text().count('"ready"') > before

        wait_for(ready, 60, "the node")

    def stop(self):
        """Send SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(60)

    def kill(self):
        self.process.kill()
        self.process.wait(20)

    def status(self):
        """The latest status line."""
        lines = [line for line in self.log.read_text().splitlines() if '"status"' in line]
        return json.loads(lines[-1]) if lines else None
