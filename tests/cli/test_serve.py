"""``suraksha serve`` on the command line."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from suraksha.cli.app import main


@pytest.mark.parametrize(
    "words",
    [
        ["--host", "0.0.0.0"],
        ["--host", "0.0.0.0", "--allow-remote"],
        ["--host", "::"],
        ["--workers", "0"],
        ["--max-upload-mb", "-1"],
        ["--timeout", "nan"],
        ["--tls-cert", "cert.pem"],
    ],
)
def test_wrong_usage_is_explained(words, capsys, monkeypatch):
    monkeypatch.delenv("SURAKSHA_TOKEN", raising=False)
    assert main(["serve", *words]) == 2
    assert "suraksha: " in capsys.readouterr().err


def test_a_token_alone_does_not_open_the_server(capsys, monkeypatch):
    monkeypatch.setenv("SURAKSHA_TOKEN", "0123456789abcdef0123")
    assert main(["serve", "--host", "0.0.0.0"]) == 2
    assert "--allow-remote" in capsys.readouterr().err


def test_a_short_token_is_refused(tmp_path, capsys):
    (tmp_path / "token").write_text("short\n")
    assert main(["serve", "--token-file", str(tmp_path / "token")]) == 2
    assert "openssl" in capsys.readouterr().err


def test_it_prints_its_address_and_intended_use(tmp_path):
    command = [sys.executable, "-m", "suraksha.cli.app", "serve", "--port", "0"]
    environment = os.environ | {"HOME": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        try:
            line = process.stdout.readline()
            assert "Research use only" in line
            address = next(word for word in line.split() if word.startswith("http"))
            assert address.startswith("http://127.0.0.1:")
            with urllib.request.urlopen(address + "readyz", timeout=10) as answer:
                assert json.load(answer) == {"status": "ready"}
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_used_port_is_reported(capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 1
    err = capsys.readouterr().err
    assert f"cannot listen on 127.0.0.1:{port}" in err
    assert "Choose another --port" in err


def test_the_server_loads_no_torch():
    code = (
        "import sys\n"
        "from suraksha.web.app import create_app\n"
        "import suraksha\n"
        "create_app(suraksha.load_segmenter())\n"
        "bad = {'torch', 'lightning', 'monai', 'kornia', 'pydicom', 'highdicom', 'cv2'}\n"
        "print(sorted(bad & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
