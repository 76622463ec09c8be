"""``suraksha serve`` as it is called."""

import json
import os
import signal
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
def test_what_cannot_be_served_is_told(words, capsys, monkeypatch):
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


def test_it_says_where_it_is_and_what_it_is_for(tmp_path):
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
