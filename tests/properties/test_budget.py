"""Seconds cover all of an audit, measured by a clock that only the encoder moves."""

import contextlib
import re
from unittest import mock

import jax
import numpy as np
import pytest

from aerec.properties import audit, budget, samplers, zero_search

WEIGHT = np.random.default_rng(0).normal(size=(3, 6))
DATA = samplers.empirical(
    np.random.default_rng(1).normal(size=(4000, 6)), np.random.default_rng(2).normal(size=(30, 6))
)


class Slow:
    """An encoder that takes `cost` seconds a call, by a clock of its own."""

    def __init__(self, cost):
        self.cost, self.calls = cost, 0

    def __call__(self, x):
        self.calls += 1
        return np.concatenate([np.asarray(x), [0.0, 0.0]])  # keeps the order: nothing ends early

    def now(self):
        return self.cost * self.calls


@pytest.mark.parametrize("cost", [0.002, 0.02])
@pytest.mark.parametrize("domain", [samplers.gaussian(6), DATA], ids=["gaussian", "data"])
def test_a_slow_encoder_is_audited_within_the_seconds(domain, cost):
    encode, stages = Slow(cost), []
    with mock.patch.object(budget, "now", encode.now):
        found = audit(
            encode, domain, jax.random.key(0), budget="10s",
            progress=lambda stage, done, of: stages.append(stage),
        )  # fmt: skip
    assert 0.5 * 10 < encode.now() < 10 + 100 * cost
    foreseen = int(re.fullmatch(r"at most ([\d,]+) calls, \d+ s", stages[0])[1].replace(",", ""))
    assert 0.5 * encode.calls < foreseen <= 10 / cost
    assert any("The seconds of the budget ended before" in note for note in found.notes)
    searched = not any("the search for a violation" in note for note in found.notes)
    assert searched == ("before the seconds of the budget ended" not in found.order.why)
    assert found.triples > 0.2 * 10 / cost / 3 and found.order.verdict.startswith("NOT REFUTED")


def test_without_seconds_a_slow_encoder_is_searched_as_a_fast_one_is():
    slow, fast = Slow(1.0), Slow(0.0)
    for encode in (slow, fast):
        with (
            mock.patch.object(budget, "now", encode.now),
            mock.patch.object(zero_search, "search", return_value=None),
        ):
            found = audit(
                encode, samplers.gaussian(6), jax.random.key(0), budget=64, search_points=256
            )
        assert not any("budget" in note for note in found.notes)
    assert slow.calls == fast.calls


def test_a_part_ends_at_its_share_and_the_next_goes_on():
    clock = Slow(1.0)
    with mock.patch.object(budget, "now", clock.now):
        spending = budget.Budget("10s")
        call = spending.guard(lambda: clock(np.zeros(1)))

        def forever():
            while True:
                with contextlib.suppress(Exception):  # as an encoder may do
                    call()

        assert spending.part("the first", 0.5, forever, "nothing") == "nothing"
        assert clock.calls == 6 and spending.cut == ["the first"]
        assert spending.part("the second", 1.0, lambda: "all") == "all"
        assert spending.part("the third", 1.0, forever) is None
        assert clock.calls == 11 and spending.cut == ["the first", "the third"]
        assert call() is not None  # between the parts nothing ends


def test_rows_follow_from_the_cost_of_one():
    clock = Slow(1.0)
    with mock.patch.object(budget, "now", clock.now):
        spending = budget.Budget("10s")
        assert spending.rows(0.5) == 2**62
        spending.cost = 0.01
        assert spending.rows(0.5) == 500
        clock.calls += 2
        assert spending.left == 8.0 and spending.rows(0.5) == 400
        spending.reserve(100)
        assert spending.left == 7.0
        spending.reserve(10_000)
        assert spending.left == 2.5
        clock.calls += 8
        assert spending.left == 0.0 == spending.rows(1.0)
    assert budget.Budget("1e3").triples == 1000 and budget.Budget(7).seconds == float("inf")
