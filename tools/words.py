"""Check code, documentation and web page against the project's word list.

Usage: python tools/words.py [--root FOLDER] [--counts] [PATH ...]

The rules are in ``words.toml`` and the exceptions in ``words-allowed.toml``, beside this file.
Prints ``file:line: "word" -> suggestion`` for each hit and exits with 1 where there is one, or
where an exception of a complete check is not needed any more.

Python files are split into text (strings, docstrings, comments) and identifiers; a rule can apply
to one of them. Identifiers are split into words: ``list_models`` and ``ListModels`` are "list
models".
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TEXT, IDENTIFIER = "text", "identifier"
CODE = "\0"  # stands for code in a text view, so that no phrase is found across it
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
CAMEL_TOKEN = re.compile(r"\b[A-Za-z]*[a-z0-9][A-Z]\w*")


@dataclass(frozen=True)
class Rule:
    """A forbidden expression.

    Args:
        pattern: What is forbidden.
        use: What to write instead.
        parts: Where it is forbidden: in ``text``, in an ``identifier``, or in both.
        scopes: The scopes that it applies to; empty for all.
        allowed: Expressions that contain the pattern and are allowed.
    """

    pattern: re.Pattern[str]
    use: str
    parts: tuple[str, ...]
    scopes: tuple[str, ...]
    allowed: tuple[re.Pattern[str], ...]

    def search(self, text: str) -> Iterator[re.Match[str]]:
        """The hits in a text that are not part of an allowed expression."""
        spared = [match.span() for one in self.allowed for match in one.finditer(text)]
        for match in self.pattern.finditer(text):
            if not any(start <= match.start() and match.end() <= end for start, end in spared):
                yield match


@dataclass(frozen=True)
class Scope:
    """A named set of files: globs from the repository's root, without those of ``exclude``."""

    name: str
    paths: tuple[str, ...]
    exclude: tuple[str, ...]

    def files(self, root: Path) -> list[Path]:
        """Its files, sorted."""
        found = {path for glob in self.paths for path in root.glob(glob) if path.is_file()}
        left = {path for glob in self.exclude for path in root.glob(glob)}
        return sorted(found - left)


@dataclass(frozen=True)
class Allowed:
    """An exception: hits of ``words`` in the files of a glob, and why they stay."""

    path: str
    words: re.Pattern[str]
    reason: str


@dataclass(frozen=True)
class Hit:
    """A forbidden word: the file relative to the root, the line, the word, the suggestion."""

    path: str
    line: int
    word: str
    use: str

    def __str__(self) -> str:
        return f'{self.path}:{self.line}: "{self.word}" -> {self.use}'


def read_rules(path: Path) -> tuple[list[Rule], list[Scope]]:
    """Read the word list.

    Raises:
        ValueError: A rule without a pattern or suggestion, an unknown key or scope.
    """
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    scopes = [
        Scope(name, tuple(one["paths"]), tuple(one.get("exclude", ())))
        for name, one in table["scopes"].items()
    ]
    return [_rule(one, [scope.name for scope in scopes]) for one in table["words"]], scopes


def _rule(table: dict[str, Any], scopes: list[str]) -> Rule:
    unknown = set(table) - {"pattern", "use", "parts", "scopes", "allowed", "case_sensitive"}
    unknown |= set(table.get("scopes", ())) - set(scopes)
    unknown |= set(table.get("parts", ())) - {TEXT, IDENTIFIER}
    if unknown or not table.get("pattern") or not table.get("use"):
        raise ValueError(f"invalid rule {table}: unknown {sorted(unknown)}, or no pattern or use")
    flags = re.NOFLAG if table.get("case_sensitive") else re.IGNORECASE
    return Rule(
        _compiled(table["pattern"], flags),
        table["use"],
        tuple(table.get("parts", (TEXT, IDENTIFIER))),
        tuple(table.get("scopes", ())),
        tuple(_compiled(one, flags) for one in table.get("allowed", ())),
    )


def _compiled(pattern: str, flags: re.RegexFlag) -> re.Pattern[str]:
    """Spaces of a pattern also match line breaks."""
    return re.compile(pattern.replace(" ", r"\s+"), flags)


def read_allowed(path: Path) -> list[Allowed]:
    """Read the exceptions; none where there is no file."""
    if not path.exists():
        return []
    tables = tomllib.loads(path.read_text(encoding="utf-8")).get("allow", [])
    return [
        Allowed(one["path"], re.compile(one["words"], re.IGNORECASE), one["reason"])
        for one in tables
    ]


def parts_of(path: Path) -> Iterator[tuple[str, int, str]]:
    """The parts of a file as (``text`` or ``identifier``, first line, content), its name first."""
    source = path.read_text(encoding="utf-8")
    yield IDENTIFIER, 1, _words(path.stem)
    if path.suffix == ".py":
        yield from _python_parts(source)
    elif path.suffix == ".ipynb":
        for cell in json.loads(source)["cells"]:  # a notebook's lines are not those of its file
            content = "".join(cell["source"])
            parts = _python_parts(content) if cell["cell_type"] == "code" else _text_parts(content)
            yield from parts
    else:
        yield from _text_parts(source)


def _text_parts(source: str) -> Iterator[tuple[str, int, str]]:
    yield TEXT, 1, source.replace("_", " ")
    for number, line in enumerate(source.splitlines(), start=1):
        for match in CAMEL_TOKEN.finditer(line):
            yield IDENTIFIER, number, _words(match.group())


def _words(name: str) -> str:
    """``SomeName.some_name`` as "Some Name.some name"."""
    return CAMEL.sub(" ", name).replace("_", " ")


def _python_parts(source: str) -> Iterator[tuple[str, int, str]]:
    """One text view of the lines of the whole file, and each dotted name."""
    lines = [list(re.sub(r"[^\s]", CODE, line)) for line in source.splitlines()]
    chain, after_dot = "", False
    chain_line = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        if kind == "NAME":
            chain = f"{chain}.{token.string}" if after_dot and chain else token.string
            chain_line, after_dot = token.start[0], False
        elif token.string == "." and chain:
            after_dot = True
        elif chain:
            yield IDENTIFIER, chain_line, _words(chain)
            chain, after_dot = "", False
        if kind in ("STRING", "COMMENT") or kind.startswith("FSTRING"):
            _copy(lines, token, source_lines=source.splitlines())
    text = "\n".join("".join(line) for line in lines)
    yield TEXT, 1, text.replace("_", " ")


def _copy(lines: list[list[str]], token: tokenize.TokenInfo, *, source_lines: list[str]) -> None:
    """Put the characters of a string or comment into the text view, its marks as spaces."""
    (first, start), (last, end) = token.start, token.end
    for number in range(first, last + 1):
        line = source_lines[number - 1] if number <= len(source_lines) else ""
        left = start if number == first else 0
        right = end if number == last else len(line)
        lines[number - 1][left:right] = re.sub(r"""["'#]""", " ", line[left:right])


def find_hits(root: Path, rules: list[Rule], scopes: list[Scope]) -> Iterator[Hit]:
    """All hits in the files of the scopes, in order."""
    for scope in scopes:
        active = [rule for rule in rules if not rule.scopes or scope.name in rule.scopes]
        for path in scope.files(root):
            name = path.relative_to(root).as_posix()
            found = [
                Hit(name, line + text.count("\n", 0, match.start()), _flat(match.group()), rule.use)
                for part, line, text in parts_of(path)
                for rule in active
                if part in rule.parts
                for match in rule.search(text)
            ]
            yield from sorted(set(found), key=lambda hit: (hit.line, hit.word))


def _flat(word: str) -> str:
    return " ".join(word.split())


def check(root: Path, *, folder: Path = HERE) -> tuple[list[Hit], list[Allowed]]:
    """The hits that are not allowed, and the exceptions that no hit needs."""
    rules, scopes = read_rules(folder / "words.toml")
    allowed = read_allowed(folder / "words-allowed.toml")
    hits, used = [], set()
    for hit in find_hits(root, rules, scopes):
        spared = [
            one
            for one in allowed
            if Path(hit.path).match(one.path) and one.words.fullmatch(hit.word)
        ]
        used |= {id(one) for one in spared}
        if not spared:
            hits.append(hit)
    return hits, [one for one in allowed if id(one) not in used]


def main(arguments: list[str] | None = None) -> int:
    """Check the files, or only those given; 1 where a word is forbidden."""
    parser = argparse.ArgumentParser(description="Check the project's word list.")
    parser.add_argument("paths", nargs="*", type=Path, help="files or folders (default: all)")
    parser.add_argument("--root", type=Path, default=HERE.parent, help="the repository")
    parser.add_argument("--counts", action="store_true", help="print the number of hits per word")
    options = parser.parse_args(arguments)
    root = options.root.resolve()
    hits, unused = check(root)
    chosen = [path.resolve() for path in options.paths]
    if chosen:
        places = [(root / hit.path, hit) for hit in hits]
        hits = [hit for at, hit in places if any(at.is_relative_to(path) for path in chosen)]
        unused = []
    if options.counts:
        for word, count in Counter(hit.word.lower() for hit in hits).most_common():
            print(f"{count:6} {word}")
    else:
        for hit in hits:
            print(hit)
    for one in unused:
        print(f"words-allowed.toml: not needed any more: {one.path}, {one.words.pattern}")
    print(f"{len(hits)} forbidden words in {len({hit.path for hit in hits})} files")
    return 1 if hits or unused else 0


if __name__ == "__main__":
    sys.exit(main())
