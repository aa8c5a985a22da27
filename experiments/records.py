"""Results that are kept: experiments/results/<name>.json, a row per run, behind every figure shown.

A row has the figures that a page may show, and how they were made: command, versions, date,
machine, protocol, hashes of the splits, seeds, seconds, memory. Studies write these files with
`--record`, and `experiments.report` writes their figures into the pages.
"""

import dataclasses
import datetime
import math
import os
import pathlib
import platform
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from aerec import files
from aerec.errors import BadInput

RESULTS = pathlib.Path(__file__).parent / "results"
KINDS = ("interval", "sd")  # what `errors` are
PLACE = re.compile(r"\w+:[A-Za-z0-9_.-]+")  # FILE:ROW
LABEL = re.compile(r"[A-Za-z0-9_.-]+")
AGAIN = "restore it, or make it again with the commands of its rows"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One run: its figures, and how they were made.

    Attributes:
      label: unique in its file; letters, digits, `_`, `.`, `-`.
      figures: test figures by name, fractions and not percent.
      errors: of these figures, half a 95% interval over test rows, or the standard deviation over
        seeds, as `error_kind` says ("interval" or "sd").
      published: figures of the source, by the same names.
      command: what makes this row, from a checkout.
      machine: what it ran on (`machine`).
      split_hash: of the data as split, one for each split.
      seconds: of the fit, or of the measurement.
      peak_rss_mb: of the process, MB of 2^20 bytes; 0 if it was not measured.
      test_scored: how often the test part was scored.
      tuning: space, trials, seconds, validation, metric and setting of a search; None without one.
    """

    label: str
    figures: Mapping[str, float]
    errors: Mapping[str, float] = dataclasses.field(default_factory=dict)
    error_kind: str = "interval"
    published: Mapping[str, float] = dataclasses.field(default_factory=dict)
    command: str
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    date: str
    machine: str
    data: str = ""
    protocol: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    split_hash: Sequence[str] = ()
    seeds: Sequence[int] = ()
    seconds: float = 0.0
    peak_rss_mb: float = 0.0
    test_scored: int = 1
    tuning: Mapping[str, Any] | None = None

    def __post_init__(self):
        if not LABEL.fullmatch(self.label):
            raise BadInput(f"{self.label!r} is no label: use letters, digits, '_', '.' and '-'")
        if self.error_kind not in KINDS:
            raise BadInput(f"{self.label}: error_kind is {' or '.join(KINDS)}")
        for part in ("figures", "errors", "published"):
            for name, value in getattr(self, part).items():
                if not isinstance(value, int | float) or not math.isfinite(value):
                    raise BadInput(f"{self.label}: {part}: {name} is {value!r}, not a number")
        if unknown := set(self.errors) - set(self.figures):
            raise BadInput(f"{self.label}: an error without its figure, {min(unknown)}")
        for part in ("command", "date", "machine"):
            if not isinstance(getattr(self, part), str) or not getattr(self, part):
                raise BadInput(f"{self.label}: {part} is missing")
        for part in ("seconds", "peak_rss_mb"):
            if not isinstance(getattr(self, part), int | float):
                raise BadInput(f"{self.label}: {part} is a number, not {getattr(self, part)!r}")


def record(
    label: str,
    results: Mapping[str, Any],
    *,
    figures: Sequence[str],
    command: str,
    published: Mapping[str, float] | None = None,
    tuning: Mapping[str, Any] | None = None,
) -> Record:
    """Make the record of a run, of today and of this machine.

    Args:
      label: of the row.
      results: the content of its results.json, or `Run.results`.
      figures: which of its test figures to keep, or of its other figures like `epoch_seconds`;
        those that it lacks are left out.
      command: what made it.

    Raises:
      BadInput: a label or a figure that no file may have.
    """
    test, seeds = results["test"], results["seeds"]
    spread, factor = ("sd", 1.0) if len(seeds) > 1 else ("se", 1.96)
    known = {**results, **test}
    kept = {name: known[name] for name in figures if math.isfinite(known.get(name, math.nan))}
    return Record(
        label=label,
        figures=kept,
        errors={n: factor * test[f"{n}_{spread}"] for n in kept if f"{n}_{spread}" in test},
        error_kind="sd" if len(seeds) > 1 else "interval",
        published=dict(published or {}),
        command=command,
        versions=dict(results["versions"]),
        date=datetime.date.today().isoformat(),
        machine=machine(results["device"]),
        data=results["dataset"],
        protocol=dict(results["protocol"]),
        split_hash=list(results.get("split_hash", ())),
        seeds=[own["seed"] for own in seeds],
        seconds=results["fit_seconds"],
        peak_rss_mb=results["peak_rss_mb"],
        test_scored=results.get("test_scored", 1),
        tuning=tuning,
    )


def machine(device: str | None = None) -> str:
    """Describe what computes: the accelerator, or the cores of the processor.

    Args:
      device: as results.json has it, "<kind> x <number>"; None asks JAX.
    """
    if device is None:
        device = f"{jax.devices()[0].device_kind} x {jax.device_count()}"
    if not device.startswith("cpu x "):
        return device.removesuffix(" x 1")
    allowed = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    return f"{len(allowed)} core{'s' * (len(allowed) > 1)} of an {_processor()}"


def _processor() -> str:
    """Return the name of the processor, as the system gives it."""
    path = pathlib.Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def write(
    name: str, title: str, rows: Sequence[Record], folder: pathlib.Path = RESULTS
) -> pathlib.Path:
    """Write <folder>/<name>.json. Raises BadInput if two rows have the same label."""
    _require_unique(name, rows)
    path = folder / f"{name}.json"
    with files.writing(path):
        folder.mkdir(parents=True, exist_ok=True)
    files.write_json(path, {"title": title, "rows": [dataclasses.asdict(row) for row in rows]})
    return path


def add(name: str, title: str, row: Record, folder: pathlib.Path = RESULTS) -> pathlib.Path:
    """Write one row of <folder>/<name>.json, in place of an earlier one of its label.

    Args:
      title: of the file, if there is none.
    """
    rows: list[Record] = []
    if (folder / f"{name}.json").exists():
        title, rows = read(name, folder)
    return write(name, title, [own for own in rows if own.label != row.label] + [row], folder)


def read(name: str, folder: pathlib.Path = RESULTS) -> tuple[str, list[Record]]:
    """Read the title and the rows of <folder>/<name>.json.

    Raises:
      BadInput: there is none, or it is damaged.
    """
    path = folder / f"{name}.json"
    content = files.read_json(path, "title", "rows", advice=AGAIN)
    with files.reading(path, AGAIN):
        rows = [Record(**row) for row in content["rows"]]
        _require_unique(name, rows)
    return content["title"], rows


def _require_unique(name: str, rows: Sequence[Record]) -> None:
    labels = [row.label for row in rows]
    if twice := [label for label in labels if labels.count(label) > 1]:
        raise BadInput(f"{name}: two rows are labelled {twice[0]}")
