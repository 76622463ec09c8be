"""``suraksha dicom`` as users call it; tests/dicom holds the tests that need a server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from suraksha.cli.app import main
from suraksha.dicom.network.queue import Queue, State

MAKE = Path(__file__).resolve().parents[1] / "dicom" / "make.py"


def test_the_queue_is_listed_and_replayed(tmp_path, capsys):
    queue = Queue(tmp_path)
    for name in ("a", "b"):
        queue.add(name)
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"{name}.dcm").touch()
    for job in queue.take(State.RECEIVED, limit=2):
        queue.give_up(job, "damaged")
    queue.refuse("c", "never fetched")
    words = ["dicom", "queue", "--spool", str(tmp_path)]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(x["id"], x["stage"], x["error"]) for x in found["dead"]] == [
        ("a", "received", "damaged"),
        ("b", "received", "damaged"),
        ("c", "received", "never fetched"),
    ]
    assert main([*words, "--replay", "a"]) == 0
    assert main([*words, "--drop", "b"]) == 0
    assert not (tmp_path / "images" / "b.dcm").exists()
    assert main([*words, "--replay", "all"]) == 0
    assert queue.state("a") == State.RECEIVED
    assert queue.state("c") is None  # it is fetched again
    (job,) = queue.take(State.RECEIVED)
    queue.advance([job], State.CONFIRMED)
    assert main([*words, "--forget-done"]) == 0
    assert queue.state("a") is None
    assert main([*words, "--replay", "nothing"]) == 1
    queue.close()
    assert "not a dead letter" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["listen", "--spool", "{}"], 2, "--to"),
        (["listen", "--spool", "{}", "--to", "peer-without-address"], 2, "TITLE@host:port"),
        (["listen", "--spool", "{}", "--to", "A@h:1", "--host", "0.0.0.0"], 2, "--allow-remote"),
        (["listen", "--spool", "{}", "--to", "A@h:1", "--to-tls"], 2, "--tls-ca"),
        (["listen", "--spool", "{}", "--to", "A@h:1", "--tls-cert", "c.pem"], 2, "--tls-key"),
        (["watch", "http://pacs.example/dicom-web", "--spool", "{}"], 2, "--unencrypted"),
        (["send", "{}", "--to", "A@127.0.0.1:1"], 1, "no DICOM files"),
        (["queue", "--spool", "{}/none"], 1, "does not contain a queue"),
    ],
)
def test_wrong_usage_is_explained(tmp_path, capsys, words, code, message):
    words = [word.replace("{}", str(tmp_path)) for word in words]
    assert main(["dicom", *words]) == code
    assert message in capsys.readouterr().err


def test_other_files_are_not_sent(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("text")
    assert main(["dicom", "send", str(tmp_path), "--to", "A@127.0.0.1:1"]) == 1
    assert "not a DICOM file" in capsys.readouterr().err


def test_help_loads_no_dicom_library():
    script = (
        "import sys\nfrom suraksha.cli.app import main\n"
        "try:\n    main(['dicom', 'listen', '--help'])\n"
        "except SystemExit as e:\n    assert not e.code\n"
        "print(sorted({'pydicom', 'pynetdicom', 'highdicom', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--allow-remote" in done.stdout
