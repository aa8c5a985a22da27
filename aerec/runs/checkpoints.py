"""Atomic checkpoints of a run in progress, by Orbax."""

import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from aerec import hosts
from aerec.core import Params
from aerec.files import reading, writing

ADVICE = "delete this folder to train from the beginning"


class Checkpoints:
    """Save the state of a run, its best parameters and its record as one atomic checkpoint.

    Args:
      folder: created if it is missing.
      seconds: the least time between two saves; a forced save (the last) ignores it. It does not
        affect the result of a run, only how much is repeated after an interruption.
    """

    def __init__(self, folder: pathlib.Path, *, seconds: float = 15.0):
        self.seconds = seconds
        self.saved_at = time.monotonic()
        self.folder = folder
        options = ocp.CheckpointManagerOptions(max_to_keep=1, cleanup_tmp_directories=True)
        with reading(folder, ADVICE), writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self.manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def restore(self, state: Any, best: Params) -> tuple[Any, Params, dict] | None:
        """Restore the latest (state, best, record), shaped like the arguments; None without one.

        It may be of another mesh: parameters of columns are cut, or padded with zeros, to the shape
        that they have on this one, and all are placed as the arguments are.

        Raises:
          BadInput: it is damaged: it cannot be read, or its numbers changed.
        """
        if self.manager.latest_step() is None:
            return None
        like = jax.tree.map(ocp.utils.to_shape_dtype_struct, {"state": state, "best": best})
        with reading(self.folder, ADVICE):
            saved = self.manager.restore(
                self.manager.latest_step(),
                args=ocp.args.Composite(
                    arrays=ocp.args.StandardRestore(like, strict=False),
                    record=ocp.args.JsonRestore(),
                ),
            )
            arrays, record = saved["arrays"], saved["record"]
            checksum = record.pop("checksum", None)  # there was none in earlier versions
            found = _checksum(arrays)
            if checksum is not None and checksum[:-1] == found[:-1] and checksum != found:
                raise ValueError("its numbers changed")
        return arrays["state"], arrays["best"], record

    def save(self, state: Any, best: Params, record: dict, *, force: bool) -> None:
        """Save in the background, unless the last save is too recent.

        Raises:
          BadInput: the disk is full or read-only; this save or the one before it failed.
        """
        if not hosts.agreed(force or time.monotonic() - self.saved_at >= self.seconds):
            return
        arrays = {"state": state, "best": best}
        with writing(self.folder):
            self.manager.save(
                record["epoch"],
                args=ocp.args.Composite(
                    arrays=ocp.args.StandardSave(arrays),
                    record=ocp.args.JsonSave({**record, "checksum": _checksum(arrays)}),
                ),
            )
        self.saved_at = time.monotonic()

    def close(self) -> None:
        """Wait until the last save is on disk. Raises BadInput, like `save`, if it failed."""
        with writing(self.folder):
            self.manager.wait_until_finished()
            self.manager.close()


def _checksum(arrays: Any) -> list[int]:
    """Return the sizes of arrays and, last, a sum of their bits, which a damaged byte changes.

    On another mesh arrays may be padded: where the sizes differ, the sums do not compare.
    """
    leaves = jax.tree.leaves(arrays)
    return [*(int(np.size(leaf)) for leaf in leaves), int(_sum_of_bits(leaves))]


@jax.jit
def _sum_of_bits(leaves: list[jax.Array]) -> jax.Array:
    """Sum the bits of each number as a whole number, modulo 2^32."""
    total = jnp.uint32(0)
    for leaf in leaves:
        whole = leaf.astype(jnp.uint8) if leaf.dtype == bool else leaf
        bits = jax.lax.bitcast_convert_type(whole, f"uint{8 * whole.dtype.itemsize}")
        total += bits.astype(jnp.uint32).sum(dtype=jnp.uint32)
    return total
