"""What memory there is, and a refusal before an allocation that cannot succeed."""

import os
import resource
from typing import Any

import jax

from aerec.errors import BadInput


class TooLarge(BadInput):
    """Something would not fit in memory; the message has the sizes and the way out."""


def available() -> int:
    """Bytes free on the default device: of the accelerator, or of the host's RAM."""
    stats = jax.devices()[0].memory_stats() if jax.default_backend() != "cpu" else None
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    with open("/proc/meminfo") if os.path.exists("/proc/meminfo") else open(os.devnull) as lines:
        for line in lines:
            if line.startswith("MemAvailable"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def size(tree: Any) -> int:
    """Bytes of all arrays, or of the shapes that stand for them, in a pytree."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def require(needed: int, what: str, way_out: str) -> None:
    """Raises `TooLarge` if `needed` bytes for `what` exceed what is available."""
    if needed > available():
        raise TooLarge(
            f"{what} needs {needed / 2**30:.1f} GiB and {available() / 2**30:.1f} GiB are free; "
            f"{way_out}"
        )


def peak_rss_mb() -> float:
    """The process's largest resident size so far, MiB (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
