"""Processes, on one host or several, that share one run: how they meet, and how they end.

Each process runs the same program on the same data, and the devices of all make up the mesh. Only
the first process writes files, apart from checkpoints, of which each writes its part: the run
directory is on a file system that all of them share. A process whose peer is lost cannot go on.
"""

import atexit
import contextlib
import os
import subprocess
import sys
from typing import NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from aerec.errors import BadInput

HEARTBEAT = 30  # seconds without a sign of life after which a process counts as lost
LOST = (
    "error: a process of the run was lost, or this one was ended, so the run cannot go on. Start "
    "all of its processes again: the same commands resume from the last checkpoint"
)


def join(coordinator: str | None, processes: int | None = None, process: int | None = None) -> None:
    """Meet the other processes of the run, before any array is made; without a coordinator, none.

    Args:
      coordinator: HOST:PORT of the first process, or "auto" where JAX finds the processes by itself
        (SLURM, TPU pods, Open MPI). Default: the environment's JAX_COORDINATOR_ADDRESS.
      processes: their number.
      process: the number of this one, from 0.

    Raises:
      BadInput: numbers without a coordinator, or processes that do not meet.
    """
    coordinator = coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")
    if coordinator is None:
        if processes is not None or process is not None:
            raise BadInput("`processes` and `process` need `coordinator`, HOST:PORT of process 0")
        return
    address = None if coordinator == "auto" else coordinator
    if address and not address.rpartition(":")[2].isdecimal():
        raise BadInput(f"coordinator={coordinator}: write HOST:PORT, like 10.0.0.1:8476, or auto")
    _watch()
    try:
        jax.distributed.initialize(
            address, processes, process, heartbeat_timeout_seconds=HEARTBEAT
        )
    except (ValueError, RuntimeError) as error:
        part()
        raise BadInput(f"the processes do not meet at {coordinator}: {error}") from None


def first() -> bool:
    """Return whether this process is the one that writes files and prints."""
    return not jax.distributed.is_initialized() or jax.process_index() == 0


def agreed(value: bool) -> bool:
    """Return the value of the first process in all of them."""
    if jax.process_count() == 1:
        return value
    return bool(multihost_utils.broadcast_one_to_all(np.array(value)))


def wait(what: str) -> None:
    """Wait until all processes are here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def leave(status: int) -> NoReturn:
    """End this process; one of several without waiting for the others, which cannot go on."""
    if not jax.distributed.is_initialized():
        sys.exit(status)
    part()
    sys.stdout.flush()
    os._exit(status)


_watchers: list[subprocess.Popen] = []


def _watch() -> None:
    """Start a shell that prints `LOST` when this process ends without `part`.

    JAX aborts a process whose peer is lost, and no line of Python runs after that.
    """
    line = ["sh", "-c", 'read -r parted || echo "$0" >&2', LOST]
    _watchers.append(subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL))
    atexit.register(part)


def part() -> None:
    """Say that this process ends as it should."""
    while _watchers:
        watcher = _watchers.pop()
        with contextlib.suppress(OSError):
            watcher.communicate(b"parted\n")
