"""A server with tight limits and a token: what is rejected, and that it recovers."""

import io
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from PIL import Image as PilImage

from .serving import Served, phantom_png

TOKEN = "a-token-only-for-tests-0123456789"
OPTIONS = ("--max-upload-mb", 1, "--max-requests", 2, "--workers", 1, "--timeout", 2)


@pytest.fixture(scope="module")
def tight(tmp_path_factory):
    """1 MiB, two concurrent requests, one worker, 2 s, a token."""
    made = Served(tmp_path_factory.mktemp("tight"), *OPTIONS, token=TOKEN)
    yield made
    assert made.stop() == 0


@pytest.fixture
def client(tight):
    with tight.client() as made:
        yield made


def post(client, content, path="/v1/segment", **headers):
    return client.post(path, files={"files": content}, headers=headers)


def wait_until_free(client):
    """A slot is released when a response has been sent, shortly after the client reads it."""
    deadline = time.monotonic() + 5
    while "suraksha_requests_in_flight 0.0" not in client.get("/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer wrong", "Basic " + TOKEN, TOKEN, "Bearer é"]
)
def test_requests_without_the_token_are_rejected(tight, given, png):
    headers = {"Authorization": given.encode()} if given else {}
    for path in ("/v1/segment", "/v1/measure", "/v1/export/png"):
        answer = httpx.post(tight.address + path, files={"files": png}, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert set(answer.json()["error"]) == {"what", "why", "fix"}
    assert httpx.get(tight.address + "/metrics", headers=headers).status_code == 401
    assert httpx.get(tight.address + "/v1/about", headers=headers).status_code == 401


def test_the_page_and_the_health_checks_need_no_token(tight, client, png):
    for path in ("/", "/static/app.js", "/healthz", "/readyz", "/openapi.json"):
        assert httpx.get(tight.address + path).status_code == 200
    assert post(client, png).status_code == 200
    assert TOKEN not in tight.log


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_cross_origin_requests_are_rejected(client, png, headers):
    assert post(client, png, **headers).status_code == 403


def test_same_origin_requests_are_accepted(tight, client, png):
    behind_tls = tight.address.replace("http:", "https:")
    for origin in (tight.address, behind_tls):
        own = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
        assert post(client, png, **own).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "127.0.0.1@evil.example:80"]
)
def test_other_hosts_are_rejected(client, host):
    answer = client.get("/healthz", headers={"Host": host})
    assert answer.status_code in (400, 421)


def test_an_oversized_upload_is_rejected_before_its_end(tight, client):
    """An upload without Content-Length is rejected after 1 MiB."""
    sent = []

    def body():
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
        for _ in range(4000):
            sent.append(1)
            yield bytes(16_384)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post("/v1/segment", content=body(), headers=headers)
    assert answer.status_code == 413
    assert "1 MiB" in answer.json()["error"]["why"]
    assert client.post("/v1/segment", files={"files": bytes(2 << 20)}).status_code == 413
    assert tight.leftover_files() == []
    wait_until_free(client)


def test_a_slow_upload_times_out_and_frees_its_slot(tight, client, png):
    head = (
        f"POST /v1/segment HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000\r\n\r\n--x\r\n"
    ).encode()
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", tight.port), 20) as line:
        line.sendall(head)
        answer = line.recv(4096)
    assert b" 408 " in answer.partition(b"\r\n")[0]
    assert 1.5 < time.monotonic() - start < 6
    wait_until_free(client)
    assert post(client, png).status_code == 200


def test_excess_requests_get_429_and_the_others_are_processed(tight, client):
    big = phantom_png(shape=(700, 900))

    def ask(_):
        with tight.client() as own:
            return post(own, big)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(16)))
    codes = {answer.status_code for answer in answers}
    assert codes == {200, 429}
    busy = next(answer for answer in answers if answer.status_code == 429)
    assert int(busy.headers["retry-after"]) >= 1
    assert busy.json()["error"]["what"] == "the server is busy"
    wait_until_free(client)
    assert post(client, big).status_code == 200


@pytest.fixture
def hasty(tmp_path):
    """One worker and 1 s, with the default limits of size."""
    made = Served(tmp_path, "--workers", 1, "--timeout", 1, token=TOKEN)
    yield made
    assert made.stop() == 0


def test_a_request_that_takes_too_long_gets_503(hasty, tmp_path):
    """1 s is too short for 60 frames with overlay and attention on one worker."""
    from make import us_cine

    us_cine(tmp_path / "cine.dcm", frames=60, shape=(80, 100))
    form = {"count": "60", "parts": ["overlay", "attention"]}
    files = {"files": (tmp_path / "cine.dcm").read_bytes()}
    with hasty.client() as client:
        answer = client.post("/v1/segment", files=files, data=form)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["error"]["what"] == "the request timed out"
        deadline = time.monotonic() + 10
        while client.get("/readyz").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_response_is_limited_to_the_size_of_an_upload(client):
    """Base64 makes the response larger than the upload."""
    noise = np.random.default_rng(5).integers(0, 255, (900, 1000), dtype=np.uint8)
    made = io.BytesIO()
    PilImage.fromarray(noise).save(made, "PNG")
    wait_until_free(client)
    answer = client.post("/v1/frames", files={"file": made.getvalue()})
    assert answer.status_code == 507
    assert answer.json()["error"]["what"] == "the response is too large"


def test_shutdown_waits_for_requests_in_progress(tmp_path):
    server = Served(tmp_path, "--workers", 1)
    answers = []

    def ask():
        with server.client() as client:
            files = [("files", ("a.png", phantom_png(shape=(300, 400))))] * 8
            answers.append(client.post("/v1/segment", files=files))

    thread = threading.Thread(target=ask)
    thread.start()
    with server.client() as client:
        deadline = time.monotonic() + 10
        while "suraksha_requests_in_flight 0.0" in client.get("/metrics").text:
            assert time.monotonic() < deadline
    assert server.stop() == 0
    thread.join(30)
    assert answers[0].status_code == 200
    assert len(json.loads(answers[0].text)["results"]) == 8
    assert "Traceback" not in server.log
