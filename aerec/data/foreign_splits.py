"""Ready-made splits of RecBole and LightGCN, which hold out clicks of known users."""

import re
from itertools import islice
from pathlib import Path

import numpy as np

from aerec.data import foreign, readers, texts
from aerec.errors import BadInput

_STEMS = (("train",), ("valid", "val"), ("test",))
_LINE = re.compile(r"\d{1,18}(\s+\d{1,18})*\s*", re.ASCII)


def find(folder: Path) -> list[Path]:
    """Find the files of such a split: training, validation if there is one, and test.

    RecBole's are `*.train.inter`, `*.valid.inter` and `*.test.inter`. LightGCN's are `train.txt`
    and `test.txt`, where each line is a user and then its items; `valid.txt` may be with them.

    Returns:
      [] if the folder holds no such split.

    Raises:
      BadInput: there is no training or no test file, or several of one name.
    """
    for pattern in ("*.{}.inter", "{}.txt"):
        found = [
            [path for stem in stems for path in sorted(folder.glob(pattern.format(stem)))]
            for stems in _STEMS
        ]
        if not any(path.suffix == ".inter" or _is_lists(path) for own in found for path in own):
            continue
        for stems, paths in zip(_STEMS, found, strict=True):
            if len(paths) > 1:
                several = " and ".join(path.name for path in paths)
                raise BadInput(f"{folder}: {several}: keep only one of them.")
            if not paths and "valid" not in stems:
                raise BadInput(f"{folder}: no {pattern.format(stems[0])} beside the other files.")
        return [path for paths in found for path in paths]
    return []


def read(path: Path) -> dict[str, np.ndarray]:
    """Read the clicks of a file of such a split: `user` and `item`, each [R], ids.

    Raises:
      BadInput: a line is malformed.
    """
    if path.suffix == ".inter":
        named = {"user_id:token": "user", "item_id:token": "item"}
        found = readers.read_columns(path, dict.fromkeys(named, "id"))
        return {named[column]: ids for column, ids in found.items()}
    users: list[int] = []
    items: list[int] = []
    for number, line in enumerate(texts.lines(path), 1):
        if not line.strip():
            continue
        if not _LINE.fullmatch(line):
            raise BadInput(f"{path}, line {number}: not a user and its items, as whole numbers.")
        user, *own = map(int, line.split())
        users += [user] * len(own)
        items += own
    return {"user": np.array(users, np.int64), "item": np.array(items, np.int64)}


def _is_lists(path: Path) -> bool:
    return foreign.is_lists(list(islice(texts.lines(path), 50)))
