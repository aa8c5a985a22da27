"""Batches: every row once, in few shapes, drawn from (seed, epoch)."""

import itertools

import chex
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aerec.training import batches

LENGTHS = st.lists(st.integers(0, 50), min_size=1, max_size=80)


@given(LENGTHS, st.integers(1, 90), st.integers(1, 5), st.integers(1, 3), st.integers(0, 5))
def test_an_epoch_is_every_row_once_within_the_plan(lengths, batch_size, buckets, parts, epoch):
    lengths = np.array(lengths, np.int32)
    plan = batches.plan(lengths, batch_size, buckets, parts)
    order, turns = batches.order(lengths, plan, 3, epoch, parts), batches.turns(plan, epoch)
    widest = max(bucket.batch for bucket in plan)
    chex.assert_shape(order, (len(turns), parts * widest))
    assert sorted(order[order < len(lengths)]) == list(range(len(lengths)))
    assert (order == batches.order(lengths, plan, 3, epoch, parts)).all()
    for number, bucket in enumerate(plan):
        mine = order[turns == number].reshape(-1, parts, widest)
        assert len(mine) == bucket.steps
        assert (mine[:, :, bucket.batch :] == len(lengths)).all()
        per_row = np.append(lengths, 0)[mine]
        assert per_row.sum(axis=2).max() <= bucket.capacity
        assert per_row.max() <= bucket.longest
        assert np.ptp((mine < len(lengths)).sum(axis=2)) <= 1, "parts are even"
        assert buckets > 1 or bucket.batch <= -(-batch_size // parts)


def test_buckets_are_of_like_length_and_their_batches_of_like_size():
    lengths = np.random.default_rng(0).geometric(0.02, 3000) + 4
    plan = batches.plan(lengths, 20, 5)
    assert len(plan) == 5 and sum(bucket.rows for bucket in plan) == 3000
    ordered = np.sort(lengths)
    ratio = (ordered[-1] / np.quantile(ordered, 0.25)) ** (1 / 4)
    for shorter, bucket in itertools.pairwise(plan):
        assert shorter.longest < ordered[bucket.first] > bucket.longest / ratio
        assert 0.7 < bucket.capacity / (20 * lengths.mean()) < 2
    padded = sum(bucket.steps * bucket.batch * bucket.longest for bucket in plan)
    (mixed,) = batches.plan(lengths, 20)
    assert padded < 1.7 * lengths.sum() < 0.5 * mixed.steps * mixed.batch * mixed.longest


def test_orders_differ_between_epochs_and_seeds():
    lengths = np.random.default_rng(0).integers(4, 14, 40)
    plan = batches.plan(lengths, 4, 3)
    orders = {batches.order(lengths, plan, s, e).tobytes() for s in range(3) for e in range(3)}
    assert len(orders) == 9
    assert (batches.turns(plan, 0) != batches.turns(plan, 1)).any(), "shapes take turns at random"
