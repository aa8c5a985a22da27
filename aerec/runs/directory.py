"""The run directory: its file names, its lock, atomic writes.

config.json     the identity of the run, written first; a directory belongs to one run
metrics.jsonl   a line per evaluation
losses.jsonl    a line per epoch: the loss of each step, a list per seed
checkpoints/    to resume from
model/          the best parameters, leaves [S, ...], one entry per replica
vocabulary.npz  raw ids and titles of the columns, raw ids of the training rows
test_rows.npz   figures per test row, for intervals and paired tests between runs
results.json    written last: a run that has it and its model is finished
run.lock        present while a process works on the run

Plots (`learning_curve.png`, `activity.png`) and `audit/` are made from a finished run. All files
but the two logs are written under a temporary name and renamed; a log loses at most its last line.
So after a kill at any moment, the run is finished or the same command resumes it.
"""

import contextlib
import json
import operator
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from aerec import files
from aerec.errors import BadInput
from aerec.evaluation.report import Report
from aerec.unix import fcntl

CONFIG, RESULTS, LOCK = "config.json", "results.json", "run.lock"
METRICS, LOSSES, CHECKPOINTS = "metrics.jsonl", "losses.jsonl", "checkpoints"
MODEL, VOCABULARY, TEST_ROWS = "model", "vocabulary.npz", "test_rows.npz"
LEARNING_CURVE, ACTIVITY, AUDIT = "learning_curve.png", "activity.png", "audit"

# Of all this. Format 1 had no number, and its data hash no ids and no shapes. Format 2 had a
# setting `devices`; with more than one, other numbers were drawn at random. Its order penalty took
# the last row of a batch, not the second one, as the other one of the first.
FORMAT = 3
KINDS = {  # of the entries of config.json
    "format": int, "model": str, "set": dict, "item_based": bool, "shape": list, "dataset": str,
    "protocol": dict, "data_hash": list, "settings": dict, "seeds": list,
}  # fmt: skip
AGAIN = "delete it, and train again with the command that made the run"


@contextlib.contextmanager
def claimed(workdir: pathlib.Path, config: Mapping[str, Any]) -> Iterator[None]:
    """Create the run directory, or check that it belongs to this run; lock it.

    A new run that is refused, or fails before it has produced anything, leaves no trace.

    Raises:
      BadInput: another process works on the directory, it holds another run (names the entries that
        differ), is no run directory, or is not writable.
    """
    with files.writing(workdir):
        missing = [part for part in (workdir, *workdir.parents) if not part.exists()]
        _require_run_or_empty(workdir)
        lock = _lock(workdir)
    fresh = False
    try:
        fresh = not (workdir / CONFIG).exists()
        with files.writing(workdir):
            if fresh:
                files.write_json(workdir / CONFIG, config)
            else:
                _require_same(workdir, config)
            _remove_leftovers(workdir)
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            _remove_leftovers(workdir)
        raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            if fresh and {part.name for part in workdir.iterdir()} <= {CONFIG, CHECKPOINTS, LOCK}:
                shutil.rmtree(workdir / CHECKPOINTS, ignore_errors=True)
                (workdir / CONFIG).unlink()
            (workdir / LOCK).unlink()
        for part in missing:
            with contextlib.suppress(OSError):  # there is something in it
                part.rmdir()
        os.close(lock)


def finished(workdir: pathlib.Path) -> bool:
    """Return whether a run is finished; checkpoints are not needed for that."""
    return (workdir / RESULTS).exists() and (workdir / MODEL).exists()


def require(workdir: pathlib.Path, *parts: str) -> None:
    """Raise BadInput if a part of a finished run is missing."""
    for part in parts:
        if not (workdir / part).exists():
            raise BadInput(f"{workdir} has no {part}: no finished run is there. Train it first.")


def read_config(workdir: pathlib.Path) -> dict[str, Any]:
    """Read config.json. Raises BadInput if it is damaged or of a later format.

    Format 2 with one device and no order penalty is the present format.
    """
    entries = ("model", "set", "shape", "seeds")
    advice = f"delete {workdir}, or name another"
    config = files.read_json(workdir / CONFIG, *entries, advice=advice, kinds=KINDS)
    with files.reading(workdir / CONFIG, advice):
        rows, columns = map(operator.index, config["shape"])
        if min(rows, columns, len(config["seeds"])) < 1:
            raise ValueError("it has no rows, no columns or no seeds")
    config = {"format": 1, **config}
    if config["format"] not in range(1, FORMAT + 1):
        raise BadInput(
            f"{workdir} has format {config['format']}, and this version reads 1 to {FORMAT}: "
            "install a later one"
        )
    settings = config.get("settings", {})
    changed = settings.get("devices", 1) > 1 or config.get("order_penalty")
    if config["format"] == 2 and not changed:
        config |= {"format": 3, "settings": {n: v for n, v in settings.items() if n != "devices"}}
    return config


def read_results(workdir: pathlib.Path) -> dict[str, Any]:
    """Read results.json; null figures become NaN."""
    kinds = {"test": dict, "seeds": list, "baselines": dict, "test_scored": int}
    results = files.read_json(workdir / RESULTS, "test", "seeds", advice=AGAIN, kinds=kinds)
    baselines = results.get("baselines", {})
    with files.reading(workdir / RESULTS, AGAIN):
        for figures in (results["test"], *results["seeds"], *baselines.values()):
            figures |= {name: np.nan for name, value in figures.items() if value is None}
    return results


def count_scoring(results: dict[str, Any]) -> int:
    """Add one to `test_scored`, how often test data were scored; before it was counted, once."""
    results["test_scored"] = results.get("test_scored", 1) + 1
    return results["test_scored"]


def read_rows(workdir: pathlib.Path) -> list[dict[str, np.ndarray]]:
    """Read the figures of each replica by test row, name -> [R]."""
    replicas: dict[int, dict[str, np.ndarray]] = {}
    with files.reading(workdir / TEST_ROWS, AGAIN):
        for key, values in files.read_arrays(workdir / TEST_ROWS, advice=AGAIN).items():
            replica, _, name = key.partition(":")
            replicas.setdefault(int(replica), {})[name] = values
    return [replicas[i] for i in sorted(replicas)]


def read_reports(workdir: pathlib.Path, results: Mapping[str, Any]) -> list[Report]:
    """Read the test report of each replica; none if nothing was held out."""
    reports, rows, seeds = [], read_rows(workdir), results["seeds"]
    with files.reading(workdir / TEST_ROWS, AGAIN):
        if len(rows) != len(seeds) and (rows or any(own.keys() - {"seed"} for own in seeds)):
            raise ValueError(f"it has {len(rows)} replicas, and {RESULTS} has {len(seeds)}")
    for own, per_row in zip(seeds, rows, strict=False):
        figures = {name: value for name, value in own.items() if name != "seed"}
        reports.append(Report(figures, per_row))
    return reports


def write_results(
    workdir: pathlib.Path,
    results: Mapping[str, Any],
    rows: Sequence[Mapping[str, np.ndarray]],
) -> None:
    """Write the figures by test row, then results.json, which marks the run as finished."""
    arrays = {f"{i}:{name}": values for i, own in enumerate(rows) for name, values in own.items()}
    files.write_arrays(workdir / TEST_ROWS, arrays)
    files.write_json(workdir / RESULTS, results)


class EpochLog:
    """Append lines of JSON by epoch; on resuming, drop lines from the first new epoch on.

    Args:
      path: the file; None keeps the lines in memory, as `lines`.
    """

    def __init__(self, path: pathlib.Path | None):
        self.path, self.opened = path, False
        self.lines: list[dict[str, Any]] = []
        if path is not None:
            read_log(path)

    def __call__(self, epoch: int, line: Mapping[str, Any]) -> None:
        """Append the line, unless it is empty."""
        if self.path is None:
            self.lines += [{"epoch": epoch, **line}] if line else []
            return
        if not self.opened:
            lines = [line for line in read_log(self.path) if line["epoch"] < epoch]
            write_log(self.path, lines)
            self.opened = True
        if line:
            with files.writing(self.path), self.path.open("a", encoding="utf-8") as file:
                file.write(files.to_json({"epoch": epoch, **line}) + "\n")


def write_log(path: pathlib.Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Write all lines of a log, atomically."""
    files.write_text(path, "".join(f"{files.to_json(line)}\n" for line in lines))


def read_log(path: pathlib.Path) -> list[dict[str, Any]]:
    """Read the complete lines of a log (a kill may cut the last one); null becomes NaN."""
    if not path.exists():
        return []
    with files.reading(path, "delete it; only pictures are drawn from it"):
        text = path.read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return [
            {"epoch": line["epoch"]} | {n: np.nan if v is None else v for n, v in line.items()}
            for line in lines
        ]


def _lock(workdir: pathlib.Path) -> int:
    """Create the directory and lock it; the kernel unlocks when the process ends or is killed.

    Returns:
      The descriptor of the lock file. Its holder may delete the file.

    Raises:
      BadInput: another process holds it.
    """
    path = workdir / LOCK
    left = 1000
    while True:
        try:
            workdir.mkdir(parents=True, exist_ok=True)
            lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        except FileNotFoundError:  # a run that was refused has just deleted the directory
            left -= 1
            if not left:  # there can be none, as in /proc
                raise
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), path.stat()):
                return lock
            os.close(lock)  # deleted and made again in between
        except FileNotFoundError:  # deleted in between
            os.close(lock)
        except OSError as error:
            os.close(lock)
            if isinstance(error, BlockingIOError):
                raise BadInput(f"another process is at work on {workdir}; wait for it") from None
            raise


def _require_run_or_empty(workdir: pathlib.Path) -> None:
    names = {part.name for part in workdir.iterdir()} if workdir.exists() else set()
    strange = names - {CONFIG, CONFIG + files.TEMPORARY, LOCK}
    # Checked after the listing, because a new run writes it first.
    if strange and not (workdir / CONFIG).exists():
        raise BadInput(f"{workdir} exists and is not a run; name another workdir")


def _require_same(workdir: pathlib.Path, config: Mapping[str, Any]) -> None:
    found, given = read_config(workdir), json.loads(files.to_json(config))
    if found["format"] != FORMAT:
        raise BadInput(
            f"{workdir} holds a run of an earlier version (format {found['format']}): if finished, "
            "it can be evaluated, audited and asked for recommendations, but not trained. Name "
            "another workdir, or delete this one."
        )
    there, here = _flat(found), _flat(given)
    names = [n for n in {**there, **here} if not n.startswith("source.")]
    differ = [
        f"{name} {there.get(name, 'unset')} there, {here.get(name, 'unset')} now"
        for name in names
        if there.get(name) != here.get(name)
    ]
    if differ:
        raise BadInput(
            f"{workdir} holds another run: {'; '.join(differ)}. Name another workdir, or delete "
            "this one."
        )


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten {"settings": {"epochs": 3}} to {"settings.epochs": 3}."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _remove_leftovers(workdir: pathlib.Path) -> None:
    """Delete the temporary files of a process that failed or was killed."""
    for name in (CONFIG, METRICS, LOSSES, MODEL, VOCABULARY, TEST_ROWS, RESULTS):
        for part in workdir.glob(f"{name}{files.TEMPORARY}*"):
            shutil.rmtree(part) if part.is_dir() else part.unlink()
