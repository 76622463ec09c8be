"""The verbs of ``data``. They need no torch."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from suraksha.cli.arguments import (
    FIRST_SPLIT,
    add_protocol,
    add_training_size,
    check_exists,
    natural,
    positive,
    progress,
)
from suraksha.cli.text import count_text, printable, table_text

DATASETS = ("busi", "bus-bra", "breast")
# how many names a list on the terminal shows
SHOWN = 10


def add_init(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``data init``."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="your images and masks")
    parser.add_argument(
        "--name", metavar="NAME", help="name of the data set (default: that of the folder)"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing suraksha.toml")


def run_init(options: argparse.Namespace) -> int:
    """Recognise the layout of a folder and describe it in ``suraksha.toml``."""
    check_exists(options.folder, "the folder")
    from suraksha.datasets.init import describe_folder

    found = describe_folder(options.folder, name=options.name, overwrite=options.force)
    if options.json:
        facts = {
            "description": str(found.path),
            "classes": dict(found.classes),
            "masks": found.masks,
            "without_mask": list(found.without_mask),
        }
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    print(table_text(("class", "images"), list(found.classes.items())))
    print(f"masks: {found.masks}")
    if found.without_mask:
        print("\n".join(_names("without a mask", found.without_mask, shown=SHOWN)))
    print(f"written: {found.path}\nnext: suraksha data check {options.folder}")
    return 0


def add_check(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``data check``."""
    parser.add_argument("root", type=Path, metavar="ROOT", help="the data set's folder")
    parser.add_argument("-v", "--verbose", action="store_true", help="list every name")


def run_check(options: argparse.Namespace) -> int:
    """Audit a data set; 1 if it has faults."""
    check_exists(options.root, "the data set")
    from suraksha.datasets.audit import audit

    found = audit(options.root, progress=progress(options, label="checking")).to_dict()
    if options.json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        print("\n".join(_audit_lines(found, shown=None if options.verbose else SHOWN)))
    return 1 if found["faults"] else 0


def _audit_lines(found: dict[str, Any], *, shown: int | None) -> Iterable[str]:
    """The audit as tables: classes, what is unusual, and every fault."""
    fractions = found["lesion_fraction"]
    of_classes = fractions.get("classes", {})
    rows = [
        (name, count, *_percent(of_classes.get(name))) for name, count in found["classes"].items()
    ]
    rows.append(("all", found["images"], *_percent(fractions.get("all"))))
    head = ("class", "images", "lesion area, mean", "median")
    yield table_text(head, rows)
    yield ""
    sizes = found["sizes"]
    if sizes["min"]:
        low, high = (" x ".join(map(str, sizes[key])) for key in ("min", "max"))
        yield f"image sizes: {sizes['distinct']} different, from {low} to {high} (rows x columns)"
    yield from _names("several masks", found["multi_mask"], shown=shown)
    yield from _names("colour marks", found["colour_marked"], shown=shown)
    for title, key in (
        ("near-duplicates", "duplicate_groups"),
        ("near-duplicates of different classes", "mixed_groups"),
        ("identical images", "identical"),
    ):
        groups = found[key]
        total = count_text(sum(map(len, groups)), "image")
        yield f"{title}: {total} in {count_text(len(groups), 'group')}"
        # groups of one class are normal in a clinic: the next line is about the others
        if key != "duplicate_groups":
            yield from _list([", ".join(group) for group in groups], shown=shown)
    faults = found["faults"]
    yield f"faults: {len(faults)}"
    if faults:
        yield table_text(
            ("image", "fault", "details"),
            [(fault["image"], fault["kind"], fault["message"]) for fault in faults],
        )


def _percent(fraction: dict[str, float] | None) -> tuple[str, str]:
    if fraction is None:
        return "-", "-"
    return f"{100 * fraction['mean']:.1f} %", f"{100 * fraction['median']:.1f} %"


def _names(title: str, names: Sequence[str], *, shown: int | None) -> Iterable[str]:
    yield f"{title}: {count_text(len(names), 'image')}"
    yield from _list(names, shown=shown)


def _list(lines: Sequence[str], *, shown: int | None) -> Iterable[str]:
    yield from (f"  {printable(line)}" for line in lines[:shown])
    if shown is not None and len(lines) > shown:
        yield f"  ... and {len(lines) - shown} more (data check -v lists all)"


def add_pack(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``data pack``."""
    parser.add_argument("root", type=Path, metavar="ROOT", help="the data set's folder")
    parser.add_argument("cache", type=Path, metavar="CACHE", help="the folder to write")
    add_training_size(parser, default="C1")
    parser.add_argument(
        "--channels", type=int, default=1, choices=(1, 3), help="1 for grey, 3 for RGB (default: 1)"
    )


def run_pack(options: argparse.Namespace) -> int:
    """Resize a data set once."""
    check_exists(options.root, "the data set")
    from suraksha.datasets.cache import pack
    from suraksha.preprocessing import Preparation

    preparation = Preparation(options.input_size, options.input_size, options.channels)
    cache = pack(
        options.root,
        options.cache,
        preparation=preparation,
        progress=progress(options, label="packing"),
    )
    facts = {"cache": str(options.cache), "images": len(cache.items), "sha256": cache.sha256}
    text = f"{count_text(len(cache.items), 'image')} packed in {options.cache}"
    print(json.dumps(facts) if options.json else text)
    return 0


def add_split(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``data split``."""
    parser.add_argument("cache", type=Path, metavar="CACHE", help="a packed data set")
    parser.add_argument("file", type=Path, metavar="FILE", help="the JSON file to write")
    add_protocol(parser, default="clean")


def run_split(options: argparse.Namespace) -> int:
    """Write a split as a file."""
    check_exists(options.cache, "the packed data set")
    from suraksha.datasets.cache import open_cache
    from suraksha.datasets.splits import make_split

    cache = open_cache(options.cache)
    first = FIRST_SPLIT[options.protocol]
    split = make_split(
        cache.items,
        protocol=options.protocol,
        number=first if options.split is None else options.split,
        lists=options.lists,
        dataset=cache.dataset,
    )
    split.save(options.file)
    facts = {
        "file": str(options.file),
        "protocol": split.protocol,
        "parameter": split.parameter,
        "train": len(split.train),
        "test": len(split.test),
        "sha256": split.sha256,
    }
    text = (
        f"{split.protocol}, {split.parameter}: {len(split.train)} training and "
        f"{len(split.test)} test images; written: {options.file}"
    )
    print(json.dumps(facts) if options.json else text)
    return 0


def add_fetch(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``data fetch``."""
    parser.add_argument("name", choices=DATASETS, help="the data set")
    parser.add_argument(
        "--from", dest="source", required=True, metavar="URL|ZIP", help="where its archive is"
    )
    parser.add_argument(
        "--to", type=Path, default=Path("data"), metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument(
        "--sha256", metavar="HEX", help="checksum of the archive; recommended for a URL"
    )


def run_fetch(options: argparse.Namespace) -> int:
    """Download an archive, with resume, and unpack it."""
    from tqdm import tqdm

    from suraksha.datasets.download import fetch

    hidden = True if options.quiet else None
    with tqdm(unit="B", unit_scale=True, disable=hidden, leave=False) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        folder = fetch(
            options.name,
            options.source,
            folder=options.to,
            sha256=options.sha256,
            progress=show,
        )
    text = f"data set: {folder}\nnext: suraksha data check {folder}"
    print(json.dumps({"folder": str(folder)}) if options.json else text)
    return 0


def add_phantom(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``data phantom``."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="a new folder")
    parser.add_argument(
        "--count", type=positive, default=60, metavar="N", help="images (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=natural, default=0, metavar="N", help="random seed (default: %(default)s)"
    )


def run_phantom(options: argparse.Namespace) -> int:
    """Generate synthetic images with masks."""
    from suraksha.datasets.phantom_set import write_phantoms

    bar = progress(options, label="generating")
    count = write_phantoms(options.folder, options.count, seed=options.seed, progress=bar)
    facts = {"folder": str(options.folder), "images": count, "synthetic": True}
    text = (
        f"{count_text(count, 'synthetic image')} in {options.folder}. They are for tests and "
        "demonstrations; they support no clinical conclusion."
    )
    print(json.dumps(facts) if options.json else text)
    return 0
