"""The verb ``dicom anonymize``."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from pathlib import Path
from typing import Any

from suraksha.cli.dicom_common import dicom_files
from suraksha.cli.text import printable
from suraksha.errors import InputError, SurakshaError

SECRET_BYTES = 32


def add_anonymize(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``anonymize``."""
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="DICOM files or folders"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--secret-file",
        type=Path,
        metavar="FILE",
        help="secret that the new UIDs are derived from, created if missing; the same file gives "
        "the same UIDs",
    )
    parser.add_argument(
        "--whole-images",
        action="store_true",
        help="also copy images without ultrasound regions, including any text in their pixels",
    )


def run_anonymize(options: argparse.Namespace) -> int:
    """Write copies of files without patient data; 1 if any file was refused."""
    from suraksha.dicom.deidentify.anonymize import anonymize
    from suraksha.dicom.deidentify.profile import Pseudonyms

    paths, failed = dicom_files(options.paths), 0
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
        f"written: {options.out}. Text inside an ultrasound region is not detected: check the "
        "images before you share them. Research use only.",
        file=sys.stderr,
    )
    return int(failed > 0)


def _secret(path: Path | None) -> bytes:
    """The secret in a file, created if it is missing; without a file, a new one for this call."""
    if path is None:
        return secrets.token_bytes(SECRET_BYTES)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(SECRET_BYTES) + "\n", encoding="ascii")
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if len(text) < SECRET_BYTES:
        raise InputError(
            f"{path} does not contain a secret",
            f"it has fewer than {SECRET_BYTES} characters",
            "Give a file that does not exist yet",
        )
    return text.encode()


def _print(options: argparse.Namespace, record: dict[str, Any]) -> None:
    if options.json:
        print(json.dumps(record), flush=True)
        return
    facts = (f"{key} {value}" for key, value in record.items() if key != "image")
    text = record.get("error") or ", ".join(facts)
    print(printable(f"{record['image']}: {text}"), flush=True)
