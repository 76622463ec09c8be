"""The errors of Suraksha. Every message says what is wrong, why, and what to do.

SurakshaError
 |- UsageError     an invalid argument or option (exit code 2 of the command line)
 |   `- UnknownNameError   a name that is not in the list of known names
 |- InputError     an image, mask or file that cannot be used
 |   |- UnreadableError    a file that cannot be read as an image
 |   `- UnsuitableError    an image that does not look like breast ultrasound
 |- DataError      a data set, cache, list or split that is invalid or does not match
 |- BundleError    a bundle that is damaged, modified or of a newer version
 |- ModelError     a network, spec or tensor that does not fit
 |- TrainError     a recipe, run folder or checkpoint that cannot be used
 |- ComputeError   a cluster that cannot be reached, or whose workers fail
 |- BusyError      another process is using the same files
 `- MissingExtraError      an optional dependency is not installed
"""

from __future__ import annotations

from collections.abc import Callable, Iterable


class SurakshaError(Exception):
    """Base class of all errors that Suraksha raises.

    Args:
        what: What is wrong, one clause.
        why: Why it is wrong.
        fix: What to do about it.
    """

    def __init__(self, what: str, why: str, fix: str) -> None:
        self.what, self.why, self.fix = what, why, fix
        super().__init__(what, why, fix)

    def __str__(self) -> str:
        return f"{self.what}: {self.why}. {self.fix}."

    def __reduce__(self) -> tuple[Callable[..., SurakshaError], tuple[object, ...]]:
        """Pickle the three parts, because subclasses have other constructors."""
        return _restore, (type(self), *self.args)


def _restore(kind: type[SurakshaError], what: str, why: str, fix: str) -> SurakshaError:
    error = kind.__new__(kind)
    SurakshaError.__init__(error, what, why, fix)
    return error


class UsageError(SurakshaError):
    """An invalid argument or option."""


class UnknownNameError(UsageError):
    """A name that is not in the list of known names.

    Args:
        kind: What the name stands for, such as ``"bundle"``.
        name: The unknown name.
        known: The known names.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        from difflib import get_close_matches  # slow to import, and needed here only

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
    """A file that cannot be read as an image.

    Args:
        path: The file.
        why: Why it cannot be read.
        fix: What to do about it.
    """

    def __init__(self, path: object, why: str, fix: str) -> None:
        super().__init__(f"cannot read '{path}'", why, fix)


class UnsuitableError(InputError):
    """An image that does not look like breast ultrasound.

    Args:
        name: Name of the image.
        why: Which property is out of range.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            f"'{name}' was not segmented",
            f"it does not look like a breast ultrasound image ({why})",
            "If it is one, repeat without the input check (check=False, --no-input-check)",
        )


class DataError(SurakshaError):
    """A data set, cache, list or split that is invalid or does not match."""


class BundleError(SurakshaError):
    """A bundle that is damaged, modified or made for another version."""


class ModelError(SurakshaError):
    """A network, spec or tensor that does not fit."""


class TrainError(SurakshaError):
    """A recipe, run folder or checkpoint that cannot be used."""


class ComputeError(SurakshaError):
    """A cluster that cannot be reached, or whose workers fail."""


class BusyError(SurakshaError):
    """Another process is using the same files."""


class MissingExtraError(SurakshaError):
    """An optional dependency is not installed.

    Args:
        feature: The feature that needs it.
        extra: The extra of Suraksha that installs it.
        module: The module that is missing.
    """

    def __init__(self, feature: str, extra: str, module: str) -> None:
        super().__init__(
            f"{feature} is not available",
            f"the module '{module}' is not installed",
            f"Install the extra suraksha[{extra}]: in a clone, run pip install '.[{extra}]'",
        )
