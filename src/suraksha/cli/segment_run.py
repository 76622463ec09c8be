"""Segment the images of a command line into a results folder, and resume where a run stopped."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import suraksha
from suraksha.cli.arguments import load_chosen, spacing_of
from suraksha.cli.commands import FAILED, INTERRUPTED, OK
from suraksha.cli.results_folder import (
    LINES,
    PAGE,
    TABLE,
    Record,
    ResultsFolder,
    json_line,
    open_results,
)
from suraksha.cli.segment_images import Found, FoundImage, find_images
from suraksha.cli.segment_outputs import write_outputs
from suraksha.cli.text import count_text, path_text, printable
from suraksha.errors import SurakshaError, UsageError
from suraksha.files import lock, write_text
from suraksha.inference.engines import default_threads
from suraksha.inference.segmenter import Segmenter
from suraksha.io.guards import is_dicom
from suraksha.io.images import read_image
from suraksha.reporting.records import SUPPORT, csv_text, result_record, support_record
from suraksha.reporting.report_page import classes_text, report_page, size_text
from suraksha.types import Image, Result, Spacing

# shows which outputs a network has
BLANK = Image(np.zeros((8, 8), np.uint8))


@dataclass(frozen=True, slots=True)
class Job:
    """How every image is segmented.

    Args:
        segment: The loaded bundle.
        folder: Where the results go.
        spacing: Size of a pixel, or None for that of the file.
        options: The command line.
        settings: Hash of the bundle and of every option that changes a result.
    """

    segment: Segmenter
    folder: ResultsFolder
    spacing: Spacing | None
    options: argparse.Namespace
    settings: str


@dataclass(slots=True)
class Counts:
    """What became of the images of one run."""

    records: list[Record] = field(default_factory=list)
    unchanged: int = 0

    @property
    def failed(self) -> list[Record]:
        """The records of images without a result."""
        return [record for record in self.records if "error" in record]


def segment_images(options: argparse.Namespace) -> int:
    """Segment images; 1 if any of them failed, 130 after Ctrl-C.

    Tables and report are written in every case, for all images that were finished.
    """
    found = find_images(options.paths, out=options.out)
    spacing = spacing_of(options)
    # one thread for each of several images is faster than several threads for each
    segment = load_chosen(options, max_threads=1 if len(found.images) > 1 else None)
    _check_outputs(segment, options)
    with lock(options.out / LINES):  # two runs at once would give two images one name
        folder = open_results(options.out)
        job = Job(segment, folder, spacing, options, _settings(segment, options))
        names = folder.claim(found.images)
        given = {image.source for image in found.images}
        others = sum(source not in given for source in folder.records)
        counts, interrupted = Counts(), False
        try:
            _run(job, list(zip(found.images, names, strict=True)), counts)
        except KeyboardInterrupt:
            interrupted = True
        folder.compact()
        _write_tables(job)
    _conclude(job, counts, found, others=others)
    if interrupted:
        left = len(found.images) - len(counts.records)
        print(
            f"suraksha: interrupted, {count_text(left, 'image')} left; the same command resumes",
            file=sys.stderr,
        )
        return INTERRUPTED
    lacking = any("not_written" in record for record in counts.records)
    return FAILED if counts.failed or lacking else OK


def _check_outputs(segment: Segmenter, options: argparse.Namespace) -> None:
    """Refuse options that the bundle's network has no output for."""
    name = segment.card.name
    if options.classes and not segment.card.classes:
        raise UsageError(
            f"--classes cannot be used with bundle {name}",
            "its network has no classification head",
            "Remove --classes, or give a --bundle that has one",
        )
    if options.explain and not segment.explain(BLANK):
        raise UsageError(
            f"--explain cannot be used with bundle {name}",
            "its network has no attention outputs",
            "Remove --explain, or export the bundle again",
        )


def _settings(segment: Segmenter, options: argparse.Namespace) -> str:
    """Hash of all that decides a result besides the image: results of the same hash are reused."""
    table = {
        "version": suraksha.__version__,
        "bundle": segment.bundle.sha256,
        "engine": segment.engine.name,
        "input_size": options.input_size,
        "spacing": options.spacing,
        "input_check": not options.no_input_check,
        "classes": options.classes,
        "explain": options.explain,
        "formats": sorted(options.formats),
    }
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:16]


def _run(job: Job, named: Sequence[tuple[FoundImage, str]], counts: Counts) -> None:
    """Segment the images; one line for a single image, a bar for several."""
    options, several = job.options, len(named) > 1
    hidden = True if options.quiet or not several else None
    if several and job.folder.records and not options.quiet:
        text = f"{count_text(len(job.folder.records), 'earlier result')} in {options.out}"
        hint = "" if options.again else "; unchanged images are skipped (--again repeats them)"
        print(printable(text + hint), file=sys.stderr)
    with (
        closing(_in_parallel(job, named)) as answers,
        tqdm(total=len(named), unit="image", disable=hidden, leave=False) as bar,
    ):
        for (image, name), (record, unchanged) in zip(named, answers, strict=True):
            if not unchanged:
                job.folder.add(image.source, record)
            counts.records.append(record)
            counts.unchanged += unchanged
            if options.json or options.verbose or not several:
                bar.clear()
                line = json_line(record) if options.json else image_line(record, name)
                print(line, flush=True)
            bar.update()


def image_line(record: Mapping[str, Any], name: str) -> str:
    """One line about an image: ``case: 1 lesion, 13.7 x 11.4 mm, confidence 0.99``."""
    if "error" in record:
        return printable(f"{name}: failed")
    lesions = [f"{size_text(x)}, confidence {x['confidence']:.2f}" for x in record["lesions"]]
    found = f"{count_text(len(lesions), 'lesion')}, {'; '.join(lesions)}"
    line = f"{name}: {found if lesions else 'no lesion found'}"
    if record.get("review"):
        line += f" | needs review: {'; '.join(record['review'])}"
    if SUPPORT in record:
        line += f" | {record[SUPPORT]['use']}: {classes_text(record)}"
    return printable(line)


def _in_parallel(
    job: Job, named: Sequence[tuple[FoundImage, str]]
) -> Generator[tuple[Record, bool], None, None]:
    """The records in order; images that are not begun are left when the caller stops."""
    with ThreadPoolExecutor(job.options.threads or default_threads()) as pool:
        try:
            yield from pool.map(lambda one: _segment_one(job, image=one[0], name=one[1]), named)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _segment_one(job: Job, *, image: FoundImage, name: str) -> tuple[Record, bool]:
    """Segment one image and write its files.

    Returns:
        Its record, an ``error`` included; and whether it is that of an earlier run, unchanged.
    """
    digest = _sha256(image.path)
    earlier = job.folder.records.get(image.source, {})
    if not job.options.again and _up_to_date(job, earlier, digest):
        return earlier, True
    record: Record = {"image": path_text(image.path), "source": image.source}
    try:
        result = _result(job, image.path)
        maps = job.segment.explain(result.image) if job.options.explain else {}
        written = write_outputs(result, job.folder, name=name, kinds=job.options.formats, maps=maps)
    except (SurakshaError, OSError, MemoryError) as error:
        job.folder.remove(name)
        why = "there is not enough memory. Use a smaller image, or fewer --threads"
        text = why if isinstance(error, MemoryError) else str(error)
        return {**record, "error": path_text(text)}, False
    record |= {"sha256": digest, "settings": job.settings}
    record |= result_record(result) | written
    if job.options.classes and result.classes is not None:
        record |= support_record(result.classes)
    return record, False


def _sha256(path: Path) -> str:
    """SHA-256 of a file; empty for what cannot be read, which is reported when it is segmented."""
    with suppress(OSError), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return ""


def _up_to_date(job: Job, earlier: Record, digest: str) -> bool:
    same = (earlier.get("sha256"), earlier.get("settings")) == (digest, job.settings)
    return same and "not_written" not in earlier and job.folder.complete(earlier)


def _result(job: Job, path: Path) -> Result:
    """The result of an image; of a DICOM clip, that of the frame with the largest lesion."""
    if not is_dicom(path):
        return job.segment(read_image(path, spacing=job.spacing))
    from suraksha.dicom.objects.results import key_result
    from suraksha.io.dicom import DicomFile

    return key_result(DicomFile(path, spacing=job.spacing), job.segment)


def _write_tables(job: Job) -> None:
    """The table and the report of every image in the folder."""
    records = list(job.folder.records.values())
    if not job.options.classes:  # earlier runs may have asked for them
        records = [{k: v for k, v in record.items() if k != SUPPORT} for record in records]
    write_text(job.folder.path / TABLE, csv_text(records))
    page = report_page(records, intended_use=job.segment.card.intended_use)
    write_text(job.folder.path / PAGE, page)


def _conclude(job: Job, counts: Counts, found: Found, *, others: int) -> None:
    """Errors and a summary on stderr."""

    def say(text: str) -> None:
        print(printable(text), file=sys.stderr)

    for record in counts.failed:
        say(f"suraksha: {record['image']}: {record['error']}")
    for record in counts.records:
        for kind, why in record.get("not_written", {}).items():
            say(f"suraksha: {record['image']}: no {kind} file: {why}")
    total, failed = len(counts.records), len(counts.failed)
    text = f"{total - failed} of {count_text(len(found.images), 'image')} segmented with "
    text += job.segment.card.name
    text += f", {failed} failed" if failed else ""
    text += f", {counts.unchanged} unchanged since an earlier run" if counts.unchanged else ""
    say(text)
    if found.left_out:
        say(f"left out: {found.left_out}")
    if others:
        say(f"{count_text(others, 'earlier result')} of other images kept in the folder")
    if job.options.explain:
        say("attention maps: NAME_attention.png beside each overlay")
    say(f"report: {job.options.out / PAGE}. Research use only.")
