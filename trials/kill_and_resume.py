"""Kill a training with -9 at random moments, resume it, and compare it with an uninterrupted one.

Run by ``make trial``; writes docs/results/kill-and-resume.json.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from tqdm import tqdm

from suraksha.datasets.cache import pack
from suraksha.datasets.phantom_set import write_phantoms
from suraksha.preprocessing import Preparation
from suraksha.runs.folder import open_run

KILLS, SIZE, EPOCHS = 10, 32, 150
KILL_AFTER_S = (3.0, 8.0)
REPORT = Path(__file__).resolve().parents[1] / "docs" / "results" / "kill-and-resume.json"
RECIPE = f"""
[model]
name = "suraksha"
options = {{ width = 4 }}
[data]
size = {SIZE}
protocol = "paper"
[optim]
epochs = {EPOCHS}
batch_size = 4
learning_rate = 0.01
schedule = "cosine"
ema_decay = 0.9
[loss]
bce = 1.0
dice = 1.0
[augment]
flip = 0.5
rotate_degrees = 10.0
gamma = 0.2
"""


def command(place: Path, out: str) -> list[str]:
    """The command of the training."""
    words = ["train", place / "trial.toml", "--data", place / "cache", "--out", place / out]
    return [sys.executable, "-m", "suraksha.cli.app", *map(str, words), "--quiet"]


def check_files(folder: Path) -> None:
    """Check that every file with its final name is complete."""
    if (folder / "last.ckpt").is_file():
        torch.load(folder / "last.ckpt", map_location="cpu", weights_only=True)
    if (folder / "split.json").is_file() and (folder / "config.toml").is_file():
        open_run(folder)


def main() -> int:
    """Run the trial; 0 if all files were complete and both trainings gave the same network."""
    draw = random.Random(0)
    kills = []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_phantoms(place / "set", 24, shape=(96, 120))
        pack(place / "set", place / "cache", preparation=Preparation(SIZE, SIZE))
        (place / "trial.toml").write_text(RECIPE)
        subprocess.run(command(place, "uninterrupted"), check=True, capture_output=True)
        for _ in tqdm(range(KILLS), desc="kills", unit="kill"):
            process = subprocess.Popen(
                command(place, "killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            after = draw.uniform(*KILL_AFTER_S)
            try:
                process.wait(timeout=after)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
            folders = list((place / "killed").glob("trial-*"))
            for folder in folders:
                check_files(folder)
            log = folders[0] / "metrics.csv" if folders else None
            epochs = len(log.read_text().splitlines()) - 1 if log and log.is_file() else 0
            kills.append({"after_s": round(after, 2), "epochs_done": epochs})
        start = time.perf_counter()
        subprocess.run(command(place, "killed"), check=True, capture_output=True)
        runs = [open_run(next((place / n).glob("trial-*"))) for n in ("uninterrupted", "killed")]
        pairs = zip(*(run.network().parameters() for run in runs), strict=True)
        difference = max(float((a - b).abs().max().detach()) for a, b in pairs)
        left_over = [
            p.name for p in runs[1].folder.iterdir() if p.name.endswith((".part", ".half.ckpt"))
        ]
    report = {
        "kills": kills,
        "max_weight_difference": difference,
        "left_over_files": left_over,
        "last_resume_s": round(time.perf_counter() - start, 1),
        "ok": difference < 1e-5 and not left_over,
    }
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
