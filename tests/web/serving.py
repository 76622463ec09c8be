"""A ``suraksha serve`` process for tests and trials."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from suraksha.datasets.phantom import sample_phantom
from suraksha.reporting.records import png_bytes


class Served:
    """The process; its log and its temporary files are in a folder of the test."""

    def __init__(self, folder, *options, input_check=False, token=None):
        self.temporary, self.home = folder / "tmp", folder / "home"
        for path in (self.temporary, self.home):
            path.mkdir(parents=True)
        self.log_file = folder / "log.txt"
        environment = os.environ | {"TMPDIR": str(self.temporary), "HOME": str(self.home)}
        environment.pop("SURAKSHA_TOKEN", None)
        if token:
            environment["SURAKSHA_TOKEN"] = token
        # synthetic images may fail the input check of the bundle
        more = ["--port", "0", "--json", *([] if input_check else ["--no-input-check"])]
        command = [sys.executable, "-m", "suraksha.cli.app", "serve", *more]
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *map(str, options)], stdout=subprocess.PIPE, stderr=log, env=environment
            )
        line = self.process.stdout.readline()
        assert line, self.log
        self.address = json.loads(line)["address"].rstrip("/")
        self.token = token

    @property
    def log(self):
        return self.log_file.read_text()

    @property
    def port(self):
        return int(self.address.rpartition(":")[2])

    def client(self, **more):
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return httpx.Client(base_url=self.address, timeout=60, headers=headers, **more)

    def memory_mb(self, field="VmRSS"):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) / 1024
        return 0.0

    def leftover_files(self):
        return [*self.temporary.rglob("*"), *self.home.rglob("*")]

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(40)
        self.process.stdout.close()
        return code


def phantom(number=0, *, shape=(200, 250), seed=4):
    return sample_phantom(seed, number, shape=shape)


def phantom_png(number=0, *, shape=(200, 250), seed=4):
    return png_bytes(phantom(number, shape=shape, seed=seed).image.pixels)
