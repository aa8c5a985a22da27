"""Seconds and memory of `aerec.read`: synthetic ratings in files of each kind."""

import gzip
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
import polars as pl

from aerec.cli import show
from aerec.errors import BadInput, nearest

FILES = {"csv": "csv", "colons": "dat", "parquet": "parquet", "jsonl": "jsonl", "csv_gz": "csv.gz"}
OPTIONS = {"colons": ", user=0, item=1, rating=2, time=3, header=False"}


def read(kind: str, ratings: int) -> dict[str, float]:
    """Write a file of random ratings, read it in a process of its own, and measure that.

    Args:
      kind: of the file, a name in `FILES`.
      ratings: lines.
    """
    if kind not in FILES:
        raise BadInput(f"No file is called {kind!r}. {nearest(kind, FILES)}")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"ratings.{FILES[kind]}"
        _write(path, kind, ratings)
        program = f"import aerec; print(len(aerec.read({str(path)!r}{OPTIONS.get(kind, '')}).user))"
        begun = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds, size = time.perf_counter() - begun, path.stat().st_size
    if status:
        raise BadInput(f"{path.name} was not read; its process failed")
    megabytes = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    show.CONSOLE.print(f"{kind}, {size / 1e6:.0f} MB: {seconds:.1f} s, {megabytes:.0f} MB at most")
    return {"read_seconds": seconds, "read_mb": megabytes, "file_mb": size / 1e6}


def _write(path: pathlib.Path, kind: str, ratings: int) -> None:
    """Write random ratings of the users and items of MovieLens-20M."""
    draw = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "user": draw.integers(1, 138_000, ratings, dtype=np.int32),
            "item": draw.integers(1, 27_000, ratings, dtype=np.int32),
            "rating": draw.integers(1, 11, ratings).astype(np.float32) / 2,
            "time": draw.integers(800_000_000, 1_500_000_000, ratings),
        }
    )
    if kind == "parquet":
        frame.write_parquet(path)
    elif kind == "jsonl":
        frame.write_ndjson(path)
    elif kind == "csv":
        frame.write_csv(path)
    elif kind == "colons":
        lines = frame.select(pl.concat_str(pl.all(), separator="::"))
        lines.write_csv(path, include_header=False)
    else:
        plain = path.with_suffix("")
        frame.write_csv(plain)
        with plain.open("rb") as source, gzip.open(path, "wb", compresslevel=1) as target:
            shutil.copyfileobj(source, target)
