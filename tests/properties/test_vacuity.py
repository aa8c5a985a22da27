"""Collapse, effective rank and spread of codes whose values are known."""

import numpy as np
import pytest

from aerec.properties import vacuity


def test_vacuity_of_constant_nearly_constant_and_honest_codes():
    codes = np.random.default_rng(0).normal(size=(300, 6))
    honest = vacuity.measure(codes, codes, tolerance=1e-5)
    assert not honest.collapsed and honest.effective_rank > 5.5 and honest.from_constant > 0.9
    rank_one = vacuity.measure(codes, codes[:, :1] * np.ones(6), tolerance=1e-5)
    assert rank_one.effective_rank == pytest.approx(1.0, abs=1e-6)
    for constant in (np.ones((300, 6)), 1e20 + 0 * codes, np.zeros((300, 6)), 1 + 1e-7 * codes):
        found = vacuity.measure(constant, constant, tolerance=1e-5)
        assert found.collapsed and found.effective_rank == 0.0 and found.from_constant < 1e-6
        assert found.tie_share == 1.0
    lift = vacuity.measure(*2 * [np.pad(1e-6 * codes, ((0, 0), (1, 0)), constant_values=1.0)],
                           tolerance=1e-5)  # fmt: skip
    assert not lift.collapsed and lift.from_constant < 1e-5
    assert lift.spread == pytest.approx(honest.spread)  # the constant coordinate is left out
    spiked = codes.copy()
    spiked[7] *= 1e12
    for one, other in ((codes, spiked), (spiked, codes), (1 + 0 * codes, spiked)):
        assert not vacuity.measure(one, other, tolerance=1e-5).collapsed
    tiny = vacuity.measure(1e-20 * codes, 1e-20 * codes, tolerance=1e-5)
    assert tiny.spread == pytest.approx(honest.spread)
