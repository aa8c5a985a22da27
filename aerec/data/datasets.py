"""Datasets by name: embedded, synthetic, read from a local folder, or downloaded once and cached.

load("movielens-small")                        # part of the package, needs no network
load("synthetic:users=2000,items=800,seed=1")  # parameters of `synthetic.world`
load("ml-1m", data_dir="/data")                # /data/ml-1m/ratings.dat or /data/ratings.dat
load("ml-20m")                                 # downloaded to ~/.cache/aerec
load("/data/mine")                             # a folder that `convert.convert` wrote
"""

import inspect
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from aerec import files
from aerec.data import columns, download, formats, mapped, readers, synthetic
from aerec.data.ratings import Ratings, assemble
from aerec.data.summary import summary
from aerec.data.synthetic import Truth, synthesize
from aerec.errors import BadInput, nearest

__all__ = ["DATASETS", "MIRRORS", "BadInput", "Dataset", "Truth", "load", "synthesize"]

# Tried in order. The plain http mirror is used only for archives with a known checksum.
MIRRORS = (
    "https://files.grouplens.org/datasets/movielens/",
    "http://files.grouplens.org/datasets/movielens/",
)


@dataclass(frozen=True)
class Dataset:
    """One named dataset: the format of its files, and where to download them."""

    about: str
    format: str | None = None  # in `formats.FORMATS`; None: no file is read
    ratings: int | None = None  # as published; a file with another count is loaded with a note
    archive: str | None = None  # file name under the mirrors
    checksum: str | None = None  # of the archive; None where it changes
    folder: str | None = None  # the folder in the archive, if not named as the dataset


# MD5: the .md5 files that GroupLens publishes. SHA-256: the checksum list of TensorFlow Datasets.
DATASETS: dict[str, Dataset] = {
    "movielens-small": Dataset("MovieLens latest-small of 2016: 100,004 ratings, in the package"),
    "synthetic": Dataset(
        "low rank, Zipf items, log-normal users, drift; the best reachable scores are known"
    ),
    "ml-100k": Dataset(
        "MovieLens 100K: 943 users, 1,682 films", "ml-100k", 100_000, "ml-100k.zip",
        "sha256:50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229"),
    "ml-1m": Dataset(
        "MovieLens 1M: 6,040 users, 3,706 films", "ml-1m", 1_000_209, "ml-1m.zip",
        "sha256:a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20"),
    "ml-10m": Dataset(
        "MovieLens 10M: 69,878 users, half stars", "ml-10m", 10_000_054, "ml-10m.zip",
        "md5:ce571fd55effeba0271552578f2648bd", "ml-10M100K"),
    "ml-20m": Dataset(
        "MovieLens 20M: 138,493 users, 26,744 films", "movielens-csv", 20_000_263, "ml-20m.zip",
        "sha256:96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3"),
    "ml-25m": Dataset(
        "MovieLens 25M: 162,541 users", "movielens-csv", 25_000_095, "ml-25m.zip",
        "sha256:8b21cfb7eb1706b4ec0aac894368d90acf26ebdfb6aced3ebd4ad5bd1eb9c6aa"),
    "ml-32m": Dataset(
        "MovieLens 32M: 200,948 users", "movielens-csv", 32_000_204, "ml-32m.zip",
        "md5:d472be332d4daa821edc399621853b57"),
    "ml-latest-small": Dataset(  # its publisher updates it: no fixed checksum
        "MovieLens latest-small, as published today", "movielens-csv", None, "ml-latest-small.zip"),
    "netflix": Dataset(
        "Netflix Prize: 480,189 users, 17,770 films; no download, files of your own", "netflix",
        100_480_507),
    "anime": Dataset("MyAnimeList, ratings from 1 to 10; no download, files of your own", "anime"),
    "steam": Dataset("Steam, games that players bought; no download, files of your own", "steam"),
    "lastfm": Dataset(
        "Last.fm of HetRec 2011: 1,892 listeners, 17,632 artists, play counts; no download, files "
        "of your own", "lastfm", 92_834),
}  # fmt: skip


def load(
    name: str,
    *,
    data_dir: str | Path | None = None,
    on_bad_line: str = "error",
    table: str = "auto",
    log: Callable[[str], object] = print,
) -> Any:
    """Load the ratings of a named dataset, or open a converted folder.

    Args:
      name: a key of `DATASETS`; `synthetic` takes parameters after a colon. Or the path of a folder
        that `convert.convert` wrote.
      data_dir: the folder that holds the dataset's files, or its parent. Default: the environment
        variable AEREC_DATA. If either is given, nothing is downloaded. Otherwise archives are
        cached in `~/.cache/aerec`.
      on_bad_line: "error" or "skip", as in `readers.read`.
      table: for a folder: "memory", "mapped" to leave the ratings on disk, or "auto", which
        reads them if they fit in memory.
      log: called with a summary of the ratings, and with notes.

    Returns:
      `Ratings`; for a folder that stays on disk `mapped.Mapped`, which the protocol strong takes.

    Raises:
      BadInput: an unknown name or parameter, files that are missing or malformed (see
        `readers.read`), or a failed download.
    """
    base, _, parameters = str(name).partition(":")
    if base not in DATASETS and name and mapped.is_folder(files.located(str(name))):
        return mapped.load(name, table, log)
    if base not in DATASETS:
        raise BadInput(f"No dataset is called {base!r}. {nearest(base, DATASETS)}")
    entry = DATASETS[base]
    if base == "synthetic":
        ratings, truth = synthesize(**_parameters(parameters))
        best = f"NDCG@100 {truth.best_ndcg:.4f} ± {truth.best_ndcg_se:.4f}"
        if truth.bayes_rmse is not None:
            best = f"RMSE {truth.bayes_rmse:.4f}, {best}"
        log(
            f"{name}: the best possible scores are {best} (with `protocol="
            "per_user_holdout:threshold=all,min_user=1`; other protocols have other limits)."
        )
        ratings = ratings._replace(name=name)
        log(summary(ratings))
        return ratings
    if parameters:
        raise BadInput(f"Only synthetic takes parameters; write {base!r} alone.")
    if entry.format is None:
        ratings = _movielens_small()
        log(summary(ratings))
        return ratings
    given = data_dir or os.environ.get("AEREC_DATA")
    folder = _local(base, entry, files.located(given)) if given else _cached(base, entry, log)
    ratings = readers.read(folder, entry.format, on_bad_line=on_bad_line, log=log)
    if entry.ratings and len(ratings.value) != entry.ratings:
        log(
            f"{folder}: {len(ratings.value):,} ratings, but {base} as published has "
            f"{entry.ratings:,}. Is this another dataset, or a part of it?"
        )
    return ratings._replace(name=base)


def _movielens_small() -> Ratings:
    """Read the embedded dataset (Harper & Konstan 2015); NOTICE.md in its folder has the terms."""
    source = resources.files("aerec.data") / "embedded" / "movielens_small.npz"
    with source.open("rb") as file, np.load(file) as arrays:
        return assemble(
            user=columns.compact(arrays["user"].astype(np.int64)),
            item=(arrays["item"].astype(np.int32), arrays["movie"].astype(np.int64)),
            value=arrays["rating"].astype(np.float32) / 2,  # stored in half stars
            time=arrays["time"].astype(np.int64),
            titles=(arrays["title"], arrays["genres"]),
            scale=(0.5, 5.0),
            name="movielens-small",
            source="movielens-small",
        )


def _parameters(text: str) -> dict[str, int | float]:
    """Parse `users=1000,noise=.5` by the signature of `synthetic.world`."""
    known = inspect.signature(synthetic.world).parameters
    given: dict[str, int | float] = {}
    for pair in filter(None, text.split(",")):
        key, _, value = (part.strip() for part in pair.partition("="))
        if key not in known:
            raise BadInput(f"synthetic has no parameter {key!r}. {nearest(key, known)}")
        kind = type(known[key].default)
        try:
            given[key] = kind(value)
            if not math.isfinite(given[key]):
                raise ValueError
        except (ValueError, OverflowError):
            takes = "a whole number" if kind is int else "a number"
            raise BadInput(f"synthetic: {key} takes {takes}, not {value!r}.") from None
    return given


def _has_files(folder: Path, entry: Dataset) -> bool:
    patterns = formats.FORMATS[str(entry.format)].files
    return folder.is_dir() and any(next(folder.glob(each), None) for each in patterns)


def _local(name: str, entry: Dataset, data_dir: Path) -> Path:
    """Find the folder of the dataset's files: `data_dir` or a folder in it."""
    places = [data_dir / name, data_dir / (entry.folder or name), data_dir]
    for place in places:
        if _has_files(place, entry):
            return place
    files = " or ".join(formats.FORMATS[str(entry.format)].files)
    get = f", unpacked from {MIRRORS[0]}{entry.archive}" if entry.archive else ""
    keep = "; or leave `data_dir` and AEREC_DATA unset to download it" if entry.archive else ""
    raise BadInput(f"No {name} in {data_dir}: place {files} in {places[0]}{get}{keep}.")


def _cached(name: str, entry: Dataset, log: Callable[[str], object]) -> Path:
    """Return the dataset's folder in the cache; download and unpack it if it is missing."""
    cache = Path("~/.cache/aerec").expanduser()
    folder, files = cache / name, " or ".join(formats.FORMATS[str(entry.format)].files)
    if _has_files(folder, entry):
        return folder
    if entry.archive is None:
        raise BadInput(
            f"{name} cannot be downloaded: place {files} in {folder} or give `data_dir`."
        )
    archive = cache / entry.archive
    if not archive.exists():
        safe = [base for base in MIRRORS if entry.checksum or base.startswith("https")]
        urls = [base + entry.archive for base in safe]
        download.fetch(urls, archive, checksum=entry.checksum, log=log)
    elif not download.matches(archive, entry.checksum):  # placed by hand
        raise BadInput(f"{archive}: not the archive as published ({entry.checksum}). Remove it.")
    download.unzip(archive, folder)
    if not _has_files(folder, entry):
        raise BadInput(f"{archive}: unpacked to {folder}, but there is no {files} in it.")
    return folder
