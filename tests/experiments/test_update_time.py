"""The time of an update: its work counted by hand, the formula with given rates, and the rates."""

import math

import pytest

from experiments import update_time
from experiments.update_time import Rates, Work


def test_the_work_of_an_update():
    """Of 2 rows of 3 clicks in 1,000 columns, all seen: by hand."""
    full = update_time.work(2, 1000, 1000, 3, 128)
    parameters = 2 * 1000 * 128
    assert full.operations == 3 * 2 * (2 * 128 * 1000)
    assert full.logits == 9 * 4 * (2 * 1000)
    rows, zeros, copy = 3 * 4 * 6 * 128, 4 * 1000 * 128, 2 * 4 * 1000 * 128
    assert full.streamed == rows + zeros + copy
    assert full.adam == (4 + 3) * 4 * parameters  # arrays read, arrays written
    assert full.rows == full.transposed == 0


def test_the_first_layer_is_a_product_where_rows_are_long():
    """Of 2 rows of 3 clicks in 450 columns, one in 150; in one more they are gathered."""
    long, short = (update_time.work(2, columns, columns, 3, 128) for columns in (450, 451))
    assert long.operations == 5 * 2 * (2 * 128 * 450) and short.operations == 6 * 2 * 128 * 451
    assert long.streamed == 8 * 450 * 128 and short.streamed == 12 * 6 * 128 + 12 * 451 * 128


def test_the_work_of_an_update_by_a_sampled_softmax():
    """Ten of 50 columns, five updates: rows are gathered, updated and scattered, kernels copied."""
    full = update_time.work(2, 10, 10, 3, 128)
    sampled = update_time.work(2, 50, 10, 3, 128, updates=5)
    assert (sampled.operations, sampled.logits) == (full.operations, full.logits)
    assert sampled.streamed == 2 * 2 * 4 * (10 * 128)  # kernels, ends
    assert sampled.adam == 0
    assert sampled.rows == full.adam + 2 * 3 * 2 * 2 * 4 * (10 * 128)  # kernels, leaves, ways, ends
    assert sampled.transposed == 3 * 3 * 2 * 4 * (50 * 128) / 5  # leaves, copies, ends


def test_the_prediction_adds_each_part_at_its_own_rate():
    work = Work(operations=600, logits=30, streamed=80, adam=70, rows=12, transposed=5)
    rates = Rates(operations=100, logits=15, streamed=20, adam=10, rows=4, transposed=2)
    assert update_time.predicted(work, rates) == pytest.approx(6 + 2 + 4 + 7 + 3 + 2.5)
    assert update_time.predicted(work, rates, 0.5) == pytest.approx(25)


def test_the_full_softmax_needs_no_rates_of_copies():
    work = update_time.work(2, 10, 10, 3, 4)
    seconds = work.operations / 5 + work.logits / 4 + work.streamed / 3 + work.adam / 2
    assert update_time.predicted(work, Rates(5, 4, 3, 2)) == pytest.approx(seconds)


def test_rates_are_positive_and_those_without_work_infinite(monkeypatch):
    monkeypatch.setattr(update_time, "stream_rate", lambda: 1e9)
    for seen in (20, 200):
        work = update_time.work(4, 200, seen, 3, 8)
        for amount, rate in zip(work, update_time.measured(4, 200, seen, 8, 15), strict=True):
            assert 0 < rate < 1e14 if amount else math.isinf(rate)


def test_rates_are_of_the_median(monkeypatch):
    """Of five calls, after a first one."""
    clock = iter([0, 5, 10, 11, 20, 22, 30, 33, 40, 49])
    monkeypatch.setattr(update_time.time, "perf_counter", lambda: next(clock))
    assert update_time.seconds(lambda x: x, 0.0) == 3
