"""Malformed and malicious requests: no crash, no 500, bounded memory, a clear message."""

import socket
import time
from pathlib import Path

import pytest

from .hostile import BOUNDARY, IMAGE, REQUESTS, part

MEMORY_MB = 500
DOCS = Path(__file__).resolve().parents[2] / "docs" / "reference" / "http.md"


def is_clear(answer):
    error = answer.json()["error"]
    return set(error) == {"what", "why", "fix"} and all(
        isinstance(text, str) and 3 < len(text) < 400 for text in error.values()
    )


@pytest.mark.parametrize("name", REQUESTS)
def test_a_malformed_request_gets_a_clear_error(served, client, name):
    path, request, expected = REQUESTS[name]
    before, start = served.memory_mb(), time.perf_counter()
    answer = client.post(path, **request)
    assert answer.status_code in (expected if isinstance(expected, tuple) else (expected,)), (
        answer.text[:400]
    )
    assert answer.status_code == 200 or is_clear(answer), answer.text[:400]
    for secret in (str(served.temporary), "/tmp", "Traceback", ".py"):
        assert secret not in answer.text
    assert time.perf_counter() - start < 10
    assert served.memory_mb() - before < MEMORY_MB
    assert served.leftover_files() == []


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/segment", 405),
        ("PUT", "/v1/segment", 405),
        ("DELETE", "/", 405),
        ("TRACE", "/v1/about", 405),
        ("BREW", "/v1/about", 405),
        ("POST", "/metrics", 405),
        ("GET", "/static/../app.py", 404),
        ("GET", "/static/%2e%2e/app.py", 404),
        ("GET", "/static/..%5capp.py", 404),
        ("GET", "/static/%00", 404),
        ("GET", "/static//etc/passwd", 404),
        ("GET", "/static/" + "a" * 3000, 404),
        ("GET", "/docs", 404),
        ("GET", "/v1/export/png", 405),
    ],
)
def test_methods_and_paths(client, method, path, expected):
    answer = client.request(method, path)
    assert answer.status_code == expected
    assert is_clear(answer)


HOST = b"Host: 127.0.0.1\r\n"
FORM = b"Content-Type: multipart/form-data; boundary=" + BOUNDARY.encode() + b"\r\n"
POST = b"POST /v1/segment HTTP/1.1\r\n" + HOST + FORM
# name -> (bytes, part of the first line of the response)
RAW = {
    "not HTTP": (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(100), b" 400 "),
    "a header of 200 KB": (b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000, b" 400 "),
    "a negative Content-Length": (POST + b"Content-Length: -1\r\n\r\n", b" 400 "),
    "two Content-Length headers": (
        POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b" 400 ",
    ),
    "a Content-Length of 10^15": (POST + b"Content-Length: 1000000000000000\r\n\r\n", b" 413 "),
    "invalid chunks": (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b" 400 "),
    "no Host header": (b"GET / HTTP/1.1\r\n\r\n", b" 400 "),
    "two Host headers": (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", b" 4"),
    "another host": (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", b" 421 "),
    "an invalid Host header": (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", b" 421 "),
    "a WebSocket handshake": (
        b"GET /v1/segment HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        b" 405 ",
    ),
}


@pytest.mark.parametrize("name", RAW)
def test_malformed_http(served, client, name):
    sent, expected = RAW[name]
    with socket.create_connection(("127.0.0.1", served.port), 10) as line:
        line.sendall(sent)
        answer = line.recv(4096)
    assert expected in answer.partition(b"\r\n")[0], answer
    assert client.get("/healthz").status_code == 200


def test_an_aborted_upload_leaves_no_files(served, client):
    body = part("files", IMAGE, '; filename="a.png"')
    head = b"POST /v1/segment HTTP/1.1\r\n" + HOST + FORM + b"Content-Length: 900000\r\n\r\n"
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", served.port), 10) as line:
            line.sendall(head + body)
    deadline = time.monotonic() + 10
    while served.leftover_files() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert served.leftover_files() == []
    assert client.get("/readyz").status_code == 200
    assert "Traceback" not in served.log
    assert " 500 " not in served.log


def test_peak_memory_is_bounded(served):
    """The peak resident memory of the server."""
    assert served.memory_mb("VmHWM") < 2 * MEMORY_MB


def test_the_docs_list_every_request():
    """Each request of the tables above is in the docs, with its path and status."""
    rows = {
        name: (
            f"`{path}`",
            " or ".join(map(str, status if isinstance(status, tuple) else (status,))),
        )
        for name, (path, _, status) in REQUESTS.items()
    }
    rows |= {
        name: ("a raw connection", status.decode().strip()) for name, (_, status) in RAW.items()
    }
    text = DOCS.read_text(encoding="utf-8")
    missing = [
        row
        for name, cells in rows.items()
        if (row := f"| {' | '.join((name, *cells))}") not in text
    ]
    assert missing == []
