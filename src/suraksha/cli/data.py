"""The verb ``data``: check, pack, split, fetch or make a data set. It needs no torch."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from suraksha.datasets.audit import audit
from suraksha.datasets.cache import open_cache, pack
from suraksha.datasets.catalogue import DATASETS
from suraksha.datasets.download import fetch
from suraksha.datasets.phantom_set import write_phantoms
from suraksha.datasets.splits import PROTOCOLS, make_split
from suraksha.errors import UsageError
from suraksha.preprocessing import PATCH_SIZES, Preparation

Item = TypeVar("Item")
NUMBER_FLAGS = {name: spec.number for name, spec in PROTOCOLS.items()}


def bar(items: Sequence[Item]) -> Iterable[Item]:
    """A progress bar on stderr, silent where that is no terminal."""
    return tqdm(items, unit="image", disable=None, leave=False)


def add_protocol(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    """The arguments that choose a split."""
    parser.add_argument("--protocol", choices=tuple(NUMBER_FLAGS), default=default)
    for protocol, flag in NUMBER_FLAGS.items():
        parser.add_argument(f"--{flag}", type=int, metavar="N", help=f"of protocol {protocol}")
    parser.add_argument(
        "--lists", type=Path, metavar="DIR", help="folder with busi_train1.txt and so on"
    )


def protocol_number(options: argparse.Namespace, protocol: str) -> int | None:
    """The number given for a protocol, None where none was.

    Raises:
        UsageError: A number of another protocol.
    """
    for other, flag in NUMBER_FLAGS.items():
        if getattr(options, flag) is not None and other != protocol:
            raise UsageError(
                f"--{flag} does not go with protocol {protocol}",
                f"it chooses a split of protocol {other}",
                f"Give --{NUMBER_FLAGS[protocol]}, or --protocol {other}",
            )
    number: int | None = getattr(options, NUMBER_FLAGS[protocol])
    return number


def first_number(protocol: str) -> int:
    """Lists are counted from 1, seeds and folds from 0."""
    return 1 if NUMBER_FLAGS[protocol] == "list" else 0


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number of at least 1")
    return int(text)


def patch_size(text: str) -> int:
    """``C1``, ``C2``, ``C3`` or a side in pixels."""
    if text.upper() in PATCH_SIZES:
        return PATCH_SIZES[text.upper()]
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is neither C1, C2, C3 nor a side in pixels")
    return int(text)


def add_data(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``data``."""
    verbs = parser.add_subparsers(dest="data_command", required=True, metavar="WHAT")
    for name, (help_text, add, _) in DATA_COMMANDS.items():
        verb = verbs.add_parser(name, help=help_text, description=help_text)
        add(verb)
        verb.add_argument("--json", action="store_true", help="print one JSON object")


def run_data(options: argparse.Namespace) -> int:
    """Run one of the ``data`` verbs."""
    return DATA_COMMANDS[options.data_command][2](options)


def _add_check(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("root", type=Path, metavar="ROOT", help="the data set's folder")


def _check(options: argparse.Namespace) -> int:
    found = audit(options.root, progress=bar).to_dict()
    if options.json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        _print_audit(found)
    return 1 if found["faults"] else 0


def _print_audit(found: dict[str, Any]) -> None:
    classes = ", ".join(f"{name} {count}" for name, count in found["classes"].items())
    print(f"{found['images']} images: {classes}")
    for key in ("multi_mask", "colour_marked"):
        print(f"{key.replace('_', ' ')}: {len(found[key])}")
        if found[key]:
            print(f"  {', '.join(found[key])}")
    groups = found["duplicate_groups"]
    print(f"near-duplicates: {sum(map(len, groups))} images in {len(groups)} groups")
    for key in ("mixed_groups", "identical"):
        print(f"{key.replace('_', ' ')}: {len(found[key])}")
        for group in found[key]:
            print(f"  {', '.join(group)}")
    for name, fraction in found["lesion_fraction"].items():
        if name != "classes":
            print(f"lesion share, {name.replace('_', ' ')}: {fraction}")
    print(f"sizes: {found['sizes']}")
    print(f"faults: {len(found['faults'])}")
    for fault in found["faults"]:
        print(f"  {fault['image']}: {fault['kind']}: {fault['message']}")


def _add_pack(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("root", type=Path, metavar="ROOT", help="the data set's folder")
    verb.add_argument("cache", type=Path, metavar="CACHE", help="the cache's folder")
    verb.add_argument("--size", type=patch_size, default="C1", help="C1, C2, C3 or pixels")
    verb.add_argument("--channels", type=int, default=1, choices=(1, 3))


def _pack(options: argparse.Namespace) -> int:
    preparation = Preparation(options.size, options.size, options.channels)
    cache = pack(options.root, options.cache, preparation=preparation, progress=bar)
    facts = {"cache": str(options.cache), "images": len(cache.items), "sha256": cache.sha256}
    print(json.dumps(facts) if options.json else f"{facts['images']} images in {facts['cache']}")
    return 0


def _add_split(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("cache", type=Path, metavar="CACHE", help="a packed data set")
    verb.add_argument("file", type=Path, metavar="FILE", help="the split's JSON file")
    add_protocol(verb, default="clean")


def _split(options: argparse.Namespace) -> int:
    number = protocol_number(options, options.protocol)
    cache = open_cache(options.cache)
    split = make_split(
        cache.items,
        protocol=options.protocol,
        number=first_number(options.protocol) if number is None else number,
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
    print(json.dumps(facts) if options.json else ", ".join(f"{k} {v}" for k, v in facts.items()))
    return 0


def _add_fetch(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("name", choices=[spec.name for spec in DATASETS])
    verb.add_argument("--from", dest="source", required=True, metavar="URL-or-zip")
    verb.add_argument("--to", type=Path, default=Path("data"), metavar="DIR")
    verb.add_argument("--sha256", help="of the archive; strongly advised for a URL")


def _fetch(options: argparse.Namespace) -> int:
    with tqdm(unit="B", unit_scale=True, disable=None, leave=False) as shown:

        def told(done: int, total: int | None) -> None:
            shown.total = total
            shown.update(done - shown.n)

        folder = fetch(
            options.name,
            options.source,
            folder=options.to,
            sha256=options.sha256,
            progress=told,
        )
    print(json.dumps({"folder": str(folder)}) if options.json else f"data set in {folder}")
    return 0


def _add_phantom(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("folder", type=Path, metavar="DIR", help="a new folder")
    verb.add_argument("--count", type=positive, default=60, metavar="N")
    verb.add_argument("--seed", type=int, default=0, metavar="N")


def _phantom(options: argparse.Namespace) -> int:
    count = write_phantoms(options.folder, options.count, seed=options.seed, progress=bar)
    facts = {"folder": str(options.folder), "images": count, "synthetic": True}
    text = f"{count} synthetic images in {options.folder}; nothing clinical may be concluded"
    print(json.dumps(facts) if options.json else text)
    return 0


Add = Callable[[argparse.ArgumentParser], None]
Act = Callable[[argparse.Namespace], int]
DATA_COMMANDS: dict[str, tuple[str, Add, Act]] = {
    "check": ("count, compare and list every fault; 1 if there is one", _add_check, _check),
    "pack": ("pack a data set at one size, for training", _add_pack, _pack),
    "split": ("write a protocol's split as a file", _add_split, _split),
    "fetch": ("unpack a data set from a URL or zip file", _add_fetch, _fetch),
    "phantom": ("make a synthetic data set", _add_phantom, _phantom),
}
