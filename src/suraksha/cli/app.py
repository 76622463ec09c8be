"""The program ``suraksha``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from suraksha.cli.commands import (
    EXTRAS,
    FAILED,
    INTERRUPTED,
    WRONG_USAGE,
    Command,
    build_parser,
)
from suraksha.errors import MissingExtraError, SurakshaError, UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        arguments: The command line without the program's name; None for that of the process.

    Returns:
        The exit code: 0 success, 1 failure, 2 wrong usage, 130 interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be UTF-8
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "_ARGCOMPLETE" in os.environ:  # the shell asks for completions
        import argcomplete

        argcomplete.autocomplete(build_parser())
    options, unknown = build_parser(given).parse_known_args(given)
    if unknown:
        options.verb_parser.refuse(unknown)
    command: Command = options.run_command
    try:
        code = command.function("run")(options)
        sys.stdout.flush()
    except SurakshaError as error:
        print(f"suraksha: {error}", file=sys.stderr)
        return WRONG_USAGE if isinstance(error, UsageError) else FAILED
    except ModuleNotFoundError as error:
        print(f"suraksha: {_missing_extra(command, error)}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:  # the reader of our output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        advice = "Check the path, its permissions and the free disk space"
        print(f"suraksha: cannot read or write a file: {error}. {advice}.", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("suraksha: interrupted", file=sys.stderr)
        return INTERRUPTED
    return code


def _missing_extra(command: Command, error: ModuleNotFoundError) -> MissingExtraError:
    """The extra that installs a missing module; other modules are an error of the program."""
    module = str(error.name).partition(".")[0]
    extra = next((name for name, modules in EXTRAS.items() if module in modules), None)
    if extra is None:
        raise error
    return MissingExtraError(f"'suraksha {command.name}'", extra, module)


if __name__ == "__main__":
    sys.exit(main())
