"""All benchmarks of a machine, each in a process of its own, kept as they finish.

  python -m experiments.suite --data_dir=DIR --output=runs/suite --record
  python -m experiments.suite --suite=gpu --seconds=480 --data_dir=DIR --output=runs/suite_gpu

A row is a command `python -m experiments.benchmark ...`, listed in `SUITES`, and its figures are
those that the command describes. The suites are `cpu`; `ml20m`, an epoch and the scoring of 10,000
users at the shape of MovieLens-20M against PyTorch; `gpu`, whose first rows matter most; and
`small`, the rows of `gpu` on little synthetic data, with a mesh of two devices besides. The slowest
call is then profiled, with its trace in --output. After --seconds no row begins, and one that runs
is stopped. A finished row is a file in --output; the same command resumes. A row whose data or peer
are not at hand is left out, with the reason.
"""

import functools
import json
import os
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from absl import flags

from aerec import files
from aerec.cli import command, show
from aerec.errors import BadInput, nearest
from experiments import cells, phases, records
from experiments.records import Record


class Bench(NamedTuple):
    """One row: flags of `experiments.benchmark`, and variables of its environment."""

    flags: tuple[str, ...]
    environment: Mapping[str, str] = {}


ML20M = ("--dataset=synthetic:users=136677,items=20108,ratings=10000000,implicit=1",
         "--protocol=strong:threshold=all,min_user=1,valid_users=500,test_users=10000")  # fmt: skip
LITTLE = "--dataset=synthetic:users=300,items=120,ratings=9000"
CLICKS = (f"{LITTLE},implicit=1", "--protocol=strong:threshold=all,valid_users=50,test_users=50")
PAPER = ("--model=multvae", "--set=hidden=600", "--set=latent=200", "--batch_size=500")
PRECISION = "JAX_DEFAULT_MATMUL_PRECISION"


def accelerator(
    wide: tuple[str, ...], clicks: tuple[str, ...] = (), ratings: tuple[str, ...] = ()
) -> dict[str, Bench]:
    """List the rows of an accelerator, those that matter most first.

    Args:
      wide: flags of the data of many columns; clicks, ratings: of others, instead of a recipe's.
    """
    ordered = tuple(flag.replace("strong:", "strong_by_time:") for flag in clicks)
    whole = clicks or ("--dataset=ml-1m", "--protocol=strong")
    epoch = Bench((*PAPER, *wide))
    return {
        "ml20m": epoch,
        "ml20m_tf32": epoch._replace(environment={PRECISION: "tensorfloat32"}),
        "ml20m_bfloat16": epoch._replace(environment={PRECISION: "bfloat16"}),
        "audit": Bench(("--what=audit", "--config=multvae_ml1m", *clicks)),
        "deeprec": Bench(("--config=deeprec_ml1m", "--set=refeeds=1", *ratings)),
        "svae": Bench(("--config=svae_ml1m", *ordered)),
        "ease": Bench(("--what=solve", "--config=ease_ml1m", *clicks)),
        "ials": Bench(("--what=solve", "--config=ials_ml1m", *clicks)),
        "recommend": Bench(("--what=recommend", "--model=multvae", *whole)),
        "ml20m_evaluate": Bench(("--what=evaluate", *PAPER[:-1], *wide)),
        "ml20m_torch": Bench((*epoch.flags, "--against=torch")),
    }


AT_ML20M = {
    "ml20m": Bench((*PAPER, *ML20M, "--against=torch", "--repeats=1")),
    "ml20m_evaluate": Bench(("--what=evaluate", *PAPER[:-1], *ML20M, "--against=torch")),
}
SUITES: dict[str, dict[str, Bench]] = {
    "cpu": {
        "multvae": Bench(("--config=multvae_ml1m", "--against=torch")),
        "autorec": Bench(("--config=autorec_ml1m", "--against=torch")),
        "deeprec": Bench(("--config=deeprec_ml1m",)),
        "multdae": Bench(("--config=multdae_ml1m",)),
        "cdae": Bench(("--config=cdae_ml1m",)),
        "ease_inverse": Bench(("--what=ease", "--dataset=ml-1m")),
        "ease": Bench(("--what=solve", "--config=ease_ml1m")),
        "ials": Bench(("--what=solve", "--config=ials_ml1m")),
        "ials_irspack": Bench(
            ("--what=solve", "--config=ials_ml1m", "--set=sweeps=16", "--against=irspack")
        ),
        "itemknn": Bench(("--what=solve", "--config=itemknn_ml1m")),
        "evaluate": Bench(("--what=evaluate", "--config=multvae_ml1m")),
        "recommend": Bench(
            ("--what=recommend", "--model=multvae", "--dataset=ml-1m", "--protocol=strong")
        ),
        "audit": Bench(("--what=audit", "--config=multvae_ml1m")),
        **AT_ML20M,
        "read_csv": Bench(("--what=read", "--file=csv")),
        "read_parquet": Bench(("--what=read", "--file=parquet")),
    },
    "ml20m": AT_ML20M,
    "gpu": accelerator(ML20M),
    "small": {
        **accelerator(CLICKS, CLICKS, (LITTLE,)),
        "mesh": Bench((*PAPER, *CLICKS, "--mesh=data:2"), {"JAX_NUM_CPU_DEVICES": "2"}),
    },
}


def main(given: Mapping[str, Any]) -> None:
    """Measure the rows of a suite, show each as it is done, and keep them if asked to."""
    if given["suite"] not in SUITES:
        raise BadInput(f"--suite={given['suite']!r}: {nearest(given['suite'], SUITES)}")
    begun, suite, output = time.monotonic(), SUITES[given["suite"]], pathlib.Path(given["output"])
    with files.writing(output):
        output.mkdir(parents=True, exist_ok=True)
    rows: list[Record] = []
    left_out: list[BadInput] = []

    def add(label: str, bench: Bench) -> None:
        left = given["seconds"] - (time.monotonic() - begun) if given["seconds"] else None
        try:
            own = cells.measure(
                {label: functools.partial(run, bench, given["data_dir"], left)}, output
            )
        except BadInput as error:
            left_out.append(error)
            show.CONSOLE.print(f"{label} is left out: {error}", markup=False, soft_wrap=True)
            return
        figures = own[0]["figures"]
        rows.append(Record(label=label, figures=figures, command=line(bench), **own[0]["made"]))
        shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        show.CONSOLE.print(f"{label}: {shown}", markup=False, soft_wrap=True)

    for label, bench in suite.items():
        add(label, bench)
    if own := slowest(suite, rows):
        add(f"{own}_profile", profiled(suite[own], output / "profile"))
    if not rows:
        raise BadInput(f"No row was measured. {left_out[0]}")
    if given["record"]:
        place = records.write(f"suite_{given['suite']}", f"Speed, suite {given['suite']}", rows)
        show.CONSOLE.print(f"Kept in {place}.", markup=False)


def slowest(suite: Mapping[str, Bench], rows: Sequence[Record]) -> str | None:
    """Return the label of the row whose own call took longest, of those that can be profiled."""
    seconds = {
        row.label: row.figures.get("aerec_seconds", row.figures.get("seconds", 0.0))
        for row in rows
        if what(suite[row.label]) in ("epoch", "solve", "evaluate", "audit")
    }
    return max(seconds, key=seconds.__getitem__, default=None)


def what(bench: Bench) -> str:
    """Return the kind of a benchmark."""
    given = [flag.partition("=")[2] for flag in bench.flags if flag.startswith("--what=")]
    return given[0] if given else "epoch"


def profiled(bench: Bench, folder: pathlib.Path) -> Bench:
    """Return a benchmark without its peer that writes a trace to a folder."""
    alone = tuple(flag for flag in bench.flags if not flag.startswith(("--against=", "--repeats=")))
    once = ("--repeats=1",) if what(bench) == "epoch" else ()
    return bench._replace(flags=(*alone, *once, f"--profile={folder}"))


def run(bench: Bench, data_dir: str | None, left: float | None) -> cells.Content:
    """Run a benchmark in a process of its own, for at most `left` seconds; None: as long as needed.

    Raises:
      BadInput: the time is up, or the process failed.
    """
    begun = time.perf_counter()
    if left is not None and left <= 0:
        raise BadInput("the time is up")
    argv = [sys.executable, "-m", "experiments.benchmark", *bench.flags, "--json"]
    if data_dir is not None and what(bench) != "read":
        argv.append(f"--data_dir={data_dir}")
    try:
        done = subprocess.run(
            argv, env={**os.environ, **bench.environment}, capture_output=True, text=True,
            timeout=left, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BadInput("the time is up") from None
    lines = [own for own in done.stdout.splitlines() if own.startswith("{")]
    if done.returncode or not lines:
        said = [own for own in done.stderr.splitlines() if own.strip()] or ["it said nothing"]
        raise BadInput(said[-1].removeprefix("error: "))
    made = cells.made(begun)
    for peer in (own.partition("=")[2] for own in bench.flags if own.startswith("--against=")):
        made["versions"] |= phases.version(peer)
    return {"figures": json.loads(lines[-1]), "made": made}


def line(bench: Bench) -> str:
    """Return the command of a row, whose folders are DIR."""
    variables = "".join(f"{name}={value} " for name, value in bench.environment.items())
    data = " --data_dir=DIR" if what(bench) != "read" else ""
    given = re.sub(r"(--profile)=\S+", r"\1=DIR", " ".join(bench.flags))
    return f"{variables}python -m experiments.benchmark {given}{data}"


if __name__ == "__main__":
    flags.DEFINE_string("suite", "cpu", f"{', '.join(SUITES)}")
    flags.DEFINE_string("data_dir", None, "where the datasets' files are (default $AEREC_DATA)")
    flags.DEFINE_string("output", os.path.join("runs", "suite"), "a folder for the rows")
    flags.DEFINE_float(
        "seconds", 0, "after which no row begins and one that runs is stopped; 0: never", 0
    )
    flags.DEFINE_bool("record", False, "keep the rows in experiments/results/suite_<suite>.json")
    command.run(main, __doc__)
