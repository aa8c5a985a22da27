"""Atomic writes of files and directories, strict JSON, and errors for damaged files."""

import contextlib
import errno
import json
import math
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from aerec.errors import BadInput

TEMPORARY = ".tmp"  # suffix of a file or directory that is being written
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of a disk, a quota, a limit on a file's size


@contextlib.contextmanager
def writing(path: pathlib.Path | str) -> Iterator[None]:
    """Raise BadInput, with advice, if the system refuses to write to `path`."""
    try:
        yield
    except BadInput:  # of something else, like a file that is read meanwhile
        raise
    except Exception as error:
        number = error_number(error)
        if number is None:
            raise
        raise BadInput(
            f"{path} cannot be written ({os.strerror(number)}); {advice(number)}"
        ) from error


def located(path: Any) -> pathlib.Path:
    """Return a path with `~` expanded. Raises BadInput if it is not a path."""
    if not isinstance(path, str | os.PathLike) or not os.fspath(path) or "\0" in str(path):
        raise BadInput(f"{path!r} is no path: give that of a file or a folder.")
    return pathlib.Path(path).expanduser()


def error_number(error: BaseException) -> int | None:
    """Find the errno behind an error, also behind one of TensorStore; None without one."""
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"\bos[_ ]error\D{1,10}(\d+)", str(error), re.IGNORECASE)
    return int(found[1]) if found else None


def advice(number: int) -> str:
    """Advise what to do about an error in writing."""
    if number in FULL:
        return "free some space there, then give the same command again"
    return "name another place, or change the permissions of this one"


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield the path to write a file or a directory to, then rename that to `path`.

    The data are flushed to disk before the rename: a file system may write the new name first, and
    a power cut would then leave an empty file. If writing fails, `path` is unchanged. A symbolic
    link stays one: the file that it names is replaced.

    Raises:
      BadInput: the disk is full or read-only, or `path` is a device or a pipe.
    """
    if path.is_symlink():  # /dev/stdout is one to /proc/self/fd/1
        special = os.readlink(path).startswith("/proc/")
        path = path if special else path.resolve()
    else:
        special = path.exists() and not path.is_file() and not path.is_dir()
    if special:
        raise BadInput(f"{path} is a device or a pipe, which no file can replace: name another")
    temporary = path.with_name(path.name + TEMPORARY)
    with writing(path):
        try:
            yield temporary
            for folder, _, names in os.walk(temporary):
                for name in (".", *names):
                    _sync(os.path.join(folder, name))
            _sync(temporary)
            os.replace(temporary, path)
        except BaseException:
            if temporary.is_file():
                temporary.unlink()
            raise
        _sync(path.parent)


def _sync(path: str | pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def to_json(content: Any, **options: Any) -> str:
    """Return `content` as strict JSON, which has no NaN and no infinity: they become null."""
    return json.dumps(_finite(content), allow_nan=False, **options)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_text(path: pathlib.Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: pathlib.Path, content: Any) -> None:
    """Write `content` as strict JSON, atomically."""
    write_text(path, to_json(content, indent=2) + "\n")


def write_arrays(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    """Write named arrays as .npz, atomically."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


@contextlib.contextmanager
def reading(path: pathlib.Path, advice: str) -> Iterator[None]:
    """Turn any error in reading into BadInput: the file is damaged."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        why = (str(error).splitlines() or [""])[0][:200]
        raise BadInput(
            f"{path} is damaged or unreadable ({type(error).__name__}: {why}); {advice}"
        ) from error


def read_json(
    path: pathlib.Path, *entries: str, advice: str, kinds: Mapping[str, type] | None = None
) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
      BadInput: with the `advice`; it lacks one of `entries`, or an entry is not of its kind.
    """
    with reading(path, advice):
        content = json.loads(path.read_text(encoding="utf-8"))
        if missing := [entry for entry in entries if entry not in content]:
            raise ValueError(f"it has no {', '.join(missing)}")
        for entry, kind in (kinds or {}).items():
            if entry in content and not isinstance(content[entry], kind):
                raise ValueError(f"its {entry} is no {kind.__name__}")
        return {**content}


def read_arrays(path: pathlib.Path, *, advice: str) -> dict[str, np.ndarray]:
    """Read named arrays from .npz. Raises BadInput, with the `advice`, for a damaged file."""
    with reading(path, advice), np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
