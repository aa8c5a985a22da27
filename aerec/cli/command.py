"""The console command: `aerec train|evaluate|...`, the same as `experiments.<name>`."""

import importlib
import io
import os
import pathlib
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import jax
from absl import app, flags, logging

from aerec import files, hosts
from aerec.cli import options
from aerec.errors import BadInput, NotNumbers, nearest
from aerec.training import loop

COMMANDS = ("train", "evaluate", "recommend", "audit", "convert")
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
    """List the commands, each with the first line of its docstring."""
    lines = []
    for name in COMMANDS:
        text = importlib.import_module(f"aerec.cli.{name}").__doc__ or ""
        lines.append(f"  aerec {name:10} {text.splitlines()[0]}")
    return "\n".join(lines)


def run(main: Callable[[Mapping[str, Any]], None], usage: str) -> None:
    """Run a binary: parse flags strictly, print expected errors as one line.

    Exit status: 0, 1 for a flag that does not parse, a training that diverged or a lost process of
    several, 2 for input to correct, 130 for an interruption.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may lack ± and accents

    sys.unraisablehook = unraisable

    def guarded(argv: list[str]) -> None:
        logging.set_verbosity(logging.FATAL)  # Orbax logs tracebacks of the errors that it raises
        if len(argv) > 1:
            raise app.UsageError(f"unexpected argument {argv[1]!r}; flags start with --")
        try:
            main(expanded(flags.FLAGS.flag_values_dict()))
        except BadInput as error:
            leave(2, f"error: {error}")
        except (loop.Diverged, NotNumbers) as error:
            leave(1, f"error: {error}")
        except Exception as error:
            if isinstance(error, OSError) and (error.filename or error.errno in files.FULL):
                if error.filename is None:  # not a file by name: what is printed; nothing more is
                    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                leave(2, f"error: {error.filename or 'standard output'}: {error.strerror}")
            if jax.distributed.is_initialized():  # whatever fails where a process is lost
                traceback.print_exc()
                leave(1, hosts.LOST)
            if isinstance(error, OSError) or (wrong := platform_error()) is None:
                raise
            leave(2, f"error: {wrong}")
        except KeyboardInterrupt:
            print("interrupted; the same command resumes from the last checkpoint", file=sys.stderr)
            sys.stdout.flush()
            hosts.part()
            os._exit(130)  # threads that write a checkpoint would print tracebacks at exit

    def leave(status: int, message: str) -> None:
        print(options.dashed(message), file=sys.stderr)
        hosts.leave(status)

    sys.modules["__main__"].__doc__ = options.typed(usage)
    for flag in own_flags():  # --help lists them as the binary's own
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    app.run(guarded)


def unraisable(found: Any) -> None:
    """Print an error that cannot be caught, unless no Python object raised it.

    After one write has failed, TensorStore's threads print an error for each of the others.
    """
    if found.object is not None:
        sys.__unraisablehook__(found)


def platform_error() -> str | None:
    """Explain in a sentence why JAX has no device; None if it has one."""
    asked = jax.config.jax_platforms  # type: ignore[attr-defined]
    try:
        jax.devices()
    except Exception as error:  # an AssertionError where the plugin is not installed
        why = (str(error).splitlines() or [""])[0].partition(" (set JAX_PLATFORMS")[0]
        jax.config.update("jax_platforms", "")
        return (
            f"JAX_PLATFORMS={asked}: JAX has no such device here, only "
            f"{jax.default_backend()}{why and f' ({why})'}. Unset JAX_PLATFORMS, or install what "
            "the device needs, like aerec[cuda] for an NVIDIA GPU"
        )
    return None


def own_flags() -> list[flags.Flag]:
    """List the flags that this project defines, not those of absl."""
    by_module = flags.FLAGS.flags_by_module_dict()
    return [
        flag
        for module, defined in by_module.items()
        if module.startswith(("aerec.", "experiments.")) or module == sys.argv[0]
        for flag in defined
    ]


def expanded(given: Mapping[str, Any]) -> dict[str, Any]:
    """Expand `~` in flags that are paths."""

    def path(value: Any) -> Any:
        if isinstance(value, list):
            return [path(part) for part in value]
        return str(pathlib.Path(value).expanduser()) if value else value

    return {name: path(value) if name in PATHS else value for name, value in given.items()}
