"""All benchmarks of a machine, each in a process of its own, kept as they finish.

  python -m experiments.suite --data_dir=DIR --output=runs/suite --record
  python -m experiments.suite --suite=gpu --seconds=480 --data_dir=DIR --output=runs/suite_gpu

A row is a command `python -m experiments.benchmark ...`, listed in `SUITES`, and its figures are
those that the command describes. The suites are `cpu`; `ml20m`, an epoch and the scoring of 10,000
users at the shape of MovieLens-20M beside PyTorch; `gpu`, whose first rows matter most; and
`small`, some kinds of rows in little. After --seconds no row begins, and one that runs is stopped.
A finished row is a file in --output; the same command resumes. A row whose data or peer are not at
hand is left out, with the reason.
"""

import functools
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping
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
SMALL = ("--dataset=synthetic:users=300,items=120,ratings=9000,implicit=1",
         "--protocol=strong:threshold=all,valid_users=50,test_users=50")  # fmt: skip
PAPER = ("--model=multvae", "--set=hidden=600", "--set=latent=200")
WHOLE = ("--dataset=ml-1m", "--protocol=strong")
AT_ML20M = {
    "ml20m": Bench((*PAPER, *ML20M, "--batch_size=500", "--against=torch", "--repeats=1")),
    "ml20m_evaluate": Bench(("--what=evaluate", *PAPER, *ML20M, "--against=torch")),
}
PRECISION = "JAX_DEFAULT_MATMUL_PRECISION"

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
        "recommend": Bench(("--what=recommend", "--model=multvae", *WHOLE)),
        "audit": Bench(("--what=audit", "--config=multvae_ml1m")),
        **AT_ML20M,
        "read_csv": Bench(("--what=read", "--file=csv")),
        "read_parquet": Bench(("--what=read", "--file=parquet")),
    },
    "ml20m": AT_ML20M,
    "gpu": {
        "ml20m": Bench((*PAPER, *ML20M, "--batch_size=500")),
        "ml20m_tf32": Bench((*PAPER, *ML20M, "--batch_size=500"), {PRECISION: "tensorfloat32"}),
        "ml20m_bfloat16": Bench((*PAPER, *ML20M, "--batch_size=500"), {PRECISION: "bfloat16"}),
        "audit": Bench(("--what=audit", "--config=multvae_ml1m")),
        "deeprec": Bench(("--config=deeprec_ml1m", "--set=refeeds=1")),
        "svae": Bench(("--config=svae_ml1m",)),
        "ease": Bench(("--what=solve", "--config=ease_ml1m")),
        "ials": Bench(("--what=solve", "--config=ials_ml1m")),
        "recommend": Bench(("--what=recommend", "--model=multvae", *WHOLE)),
        "ml20m_evaluate": Bench(("--what=evaluate", *PAPER, *ML20M)),
        "ml20m_torch": Bench((*PAPER, *ML20M, "--batch_size=500", "--against=torch")),
    },
    "small": {
        "epoch": Bench(("--model=multvae", *SMALL, "--set=hidden=16", "--batch_size=50")),
        "solve": Bench(("--what=solve", "--model=ease", *SMALL)),
        "evaluate": Bench(("--what=evaluate", "--model=multvae", *SMALL)),
        "recommend": Bench(("--what=recommend", "--model=ease", *SMALL)),
        "audit": Bench(("--what=audit", "--model=ease", *SMALL)),
    },
}  # fmt: skip


def main(given: Mapping[str, Any]) -> None:
    """Measure the rows of a suite, show them, and keep them if asked to."""
    if given["suite"] not in SUITES:
        raise BadInput(f"--suite={given['suite']!r}: {nearest(given['suite'], SUITES)}")
    begun, suite, output = time.monotonic(), SUITES[given["suite"]], pathlib.Path(given["output"])
    with files.writing(output):
        output.mkdir(parents=True, exist_ok=True)
    rows, left_out = [], {}
    for label, bench in suite.items():
        left = given["seconds"] - (time.monotonic() - begun) if given["seconds"] else None
        try:
            own = cells.measure(
                {label: functools.partial(run, bench, given["data_dir"], left)}, output
            )
        except BadInput as error:
            left_out[label] = str(error)
            continue
        rows.append(
            Record(label=label, figures=own[0]["figures"], command=line(bench), **own[0]["made"])
        )
    if not rows:
        raise BadInput(f"No row was measured. {next(iter(left_out.values()))}")
    title = f"Speed, suite {given['suite']}"
    for row in rows:
        shown = ", ".join(f"{name} {value:.4g}" for name, value in row.figures.items())
        show.CONSOLE.print(f"{row.label}: {shown}", markup=False, soft_wrap=True)
    for label, why in left_out.items():
        show.CONSOLE.print(f"{label} is left out: {why}", markup=False, soft_wrap=True)
    name = f"suite_{given['suite']}"
    if given["record"]:
        show.CONSOLE.print(f"Kept in {records.write(name, title, rows)}.", markup=False)


def run(bench: Bench, data_dir: str | None, left: float | None) -> cells.Content:
    """Run a benchmark in a process of its own, for at most `left` seconds; None: as long as needed.

    Raises:
      BadInput: the time is up, or the process failed.
    """
    begun = time.perf_counter()
    if left is not None and left <= 0:
        raise BadInput("the time is up")
    argv = [sys.executable, "-m", "experiments.benchmark", *bench.flags, "--json"]
    if data_dir is not None and "--what=read" not in bench.flags:
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
    """Return the command of a row."""
    variables = "".join(f"{name}={value} " for name, value in bench.environment.items())
    data = " --data_dir=DIR" if "--what=read" not in bench.flags else ""
    return f"{variables}python -m experiments.benchmark {' '.join(bench.flags)}{data}"


if __name__ == "__main__":
    flags.DEFINE_string("suite", "cpu", f"{', '.join(SUITES)}")
    flags.DEFINE_string("data_dir", None, "where the datasets' files are (default $AEREC_DATA)")
    flags.DEFINE_string("output", os.path.join("runs", "suite"), "a folder for the rows")
    flags.DEFINE_float(
        "seconds", 0, "after which no row begins and one that runs is stopped; 0: never", 0
    )
    flags.DEFINE_bool("record", False, "keep the rows in experiments/results/suite_<suite>.json")
    command.run(main, __doc__)
