"""The action ``anonymize``: DICOM files in, DICOM files out."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from pathlib import Path
from typing import Any

from suraksha.errors import InputError, SurakshaError

SECRET_BYTES = 32


def add_anonymize(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``anonymize``."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="DICOM files, folders")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument(
        "--secret-file",
        type=Path,
        metavar="FILE",
        help="what the new UIDs follow from, made if missing; give it again for the same UIDs",
    )
    parser.add_argument(
        "--whole-images",
        action="store_true",
        help="also copy images without ultrasound regions, with any text that is in their pixels",
    )
    parser.add_argument("--json", action="store_true", help="print JSON lines")


def run_anonymize(options: argparse.Namespace) -> int:
    """Write copies of files that name no patient; 1 if any file was refused."""
    from suraksha.dicom.deidentify.anonymize import anonymize
    from suraksha.dicom.deidentify.profile import Pseudonyms

    paths, failed = _found(options.paths), 0
    pseudonyms = Pseudonyms(_secret(options.secret_file))
    for path in paths:
        record: dict[str, Any] = {"image": str(path)}
        try:
            made = anonymize(
                path, options.out, pseudonyms=pseudonyms, whole_images=options.whole_images
            )
        except SurakshaError as error:
            failed += 1
            _print(options, record | {"error": str(error)})
            continue
        record |= {"written": made.path.name, "blanked": made.blanked, "frames": made.frames}
        _print(options, record)
    print(
        f"written: {options.out}. Text inside an ultrasound region is not found: look at the"
        " images before you share them. Research use only.",
        file=sys.stderr,
    )
    return int(failed > 0)


def _found(paths: list[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        found += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    if not found:
        raise InputError("there is nothing to do", "the folders are empty", "Give DICOM files")
    return found


def _secret(path: Path | None) -> bytes:
    """The secret of a file, made where it is missing; without one, of this call alone."""
    if path is None:
        return secrets.token_bytes(SECRET_BYTES)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(SECRET_BYTES) + "\n", encoding="ascii")
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if len(text) < SECRET_BYTES:
        raise InputError(
            f"{path} holds no secret",
            f"it has fewer than {SECRET_BYTES} characters",
            "Name a file that does not exist yet",
        )
    return text.encode()


def _print(options: argparse.Namespace, record: dict[str, Any]) -> None:
    if options.json:
        print(json.dumps(record), flush=True)
        return
    told = record.get("error") or ", ".join(
        f"{key} {value}" for key, value in record.items() if key != "image"
    )
    print(f"{record['image']}: {told}", flush=True)
