"""Pack the runs and per-image scores of docs/results into one file, and unpack them.

Usage: python tools/results.py pack | unpack | list

Git holds tables, figures and summaries; ``docs/results/runs.tar.xz`` holds what they are made from:
the run folders of the benchmark (config, environment, curves, split, evaluations) and the scores of
every image of all runs. Git ignores the unpacked files. The same files give the same archive, byte
for byte.
"""

from __future__ import annotations

import argparse
import io
import lzma
import sys
import tarfile
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
ARCHIVE = "runs.tar.xz"
# also in .gitignore
PACKED = (
    "benchmark-cpu/*-*-*/*",
    "paper*/*-*-*/*",
    "hospitals/*-*-*/*",
    "*/evaluation-*.jsonl",
    "*/split.json",
)


def packed_files(results: Path) -> list[Path]:
    """The unpacked files that belong into the archive, sorted."""
    return sorted({path for glob in PACKED for path in results.glob(glob) if path.is_file()})


def pack(results: Path) -> Path:
    """Write the archive.

    Raises:
        FileNotFoundError: A file of the present archive is missing, so it would be lost.
    """
    files, archive = packed_files(results), results / ARCHIVE
    missing = set(names(results)) if archive.exists() else set()
    missing -= {path.relative_to(results).as_posix() for path in files}
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} files of {archive} are not unpacked, such as {min(missing)}: "
            "unpack it first, or delete it to leave them out"
        )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in files:
            member = tarfile.TarInfo(path.relative_to(results).as_posix())
            member.size = path.stat().st_size
            with path.open("rb") as file:
                tar.addfile(member, file)
    archive.write_bytes(lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME))
    return archive


def unpack(results: Path) -> int:
    """Unpack the archive beside itself and return the number of its files."""
    with tarfile.open(results / ARCHIVE) as tar:
        tar.extractall(results, filter="data")
        return len(tar.getnames())


def names(results: Path) -> list[str]:
    """The files in the archive."""
    with tarfile.open(results / ARCHIVE) as tar:
        return tar.getnames()


def main(arguments: list[str] | None = None) -> int:
    """Do what the command says."""
    parser = argparse.ArgumentParser(description="Pack or unpack the runs of docs/results.")
    parser.add_argument("command", choices=("pack", "unpack", "list"))
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of the archive")
    options = parser.parse_args(arguments)
    if options.command == "pack":
        archive = pack(options.results)
        print(f"{archive}: {archive.stat().st_size / 2**20:.1f} MiB")
    elif options.command == "unpack":
        print(f"{unpack(options.results)} files unpacked into {options.results}")
    else:
        print("\n".join(names(options.results)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
