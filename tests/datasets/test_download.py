import hashlib
import io
import re
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from suraksha.datasets.download import fetch
from suraksha.datasets.layouts import find_cases
from suraksha.errors import DataError, UnknownNameError, UsageError


@pytest.fixture
def archive(tree):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as target:
        for path in sorted(tree.root.rglob("*.png")):
            target.write(path, f"{tree.root.name}/{path.relative_to(tree.root)}")
        target.writestr("noise.bin", hashlib.shake_256(b"x").digest(50_000))
    return memory.getvalue()


class Server(ThreadingHTTPServer):
    """Serves ``content``; may cut each answer short, ignore Range, or answer with an error."""

    daemon_threads = True

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.cut, self.ranges, self.status, self.redirect = content, None, True, 0, ""
        self.asked = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/busi%20(1).zip"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server, size = self.server, len(self.server.content)
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if server.redirect or server.status:
            self.send_response(302 if server.redirect else server.status)
            if server.redirect:
                self.send_header("Location", server.redirect)
            self.end_headers()
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked).group(1)) if asked and server.ranges else 0
        if start >= size:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        self.wfile.write(server.content[start:][: server.cut])


@pytest.fixture
def server(archive, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(archive) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())


def test_from_a_url(server, tmp_path, archive):
    calls = []
    got = fetch(
        "busi",
        server.url,
        folder=tmp_path / "my sets",
        sha256=sha256(archive).upper(),
        progress=lambda done, total: calls.append((done, total)),
    )
    assert got == tmp_path / "my sets" / "busi"
    assert len(find_cases(got)) == 8
    assert leftovers(got.parent) == ["busi"]
    assert (len(archive), len(archive)) in calls


def test_local_zip_is_kept(tmp_path, archive):
    path = tmp_path / "my copy (1).zip"
    path.write_bytes(archive)
    got = fetch("busi", path, folder=tmp_path / "d", sha256=sha256(archive))
    assert len(find_cases(got)) == 8
    assert path.read_bytes() == archive
    assert leftovers(got.parent) == ["busi"]


def test_cut_connections_are_resumed(server, tmp_path, archive):
    server.cut = len(archive) // 3
    got = fetch("busi", server.url, folder=tmp_path / "d", sha256=sha256(archive))
    assert len(find_cases(got)) == 8
    third = len(archive) // 3
    assert server.asked[:3] == [None, f"bytes={third}-", f"bytes={2 * third}-"]


def test_interrupted_download_continues_in_the_next_call(server, tmp_path, archive):
    server.cut, server.ranges = 1000, False
    with pytest.raises(DataError, match="after 1000 bytes"):
        fetch("busi", server.url, folder=tmp_path / "d")
    (part,) = (tmp_path / "d").iterdir()
    assert part.name.endswith(".part")
    server.cut, server.ranges, server.status = None, True, 429
    with pytest.raises(DataError, match="429"):
        fetch("busi", server.url, folder=tmp_path / "d")
    assert part.stat().st_size == 1000, "a refusal of the server costs nothing that came before"
    server.status = 0
    server.asked.clear()
    fetch("busi", server.url, folder=tmp_path / "d")
    assert server.asked == ["bytes=1000-"]
    assert leftovers(tmp_path / "d") == ["busi"]


def test_server_without_range_support_restarts_the_download(server, tmp_path, archive):
    server.cut, server.ranges = 1000, False
    with pytest.raises(DataError):
        fetch("busi", server.url, folder=tmp_path / "d")
    server.cut = None
    got = fetch("busi", server.url, folder=tmp_path / "d", sha256=sha256(archive))
    assert len(find_cases(got)) == 8


@pytest.mark.parametrize("extra", [b"", b"more than the server has"])
def test_whole_or_too_long_part_file(server, tmp_path, archive, extra):
    """A kill between download and unpacking, or a file that has become shorter."""
    server.cut = 1000
    server.ranges = False
    with pytest.raises(DataError):
        fetch("busi", server.url, folder=tmp_path / "d")
    server.cut, server.ranges = None, True
    (part,) = (tmp_path / "d").iterdir()
    part.write_bytes(archive + extra)
    got = fetch("busi", server.url, folder=tmp_path / "d", sha256=sha256(archive))
    assert len(find_cases(got)) == 8


def test_wrong_checksum_leaves_nothing(server, tmp_path, archive):
    with pytest.raises(DataError, match=sha256(archive)):
        fetch("busi", server.url, folder=tmp_path / "d", sha256="0" * 64)
    assert leftovers(tmp_path / "d") == []


def test_errors_of_the_server(server, tmp_path):
    server.status = 404
    with pytest.raises(DataError, match="404"):
        fetch("busi", server.url, folder=tmp_path / "d")
    server.status, server.redirect = 0, "ftp://127.0.0.1/x.zip"
    with pytest.raises(DataError, match="could not be fetched"):
        fetch("busi", server.url, folder=tmp_path / "d")
    assert leftovers(tmp_path / "d") == []


def test_no_server(server, tmp_path):
    url = "http://127.0.0.1:1/x.zip"
    with pytest.raises(DataError, match="could not be fetched"):
        fetch("busi", url, folder=tmp_path / "d")


def test_archive_of_something_else(server, tmp_path):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as target:
        target.writestr("readme.txt", "hello")
    server.content = memory.getvalue()
    with pytest.raises(DataError, match="contains no data set"):
        fetch("busi", server.url, folder=tmp_path / "d")
    assert leftovers(tmp_path / "d") == []


def test_existing_folder_is_not_touched(tmp_path, archive):
    (tmp_path / "a.zip").write_bytes(archive)
    (tmp_path / "busi").mkdir()
    with pytest.raises(DataError, match="exists already"):
        fetch("busi", tmp_path / "a.zip", folder=tmp_path)


@pytest.mark.parametrize("source", ["ftp://x/y.zip", "file:///etc/passwd", "none.zip", "data:,x"])
def test_other_sources_are_refused(tmp_path, source):
    with pytest.raises(UsageError):
        fetch("busi", source, folder=tmp_path)


def test_usage(tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'busi'"):
        fetch("bussi", "http://x", folder=tmp_path)
    with pytest.raises(UsageError, match="SHA-256"):
        fetch("busi", "http://x", folder=tmp_path, sha256="abc")


def zipped(root, skip=()):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as target:
        for path in sorted(root.rglob("*.*")):
            if path.suffix not in skip:
                target.write(path, path.relative_to(root.parent))
    return memory.getvalue()


def test_busbra_from_a_zip_file(busbra, tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped(busbra.root))
    folder = fetch("bus-bra", tmp_path / "a.zip", folder=tmp_path / "data")
    assert folder == tmp_path / "data" / "bus-bra"
    assert [c.group for c in find_cases(folder)] == [c.group for c in find_cases(busbra.root)]


def test_breast_from_an_archive_and_its_separate_table(breast, tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped(breast.root, skip=(".xlsx",)))
    (xlsx,) = breast.root.glob("*.xlsx")
    with pytest.raises(DataError, match="the table of its images"):
        fetch("breast", tmp_path / "a.zip", folder=tmp_path / "data")
    for number, name in enumerate((xlsx.name, "renamed.xlsx")):
        table = tmp_path / str(number) / name
        table.parent.mkdir()
        table.write_bytes(xlsx.read_bytes())
        folder = fetch("breast", tmp_path / "a.zip", folder=table.parent, table=table)
        assert len(find_cases(folder)) == 12
    assert {p.name for p in (tmp_path / "data").iterdir()} <= {".breast.lock"}


def test_a_table_by_url(breast, server, tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped(breast.root, skip=(".xlsx",)))
    server.content = next(breast.root.glob("*.xlsx")).read_bytes()
    folder = fetch("breast", tmp_path / "a.zip", folder=tmp_path / "data", table=server.url)
    assert len(find_cases(folder)) == 12
    assert [p.name for p in folder.parent.iterdir()] == ["breast"]


def test_a_wrong_table_leaves_nothing(breast, tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped(breast.root, skip=(".xlsx",)))
    (tmp_path / "t.xlsx").write_bytes(b"no table")
    with pytest.raises(DataError, match="cannot be read"):
        fetch("breast", tmp_path / "a.zip", folder=tmp_path / "data", table=tmp_path / "t.xlsx")
    assert list((tmp_path / "data").iterdir()) == []
    with pytest.raises(UsageError, match="neither an http"):
        fetch("breast", tmp_path / "a.zip", folder=tmp_path / "data", table=tmp_path / "no.xlsx")


def test_busi_takes_no_table(archive, tmp_path):
    (tmp_path / "a.zip").write_bytes(archive)
    (tmp_path / "t.csv").write_text("image,group\n")
    with pytest.raises(DataError, match="it has none"):
        fetch("busi", tmp_path / "a.zip", folder=tmp_path / "data", table=tmp_path / "t.csv")
