"""The verbs of the run side: ``segment`` and ``info``. They never load torch."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import suraksha
from suraksha.cli.app import EXTRAS
from suraksha.cli.output_folder import (
    ALSO,
    LINES,
    Record,
    earlier_records,
    find_images,
    kept,
    output_names,
    refuse_to_overwrite,
    remove_outputs,
    shown,
    source_of,
)
from suraksha.cli.report import html_page, image_line, json_line
from suraksha.cli.segment_outputs import also, write_outputs
from suraksha.errors import InputError, SurakshaError, UsageError
from suraksha.files import lock, write_text
from suraksha.inference.bundle import BUNDLES, DEFAULT_BUNDLE, read_bundle
from suraksha.inference.card import DECISION_SUPPORT
from suraksha.inference.engines import AUTO, ENGINES, default_threads
from suraksha.inference.segmenter import Segmenter, load_segmenter
from suraksha.io.guards import is_dicom
from suraksha.io.images import read_image
from suraksha.reporting.model_card import model_card
from suraksha.reporting.records import SUPPORT, csv_text, result_record, support_record
from suraksha.types import Image, Result, Spacing

# any image, to see what a bundle can tell
BLANK = Image(np.zeros((8, 8), np.uint8))


def add_segment(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``segment``."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="images or folders")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    add_bundle(parser)
    parser.add_argument("--spacing", type=millimetres, metavar="MM", help="millimetres per pixel")
    parser.add_argument(
        "--classes", action="store_true", help=f"show class probabilities ({DECISION_SUPPORT})"
    )
    parser.add_argument(
        "--explain", action="store_true", help="draw where the network looked, for each image"
    )
    parser.add_argument(
        "--also",
        type=also,
        default=(),
        metavar="KIND,...",
        help=f"write as well: {', '.join(ALSO)}; the first four about DICOM images only",
    )
    parser.add_argument("--json", action="store_true", help="print the JSON lines")


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """The arguments that choose a bundle and what runs it."""
    parser.add_argument("--bundle", help=f"name or .busi file (default: {DEFAULT_BUNDLE})")
    parser.add_argument("--engine", default=AUTO, choices=(AUTO, *ENGINES))
    parser.add_argument("--threads", type=int, metavar="N", help="threads of the engine")
    parser.add_argument(
        "--patch",
        type=patch,
        metavar="PX",
        help="side of the network's input, or auto: chosen as it runs (default: the bundle's own)",
    )
    parser.add_argument(
        "--any-image",
        action="store_true",
        help="segment what does not look like ultrasound, too",
    )


def patch(text: str) -> int | str:
    """What ``--patch`` gives: a number of pixels, or ``auto``."""
    return int(text) if text.isdecimal() else text


def load_chosen(options: argparse.Namespace, *, most_threads: int | None = None) -> Segmenter:
    """The bundle that `add_bundle` lets choose, with at most so many threads."""
    threads = default_threads() if options.threads is None else options.threads
    return load_segmenter(
        options.bundle,
        engine=options.engine,
        threads=threads if most_threads is None else min(threads, most_threads),
        patch=options.patch,
        check=not options.any_image,
    )


def run_segment(options: argparse.Namespace) -> int:
    """Segment images; 1 if any of them failed.

    Records of earlier calls into the same folder stay, but for images that are segmented again.
    """
    images, left_out = find_images(options.paths)
    # a thread for each of several images is faster than several threads for each
    segment = load_chosen(options, most_threads=1 if len(images) > 1 else None)
    if options.classes and not segment.card.classes:
        raise UsageError(
            f"--classes cannot be used with bundle {segment.card.name}",
            "its network tells no classes",
            "Leave --classes out, or give a --bundle that tells them",
        )
    if options.explain and not segment.explain(BLANK):
        raise UsageError(
            f"--explain cannot be used with bundle {segment.card.name}",
            "its network has no attention, or was exported before it could tell",
            "Leave --explain out, or export the bundle again",
        )
    with lock(options.out / LINES):  # two calls at once would give two images one name
        new = _segment_into(options, segment, images)
    return _conclude(new, left_out, options.out, segment.card.name)


def _segment_into(
    options: argparse.Namespace, segment: Segmenter, images: Sequence[Path]
) -> list[Record]:
    """Segment the images into the folder of results; the records of these images."""
    earlier = earlier_records(options.out)
    names = output_names(images, earlier)
    refuse_to_overwrite(options.out, names)
    new: list[Record] = []
    named = list(zip(images, names, strict=True))
    with (
        (options.out / LINES).open("a", encoding="utf-8") as lines,
        closing(_side_by_side(segment, named, options=options)) as answers,
        tqdm(total=len(images), unit="image", disable=None, leave=False) as bar,
    ):
        for record in answers:
            new.append(record)
            lines.write(json_line(record) + "\n")
            lines.flush()
            bar.update()
            bar.clear()
            print(json_line(record) if options.json else image_line(record), flush=True)
    records = [*kept(earlier, images), *new]
    write_text(options.out / LINES, "".join(json_line(record) + "\n" for record in records))
    if not options.classes:  # earlier calls may have asked for them
        records = [{k: v for k, v in record.items() if k != SUPPORT} for record in records]
    write_text(options.out / "results.csv", csv_text(records))
    write_text(options.out / "report.html", html_page(records, segment.card.intended_use))
    return new


def _conclude(records: Sequence[Record], left_out: Sequence[Path], out: Path, bundle: str) -> int:
    failed = [record for record in records if "error" in record]
    for record in failed:
        print(f"suraksha: {record['image']}: {record['error']}", file=sys.stderr)
    lacking = [record for record in records if "not_written" in record]
    for record in lacking:
        for kind, why in record["not_written"].items():
            print(f"suraksha: {record['image']}: no {kind} file: {why}", file=sys.stderr)
    masks = f", {len(left_out)} masks and overlays left out" if left_out else ""
    print(
        f"{len(records) - len(failed)} of {len(records)} images segmented with {bundle}, "
        f"{len(failed)} failed{masks}. Results: {shown(out / 'report.html')}. Research use only.",
        file=sys.stderr,
    )
    return 1 if failed or lacking else 0


def millimetres(text: str) -> Spacing:
    """The spacing that ``--spacing`` gives."""
    try:
        return Spacing.square(float(text))
    except (ValueError, InputError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _side_by_side(
    segment: Segmenter, named: Iterable[tuple[Path, str]], *, options: argparse.Namespace
) -> Generator[Record, None, None]:
    """What to say of each, in order; those not begun are left when the caller stops."""

    def one(image: tuple[Path, str]) -> Record:
        return _segment_one(segment, image[0], options=options, out=options.out / image[1])

    with ThreadPoolExecutor(options.threads or default_threads()) as pool:
        try:
            yield from pool.map(one, named)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _segment_one(
    segment: Segmenter, path: Path, *, options: argparse.Namespace, out: Path
) -> dict[str, Any]:
    """Segment one image and write its files; what to say of it, an ``error`` included."""
    try:
        result = _answer(segment, path, options.spacing)
        maps = segment.explain(result.image) if options.explain else {}
        written = write_outputs(result, out, kinds=options.also, maps=maps)
    except (SurakshaError, OSError, MemoryError) as error:
        remove_outputs(out.parent, out.name)
        why = "the memory does not suffice. Give a smaller image"
        text = why if isinstance(error, MemoryError) else str(error)
        return {"image": shown(path), "source": source_of(path), "error": shown(text)}
    record: dict[str, Any] = {"image": shown(path), "source": source_of(path)}
    record |= result_record(result) | written
    if options.classes and result.classes is not None:
        record |= support_record(result.classes)
    return record


def _answer(segment: Segmenter, path: Path, spacing: Spacing | None) -> Result:
    """Of a DICOM clip, the answer for the frame with the largest lesion."""
    if not is_dicom(path):
        return segment(read_image(path, spacing=spacing))
    from suraksha.dicom.objects.results import key_result
    from suraksha.io.dicom import DicomFile

    return key_result(DicomFile(path, spacing=spacing), segment)


def add_info(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``info``."""
    parser.add_argument("bundle", nargs="?", help="name or .busi file (default: those shipped)")
    parser.add_argument("--card", action="store_true", help="print the bundle's model card")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run_info(options: argparse.Namespace) -> int:
    """Say what is installed, or what a bundle says of itself."""
    if options.card:
        card = read_bundle(options.bundle).card
        print(card.to_json() if options.json else model_card(card), end="")
        return 0
    bundles = list(_bundles([options.bundle] if options.bundle else BUNDLES))
    info = {
        "version": suraksha.__version__,
        "python": platform.python_version(),
        "bundles": bundles,
        "engines": list(ENGINES),
        "extras": {name: all(map(find_spec, modules)) for name, modules in EXTRAS.items()},
    }
    if options.json:
        print(json.dumps(info, indent=2))
        return 0
    print(f"suraksha {info['version']}, Python {info['python']}. Research use only.")
    for bundle in bundles:
        print(f"bundle {bundle['name']}: {bundle['parameters']} parameters, {bundle['sha256']}")
    print(f"engines: {', '.join(ENGINES)}")
    for name, modules in EXTRAS.items():
        print(f"extra [{name}]: {'found' if all(map(find_spec, modules)) else 'not installed'}")
    return 0


def _bundles(wanted: Iterable[str]) -> Iterator[dict[str, Any]]:
    for name in wanted:
        bundle = read_bundle(name)
        card = bundle.card
        yield {
            "name": card.name,
            "default": name == DEFAULT_BUNDLE,
            "sha256": bundle.sha256,
            "parameters": card.parameters,
            "macs": card.macs,
            "size": list(card.preparation.shape),
            "intended_use": card.intended_use,
        }
