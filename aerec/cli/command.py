"""The console command: `aerec train|evaluate|recommend|audit`, the same as `experiments.<name>`."""

import importlib
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from absl import app, flags, logging

from aerec.cli import options
from aerec.errors import BadInput, NotNumbers, nearest
from aerec.training import loop

COMMANDS = ("train", "evaluate", "recommend", "audit")
PATHS = ("data_dir", "data_file", "split_dir", "workdir", "history", "output", "against")


def main(name: str | None = None) -> None:
    """Run the command of that name, or the one that the command line names first."""
    if name is None:
        asked = sys.argv[1] if len(sys.argv) > 1 else "--help"
        if asked in ("--help", "-h", "help"):
            print(f"{usage()}\naerec COMMAND --help lists the flags of one.")
            return
        if asked not in COMMANDS:
            print(f"error: No command is called {asked!r}. {nearest(asked, COMMANDS)}",
                  file=sys.stderr)  # fmt: skip
            sys.exit(1)
        name = asked
        sys.argv = [f"{sys.argv[0]} {name}", *sys.argv[2:]]
    module = importlib.import_module(f"aerec.cli.{name}")
    module.define_flags()
    run(module.main, module.__doc__ or "")


def usage() -> str:
    """The commands, the first line of each docstring beside it."""
    lines = []
    for name in COMMANDS:
        told = importlib.import_module(f"aerec.cli.{name}").__doc__ or ""
        lines.append(f"  aerec {name:10} {told.splitlines()[0]}")
    return "\n".join(lines)


def run(main: Callable[[Mapping[str, Any]], None], usage: str) -> None:
    """Runs a binary: flags parsed strictly, expected errors as one line.

    Exit status: 0, 1 for a flag that does not parse or a training that diverged, 2 for input that
    its owner can put right, 130 for an interruption.
    """

    def guarded(argv: list[str]) -> None:
        logging.set_verbosity(logging.WARNING)  # Orbax tells every step of a save
        if len(argv) > 1:
            raise app.UsageError(f"unexpected argument {argv[1]!r}; flags start with --")
        try:
            main(expanded(flags.FLAGS.flag_values_dict()))
        except BadInput as error:
            leave(2, f"error: {error}")
        except (loop.Diverged, NotNumbers) as error:
            leave(1, f"error: {error}")
        except OSError as error:
            if error.filename is None:
                raise
            leave(2, f"error: {error.filename}: {error.strerror}")
        except KeyboardInterrupt:
            leave(130, "interrupted; the same command goes on from the last checkpoint")

    def leave(status: int, message: str) -> None:
        print(options.dashed(message), file=sys.stderr)
        sys.exit(status)

    sys.modules["__main__"].__doc__ = options.typed(usage)
    for flag in own_flags():  # --help lists them as the binary's own
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    app.run(guarded)


def own_flags() -> list[flags.Flag]:
    """The flags that this project defines, not those of absl."""
    by_module = flags.FLAGS.flags_by_module_dict()
    return [
        flag
        for module, defined in by_module.items()
        if module.startswith(("aerec.", "experiments.")) or module == sys.argv[0]
        for flag in defined
    ]


def expanded(given: Mapping[str, Any]) -> dict[str, Any]:
    """The flags with `~` at the beginning of a path read as the home folder."""

    def path(value: Any) -> Any:
        if isinstance(value, list):
            return [path(part) for part in value]
        return str(pathlib.Path(value).expanduser()) if value else value

    return {name: path(value) if name in PATHS else value for name, value in given.items()}
