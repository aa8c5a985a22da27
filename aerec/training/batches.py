"""The rows of each batch of an epoch, in shapes planned once on the host so that it compiles once.

`plan` chooses the shapes, `shapes` the order in which steps use them, `order` the rows. `plan` is
fixed; the others are drawn anew every epoch, from (seed, epoch) alone.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Bucket(NamedTuple):
    """Training rows of similar length, and the shape of their batches."""

    first: int  # sorted by length, shortest first, the bucket is rows first:first + rows
    rows: int
    steps: int  # batches
    batch: int  # rows in one
    capacity: int  # entries that a batch has room for
    longest: int  # entries of the longest row


def plan(lengths: np.ndarray, batch_size: int, buckets: int = 1) -> tuple[Bucket, ...]:
    """Choose the shapes of an epoch's batches: one per bucket, a range of row lengths.

    The bounds of the buckets are a geometric series from the lower quartile to the longest row, so
    that a batch padded to its longest row is little padding. With several buckets a batch has about
    as many entries as `batch_size` rows of mean length. Batches are as even as possible, with room
    for all but the rarest draws (`order` redraws those).

    Args:
      lengths: [U] entries per row; [T, U] of several tables that share the plan.
      batch_size: the most rows in a batch, with one bucket.
      buckets: the most buckets; a bucket without rows is left out.
    """
    lengths = np.sort(np.atleast_2d(lengths), axis=1).max(axis=0)
    if not len(lengths):
        return (Bucket(0, 0, 1, 1, 1, 0),)
    bounds = np.geomspace(max(np.quantile(lengths, 0.25), 1), max(lengths[-1], 1), buckets)[:-1]
    cuts = np.sort(np.searchsorted(lengths, bounds, side="right"))
    ranges, firsts = np.split(lengths, cuts), (0, *cuts)
    entries = batch_size * max(lengths.mean(), 1)
    return tuple(
        _bucket(int(first), own, entries / max(own.mean(), 1) if buckets > 1 else batch_size)
        for first, own in zip(firsts, ranges, strict=True)
        if len(own)
    )


def _bucket(first: int, lengths: np.ndarray, batch_size: float) -> Bucket:
    """Choose the shape of batches of rows of these lengths, ascending."""
    rows = len(lengths)
    steps = math.ceil(rows / min(max(batch_size, 1), rows))
    batch = math.ceil(rows / steps)
    mean, deviation = batch * lengths.mean(), math.sqrt(batch) * lengths.std()
    room = max(mean + 5 * deviation, lengths.max() + mean + 2 * deviation)
    room = min(math.ceil(room), int(lengths[-batch:].sum()))
    return Bucket(first, rows, steps, batch, max(1, room), int(lengths.max()))


def shapes(plan: Sequence[Bucket], epoch: int) -> np.ndarray:
    """Shuffle the buckets over the steps of an epoch, [steps] int32, by `epoch` alone.

    All replicas have the same order, so that a step has one shape.
    """
    each = np.repeat(np.arange(len(plan), dtype=np.int32), [bucket.steps for bucket in plan])
    return np.random.default_rng(epoch).permutation(each)


def order(lengths: np.ndarray, plan: Sequence[Bucket], seed: int, epoch: int) -> np.ndarray:
    """Draw the rows of one epoch, [steps, B] int32, B the largest batch.

    Every row occurs once, in a step of its bucket. A batch is filled up with U (padding). A
    permutation of a bucket that exceeds the capacity of a batch is drawn again. The draws depend on
    (seed, epoch) alone.
    """
    rows = np.random.default_rng([seed, epoch])
    padded = np.append(lengths, 0)
    by_length = np.argsort(lengths, kind="stable")
    taken = shapes(plan, epoch)
    widest = max(bucket.batch for bucket in plan)
    index = np.full((len(taken), widest), len(lengths), np.int32)
    for number, bucket in enumerate(plan):
        members = np.sort(by_length[bucket.first : bucket.first + bucket.rows])
        while True:
            drawn = np.full(bucket.steps * bucket.batch, len(lengths), np.int32)
            drawn[: len(members)] = members[rows.permutation(len(members))]
            batches = drawn.reshape(bucket.batch, -1).T  # padding spread over the batches
            if padded[batches].sum(axis=1).max() <= bucket.capacity:
                break
        index[taken == number, : bucket.batch] = batches
    return index
