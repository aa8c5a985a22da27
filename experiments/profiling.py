"""Profile a call: which operations of compiled programs take the time of the devices."""

import pathlib
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import rich.box
from rich.table import Table as Grid

from aerec import files
from aerec.cli import show
from aerec.errors import BadInput

SHOWN = 10


class Event(NamedTuple):
    """One execution of an operation on a line of a trace; times in nanoseconds."""

    name: str
    start: float
    end: float


def profile(call: Callable[[], Any], folder: str | None) -> dict[str, float]:
    """Call once under the profiler of JAX; write its trace to a folder, and show the operations.

    Args:
      call: compiled before; it waits for its result.
      folder: for the trace, which XProf and Perfetto open; None: do nothing.

    Returns:
      Of the operations with the most time, `share:PROGRAM/OPERATION` of the time of all of them.

    Raises:
      BadInput: the folder cannot be written, or the trace has no operation.
    """
    if folder is None:
        return {}
    place = pathlib.Path(folder)
    with files.writing(place):
        place.mkdir(parents=True, exist_ok=True)
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    with jax.profiler.trace(place, profiler_options=options):
        jax.block_until_ready(call())
    written = max(place.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
    busy, times = defaultdict[str, float](float), Counter[str]()
    for line in lines(written):
        for name, seconds in alone(line):
            busy[name] += seconds
            times[name] += 1
    if not busy:
        raise BadInput(f"{written}: this trace has no operation of a compiled program")
    total = sum(busy.values())
    longest = sorted(busy, key=busy.__getitem__, reverse=True)[:SHOWN]
    grid = Grid(box=rich.box.SIMPLE_HEAD, title="Operations by time")
    for column in ("program/operation", "executions", "seconds", "share"):
        grid.add_column(column, justify="right" if column != "program/operation" else "left")
    for name in longest:
        share = f"{busy[name] / total:.1%}"
        grid.add_row(name, f"{times[name]:,}", f"{busy[name]:.3f}", share)
    show.CONSOLE.print(grid)
    show.CONSOLE.print(f"The trace is {written}.", markup=False, soft_wrap=True)
    return {f"share:{name}": busy[name] / total for name in longest}


def lines(trace: pathlib.Path) -> Iterable[list[Event]]:
    """Read the executions of operations on each line, a thread or a stream, of a trace."""
    with warnings.catch_warnings():  # of the reader's own types
        warnings.simplefilter("ignore", DeprecationWarning)
        for plane in jax.profiler.ProfileData.from_file(str(trace)).planes:
            for line in plane.lines:
                found = []
                for event in line.events:
                    facts = dict(event.stats)
                    if "hlo_op" in facts:
                        name = f"{facts.get('hlo_module', '')}/{facts['hlo_op']}"
                        start = event.start_ns
                        found.append(Event(name, start, start + event.duration_ns))
                yield found


def alone(line: Iterable[Event]) -> Iterable[tuple[str, float]]:
    """Yield each execution on a line, in seconds, without those that it contains, like a loop's."""
    open_: list[tuple[Event, list[float]]] = []  # each with the time of those directly in it

    def close() -> tuple[str, float]:
        (name, start, end), within = open_.pop()
        return name, (end - start - sum(within)) / 1e9

    for event in sorted(line, key=lambda own: (own.start, -own.end)):
        while open_ and open_[-1][0].end <= event.start:
            yield close()
        if open_:
            open_[-1][1].append(event.end - event.start)
        open_.append((event, []))
    while open_:
        yield close()
