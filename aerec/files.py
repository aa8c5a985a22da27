"""Files that nobody meets half-written, and what is said of damaged ones."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from aerec.errors import BadInput


def write_json(path: pathlib.Path, content: Any) -> None:
    """Writes beside and renames, so that a reader never meets half a file."""
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(beside, path)


def write_arrays(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    """The same for arrays by name, as .npz."""
    beside = path.with_name(f"{path.stem}.tmp.npz")
    np.savez_compressed(beside, **arrays)  # type: ignore[arg-type]
    os.replace(beside, path)


@contextlib.contextmanager
def reading(path: pathlib.Path, advice: str) -> Iterator[None]:
    """Whatever goes wrong while a run's own file is read: BadInput, the file is damaged."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        why = (str(error).splitlines() or [""])[0][:200]
        raise BadInput(
            f"{path} is damaged or unreadable ({type(error).__name__}: {why}); {advice}"
        ) from error


def read_json(path: pathlib.Path, *entries: str, advice: str) -> dict[str, Any]:
    """An object with at least these entries. Raises BadInput, with the `advice`, for others."""
    with reading(path, advice):
        content = json.loads(path.read_text())
        if missing := [entry for entry in entries if entry not in content]:
            raise ValueError(f"it has no {', '.join(missing)}")
        return {**content}
