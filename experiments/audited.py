"""Audits of the runs of a study: each in a process of its own, its figures as records.

A row has the figures of the codes, `<label>.<baseline>` those of a baseline on the same triples.
Names: `m` and `triples`; `auc` and `precision@10` with `_low` and `_high`; `flat`; the geometry's
`reachable`, `unreachable` (proven), `reached` (by the users), `ceiling@10`, `faultless` (users
without a mistake), `capacity` and `capacity_all` (log2 of the orders); `error_<first>_<last>`,
1 - AUC for histories of these lengths, and `theory_...`, that of a random projection by theorem T6.
"""

import dataclasses
import os
import pathlib
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from aerec import files
from aerec.errors import BadInput
from aerec.runs import directory
from experiments.records import Record

GEOMETRY = {
    "reachable": "reachable",
    "unreachable": "unreachable, proven",
    "faultless": "users without a mistake",
    "reached": "reachable by the users",
    "ceiling@10": "ceiling at 10",
    "ceiling@10_low": "ceiling, low",
    "ceiling@10_high": "ceiling, high",
    "capacity": "log2 of orders expressed",
    "capacity_all": "log2 of all orders",
}


def audit(run: Record, workdir: pathlib.Path, flags: Sequence[str]) -> list[Record]:
    """Audit a finished run, and make the records of the audit.

    Args:
      run: the record of the run.
      workdir: its directory, where the report is written.
      flags: of `experiments.audit`.

    Raises:
      BadInput: the audit failed (its message, its log).
    """
    log = workdir.with_name(f"{workdir.name}.audit.log")
    begun = time.perf_counter()
    with log.open("w", encoding="utf-8") as file:
        command = [sys.executable, "-m", "experiments.audit", f"--workdir={workdir}", *flags]
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1]
        raise BadInput(f"{last.removeprefix('error: ')} (all of it: {log})")
    seconds = time.perf_counter() - begun
    path = workdir / directory.AUDIT / "audit.json"
    found = files.read_json(path, "comparison", "geometry", advice="audit the run again")
    row = dataclasses.replace(
        run,
        command=shlex.join(["python", "-m", "experiments.audit", "--workdir=RUN", *flags])
        + f" after {run.command} --workdir=RUN",
        seconds=seconds,
        peak_rss_mb=usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
    )
    return rows(row, found)


def rows(run: Record, found: Mapping[str, Any]) -> list[Record]:
    """Make the records of an audit: of the codes, then of each baseline.

    Args:
      run: the record of the run, with the command, the seconds and the memory of the audit.
      found: the content of audit.json.
    """
    compared, geometry = found["comparison"], found["geometry"]
    row = dataclasses.replace(run, errors={}, published={}, versions=dict(found["versions"]))
    own, *others = compared["scored"]
    kept = {name: geometry[key] for name, key in GEOMETRY.items() if geometry.get(key) is not None}
    whole = {"m": found["m"], "triples": found["triples"], **kept}
    made = [dataclasses.replace(row, figures={**_scored(own, compared["lengths"]), **whole})]
    for other in others:
        figures = _scored(other, compared["lengths"])
        if other["name"] != "popularity":  # which has no dimension
            figures |= {"m": found["m"]}
        if other["name"] == "random projection" and compared["expected"]:
            figures |= _by_length("theory", compared["expected"], compared["lengths"])
        label = f"{run.label}.{re.sub(r'[^a-z]+', '_', other['name'].lower())}"
        made.append(dataclasses.replace(row, label=label, figures=figures))
    return made


def _scored(scored: Mapping[str, Any], lengths: Sequence[Sequence[int]]) -> dict[str, float]:
    figures = {"auc": scored["auc"], "precision@10": scored["precision"], "flat": scored["flat"]}
    for name, key in (("auc", "auc_interval"), ("precision@10", "precision_interval")):
        figures |= dict(zip((f"{name}_low", f"{name}_high"), scored[key], strict=True))
    return figures | _by_length("error", scored["by_length"], lengths)


def _by_length(name: str, values: Sequence[float], lengths: Sequence[Sequence[int]]):
    return {
        f"{name}_{first}_{last}": value
        for (first, last, _), value in zip(lengths, values, strict=True)
        if value is not None
    }
