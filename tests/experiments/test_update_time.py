"""The time of an update: its work counted by hand, the formula with given rates, and the rates."""

import math

import pytest

from experiments import update_time
from experiments.update_time import Rates, Work


def test_the_work_of_an_update():
    """Of 2 rows of 3 clicks in 10 columns, all seen: by hand."""
    full = update_time.work(2, 10, 10, 3, 128)
    parameters = 2 * 10 * 128
    assert full.operations == 3 * 2 * (2 * 128 * 10)
    assert full.streamed == 10 * 4 * 20 + 3 * 4 * 6 * 128 + 2 * 4 * parameters
    assert full.adam == (4 + 3) * 4 * parameters  # arrays read, arrays written
    assert full.scattered == full.transposed == 0


def test_the_work_of_an_update_by_a_sampled_softmax():
    """Ten of 50 columns, five updates: what is gathered and scattered, and copied, is added."""
    full = update_time.work(2, 10, 10, 3, 128)
    sampled = update_time.work(2, 50, 10, 3, 128, updates=5)
    assert (sampled.operations, sampled.adam) == (full.operations, full.adam)
    assert sampled.streamed == full.streamed + 12 * 50
    assert sampled.scattered == 2 * 3 * 2 * 2 * 4 * (10 * 128)  # kernels, leaves, ways, ends
    assert sampled.transposed == 3 * 2 * 2 * 4 * (50 * 128) / 5  # leaves, ways, ends


def test_the_prediction_adds_each_part_at_its_own_rate():
    work = Work(operations=600, streamed=80, adam=70, scattered=12, transposed=5)
    rates = Rates(operations=100, streamed=20, adam=10, scattered=4, transposed=2)
    assert update_time.predicted(work, rates) == pytest.approx(6 + 4 + 7 + 3 + 2.5)


def test_the_full_softmax_needs_no_rates_of_copies():
    work = update_time.work(2, 10, 10, 3, 4)
    seconds = work.operations / 5 + work.streamed / 4 + work.adam / 3
    assert update_time.predicted(work, Rates(5, 4, 3)) == pytest.approx(seconds)


def test_rates_are_positive_and_those_without_work_infinite(monkeypatch):
    monkeypatch.setattr(update_time, "stream_rate", lambda: 1e9)
    for seen in (20, 200):
        rates = update_time.measured(4, 200, seen, 8)
        assert all(rate > 0 for rate in rates) and all(rate < 1e14 for rate in rates[:3])
        assert all(math.isinf(rate) == (seen == 200) for rate in rates[3:])
