"""Batches: every row once, in few shapes, drawn from (seed, epoch)."""

import itertools
from unittest import mock

import chex
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerec.training import batches
from aerec.training.batches import Bucket

LENGTHS = st.lists(st.integers(0, 50), min_size=1, max_size=80)


@pytest.mark.parametrize(
    ("lengths", "batch_size", "options", "buckets"),
    [
        # No row, or none with an entry: there is a batch and room for an entry all the same.
        ([], 4, {}, [(0, 0, 1, 1, 1, 0)]),
        ([0, 0, 0], 2, {}, [(0, 3, 2, 2, 1, 0)]),
        # As even as possible: 7 rows at most 4 at a time.
        ([1] * 7, 4, {}, [(0, 7, 2, 4, 4, 1)]),
        # Room for five standard deviations (100 x 3 + 5 x sqrt(100) x 2), or where few rows are
        # long for the longest and two (50 + 4 x 1 + 2 x sqrt(4) x 7), or for the longest rows.
        ([1] * 200 + [5] * 200, 100, {}, [(0, 400, 4, 100, 400, 5)]),
        ([0] * 98 + [50] * 2, 4, {}, [(0, 100, 25, 4, 82, 50)]),
        ([3, 1, 2, 6], 2, {}, [(0, 4, 2, 2, 9, 6)]),
        # The batch size itself, and not 3 x (17 / 9) / (17 / 9), which floats put below 3.
        ([1] * 8 + [9], 3, {}, [(0, 9, 3, 3, 11, 9)]),
        # Two tables and a third: the plan is of the longest first, second, ... row of any.
        ([[1, 5], [3, 3], [4, 0]], 2, {}, [(0, 2, 1, 2, 8, 5)]),
        # The lower quartile is 1 and the longest row 16: buckets end at 1, 2, 4, 8 and 16, and that
        # from 1 to 2 is empty. A batch has 4.7 entries, those of one row of mean length.
        (
            [16, 0, 3, 1, 6, 1, 9, 3, 1, 7], 1, {"buckets": 5},
            [(0, 4, 1, 4, 3, 1), (4, 2, 2, 1, 3, 3), (6, 2, 2, 1, 7, 7), (8, 2, 2, 1, 16, 16)],
        ),
        ([2, 2, 2, 8], 2, {"buckets": 2}, [(0, 3, 1, 3, 6, 2), (3, 1, 1, 1, 8, 8)]),
        # Rows of less than one entry count as one.
        ([0, 0, 0, 1, 1, 1], 2, {"buckets": 2}, [(0, 6, 3, 2, 2, 1)]),
    ],
)  # fmt: skip
def test_plans_written_out(lengths, batch_size, options, buckets):
    plan = batches.plan(np.array(lengths, int), batch_size, **options)
    assert plan == tuple(itertools.starmap(Bucket, buckets))


def test_a_permutation_beyond_the_capacity_is_drawn_again(monkeypatch):
    lengths, plan = np.array([3, 1, 2]), [Bucket(0, 3, 2, 2, 3, 3)]
    # Down the columns of (0, 1), (2, padding): 5 entries and 1. Of (1, 0), (2, padding): 3 and 3.
    draws = iter([np.array([0, 1, 2]), np.array([1, 0, 2])])
    monkeypatch.setattr(batches, "shapes", lambda plan, epoch: np.zeros(2, int))
    monkeypatch.setattr(np.random, "default_rng", lambda seed: generator)
    generator = mock.Mock(permutation=lambda size: next(draws))
    assert batches.order(lengths, plan, 0, 0).tolist() == [[1, 2], [0, 3]]


def test_an_epoch_of_no_rows_is_a_batch_of_padding():
    nobody = np.zeros(0, int)
    assert batches.order(nobody, batches.plan(nobody, 4), 0, 0).tolist() == [[0]]


@given(LENGTHS, st.integers(1, 90), st.integers(1, 5), st.integers(0, 5))
def test_an_epoch_is_every_row_once_within_the_plan(lengths, batch_size, buckets, epoch):
    lengths = np.array(lengths, np.int32)
    plan = batches.plan(lengths, batch_size, buckets)
    order = batches.order(lengths, plan, 3, epoch)
    shapes = batches.shapes(plan, epoch)
    widest = max(bucket.batch for bucket in plan)
    chex.assert_shape(order, (len(shapes), widest))
    assert sorted(order[order < len(lengths)]) == list(range(len(lengths)))
    assert (order == batches.order(lengths, plan, 3, epoch)).all()
    for number, bucket in enumerate(plan):
        mine = order[shapes == number]
        assert len(mine) == bucket.steps
        assert (mine[:, bucket.batch :] == len(lengths)).all()
        per_row = np.append(lengths, 0)[mine]
        assert per_row.sum(axis=1).max() <= bucket.capacity
        assert per_row.max() <= bucket.longest
        assert np.ptp((mine < len(lengths)).sum(axis=1)) <= 1, "batches are even"
        assert buckets > 1 or bucket.batch <= batch_size


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
    assert (batches.shapes(plan, 0) != batches.shapes(plan, 1)).any(), "shapes alternate at random"
