"""Free memory, and a refusal before an allocation that cannot succeed."""

import os
import pathlib
from collections.abc import Iterator
from typing import Any

import jax

from aerec.errors import BadInput
from aerec.unix import resource


class TooLarge(BadInput):
    """An allocation would not fit in memory; the message states the sizes and a remedy."""


def available(root: pathlib.Path = pathlib.Path("/")) -> int:
    """Return the free bytes of the default device: of the accelerator, or of the host's RAM.

    Args:
      root: the directory of `proc` and `sys`. On the host, the limits of the process's control
        groups, such as those of a container, are respected.
    """
    stats = jax.local_devices()[0].memory_stats() if jax.default_backend() != "cpu" else None
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    return on_host(root)


def on_host(root: pathlib.Path = pathlib.Path("/")) -> int:
    """Return the free bytes of the host's RAM; `root` as of `available`."""
    return min([_free(root), *_left(root)])


def _free(root: pathlib.Path) -> int:
    """Return the bytes of RAM available to a process; all of the RAM if that is unknown."""
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _left(root: pathlib.Path) -> Iterator[int]:
    """Return the bytes left to each control group of the process and its parents, versions 1 and 2.

    Cached files count as free: the system drops them when memory is needed.
    """
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, path = line.split(":", 2)
        if number == "0":
            base, names = "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            base = "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = root / base / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(root / base):
                break
            limit, used = (_lines(folder / name) for name in names[:2])
            if limit and used and limit[0] != "max":
                stat = dict(line.split() for line in _lines(folder / "memory.stat"))
                yield max(0, int(limit[0]) - int(used[0]) + int(stat.get(names[2], 0)))


def _lines(path: pathlib.Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:  # not on this system
        return []


def size(tree: Any) -> int:
    """Count the bytes of all arrays, or shapes of arrays, in a pytree."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def require(needed: int, what: str, way_out: str) -> None:
    """Raise `TooLarge` if `needed` bytes for `what` exceed what is available."""
    if needed > (free := available()):
        raise TooLarge(
            f"{what} needs {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free; "
            f"{way_out}"
        )


def peak_rss_mb() -> float:
    """Return the peak resident size of the process, MiB (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
