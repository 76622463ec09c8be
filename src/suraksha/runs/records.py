"""Tables of TOML and JSON as typed records, decoded strictly by msgspec."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from suraksha.errors import SurakshaError, TrainError

# far above any recipe or run file
MAX_BYTES = 16 << 20
Record = TypeVar("Record")


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        TrainError: The file cannot be read, is larger than 16 MiB, or is not valid TOML.
    """
    try:
        return tomllib.loads(_read(path).decode())
    except ValueError as error:  # not UTF-8, or not TOML
        raise TrainError(
            f"{path} cannot be read", f"it is not valid TOML: {error}", "Correct that line"
        ) from error


def read_json(path: Path, kind: type[Record]) -> Record:
    """The record that a JSON file holds.

    Args:
        path: The file.
        kind: A dataclass.

    Raises:
        TrainError: The file cannot be read, is larger than 16 MiB, is not valid JSON, or does not
            hold that record.
    """
    try:
        table = json.loads(_read(path))
    except ValueError as error:  # not UTF-8, or not JSON
        raise TrainError(
            f"{path} cannot be read", f"it is not valid JSON: {error}", "Train the run again"
        ) from error
    return to_record(table, kind, source=str(path))


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise TrainError(
                f"{path} is too large",
                f"it has {size} bytes, and at most {MAX_BYTES} are read",
                "Give a recipe or a file of a run",
            )
        return path.read_bytes()
    except OSError as error:
        raise TrainError(f"{path} cannot be read", str(error), "Check the path") from error


def to_record(table: object, kind: type[Record], *, source: str) -> Record:
    """Check a table and convert it to a record.

    Args:
        table: What TOML or JSON was decoded to.
        kind: A dataclass; its fields are the known keys.
        source: The file's name, for errors.

    Raises:
        TrainError: An unknown or missing key, a value of another type, or a value that the record
            does not accept.
    """
    for key, known in _unknown_keys(table, kind):
        near = get_close_matches(key, known, n=1)
        hint = f"Did you mean '{near[0]}'? " if near else ""
        raise TrainError(
            f"unknown key '{key}' in {source}",
            "no such key exists",
            f"{hint}Known: {', '.join(known)}",
        )
    try:
        return msgspec.convert(table, kind, strict=True)
    except msgspec.ValidationError as error:
        text, _, where = str(error).partition(" - at `$")
        key = where.strip("`").lstrip(".")
        raise TrainError(
            f"{key or 'the content'} in {source} is not valid",
            re.sub(r"`(\w+)`", r"\1", text)
            .replace("Expected", "it must be of type")
            .replace("type object", "type table"),
            "Correct that value",
        ) from error
    except SurakshaError as error:
        raise TrainError(f"{error.what}, in {source}", error.why, error.fix) from error


def _unknown_keys(table: object, kind: Any, where: str = "") -> Iterator[tuple[str, list[str]]]:  # noqa: ANN401 - a type
    """Each unknown key with its path, and the known keys beside it."""
    if isinstance(table, list | tuple):
        for item in table:
            for inner in get_args(kind)[:1]:
                yield from _unknown_keys(item, inner, where)
    elif isinstance(table, Mapping) and is_dataclass(kind):
        types = get_type_hints(kind)
        known = [field.name for field in fields(kind)]
        for key, value in table.items():
            if key in known:
                yield from _unknown_keys(value, types[key], f"{where}{key}.")
            else:
                yield f"{where}{key}", [where + name for name in known]
    elif isinstance(table, Mapping):
        for key, value in table.items():
            for inner in get_args(kind)[1:]:
                yield from _unknown_keys(value, inner, f"{where}{key}.")
