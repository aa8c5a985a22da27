"""Convert files of ratings that are larger than memory to a folder that trains from the disk.

  python -m experiments.convert --dataset=ratings.csv --output=FOLDER
  python -m experiments.convert --dataset=2024.parquet --dataset=2025.parquet --output=FOLDER
  python -m experiments.train --dataset=FOLDER

The folder appears when it is complete. After an interruption, the same command begins anew.
"""

import time
from collections.abc import Mapping
from typing import Any

from absl import flags

from aerec import memory
from aerec.cli import options
from aerec.data import convert


def define_flags() -> None:
    flags.DEFINE_multi_string("dataset", None, "a file of ratings, or its folder; may be repeated")
    flags.DEFINE_string("output", None, "the folder to write")
    flags.DEFINE_float("memory_mb", 1000.0, "memory for the sort; ids and lines come on top", 0.0)
    options.define_layout_flags("--dataset")


def main(given: Mapping[str, Any]) -> None:
    begun = time.perf_counter()
    paths, output = (options.required(given, name) for name in ("dataset", "output"))
    convert.convert(
        list(paths),
        output,
        memory_mb=given["memory_mb"],
        log=lambda text: print(options.dashed(text)),
        **options.layout(given),
    )
    seconds, peak = time.perf_counter() - begun, memory.peak_rss_mb()
    print(f"Converted in {seconds:.1f} s, with {peak:,.0f} MB of memory at most.")
    print(options.typed(f"Next: python -m experiments.train --dataset={output}"))
