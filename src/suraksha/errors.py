"""The errors of Suraksha. Every message says what is wrong, why, and what to do.

SurakshaError
 |- UsageError     the caller asked for something that cannot be (exit code 2)
 |   `- UnknownNameError   a name that no table holds
 |- InputError     an image, mask or file that cannot be used
 |   |- UnreadableError    a file that holds no image that can be read
 |   `- UnsuitableError    an image that is no ultrasound
 |- DataError      a data set, cache, list or split that is broken or does not match
 |- BundleError    a bundle that is damaged, altered or too new
 |- ModelError     a network, spec or tensor that does not fit
 |- TrainError     a recipe, run folder or checkpoint that cannot be used
 |- ComputeError   a cluster that cannot be reached, or whose workers die
 |- BusyError      another process works on the same thing
 `- MissingExtraError      an optional part of Suraksha is not installed
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches


class SurakshaError(Exception):
    """Base of all errors that Suraksha raises on purpose.

    Args:
        what: What is wrong, one clause.
        why: Why it is wrong.
        fix: What the reader can do about it.
    """

    def __init__(self, what: str, why: str, fix: str) -> None:
        self.what, self.why, self.fix = what, why, fix
        super().__init__(what, why, fix)

    def __str__(self) -> str:
        return f"{self.what}: {self.why}. {self.fix}."

    def __reduce__(self) -> tuple[Callable[..., SurakshaError], tuple[object, ...]]:
        """Pickled by its three parts, whatever its constructor takes."""
        return _made_again, (type(self), *self.args)


def _made_again(kind: type[SurakshaError], what: str, why: str, fix: str) -> SurakshaError:
    error = kind.__new__(kind)
    SurakshaError.__init__(error, what, why, fix)
    return error


class UsageError(SurakshaError):
    """The caller asked for something that cannot be."""


class UnknownNameError(UsageError):
    """A name that the table of its kind does not hold."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = get_close_matches(name, names, n=1)
        hint = f"Did you mean '{near[0]}'? " if near else ""
        listing = ", ".join(names) or "none"
        super().__init__(
            f"unknown {kind} '{name}'", f"no {kind} has that name", f"{hint}Known: {listing}"
        )


class InputError(SurakshaError):
    """An image, mask or file that cannot be used."""


class UnreadableError(InputError):
    """A file that holds no image that can be read."""

    def __init__(self, path: object, why: str, fix: str) -> None:
        super().__init__(f"cannot read '{path}'", why, fix)


class UnsuitableError(InputError):
    """An image that does not look like ultrasound."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            f"'{name}' was not segmented",
            f"it does not look like an image of breast ultrasound: {why}",
            "If it is one, segment it without this check",
        )


class DataError(SurakshaError):
    """A data set, cache, list or split that is broken or does not match."""


class BundleError(SurakshaError):
    """A bundle that is damaged, altered or made for another version."""


class ModelError(SurakshaError):
    """A network, spec or tensor that does not fit."""


class TrainError(SurakshaError):
    """A recipe, run folder or checkpoint that cannot be used."""


class ComputeError(SurakshaError):
    """A cluster that cannot be reached, or whose workers die."""


class BusyError(SurakshaError):
    """Another process works on the same thing."""


class MissingExtraError(SurakshaError):
    """An optional part of Suraksha is not installed."""

    def __init__(self, feature: str, extra: str, module: str) -> None:
        super().__init__(
            f"{feature} is not available",
            f"the module '{module}' is not installed",
            f"Install it with: pip install 'suraksha[{extra}]'",
        )
