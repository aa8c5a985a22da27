"""Measures of codes: known orders, pairs by definition, codes of zeros, flat users, known ranks."""

import jax.numpy as jnp
import numpy as np
import pytest

from aerec.core import Table
from aerec.data.splits import Heldout
from experiments import measures


def held(fold_in, target, columns):
    def table(column):
        rows = range(len(column))
        ones, shape = [1.0] * len(column), {"num_rows": len(column), "num_columns": columns}
        return Table.from_entries(rows, column, ones, **shape)

    return Heldout(table(fold_in), table(target), jnp.arange(len(fold_in)))


def test_shares_of_known_orders():
    truth = np.array([[1.0, 2, 3, 4], [4, 3, 2, 1]])
    judged = measures.pairs(truth, held([0, 1], [3, 0], 4))
    for right, scores in ((1, truth), (0, -truth), (0.5, 0 * truth)):
        assert set(measures.shares(scores, judged).values()) == {right}
    halves = np.array([[1.0, 2, 3, 4], [1, 2, 3, 4]])
    found = measures.shares(halves, judged)
    assert found["order"] == pytest.approx(0.5) and found["auc"] == 0.5


def test_pairs_are_what_they_are_called(monkeypatch):
    monkeypatch.setattr(measures, "BEST", 8)
    truth = np.random.default_rng(3).integers(0, 9, (3, 20)).astype(float)
    fold_in, target = [2, 5, 7], [11, 0, 19]
    judged = measures.pairs(truth, held(fold_in, target, 20))
    for row in range(3):
        best = np.argsort(-truth[row], kind="stable")[:8]
        for name, own in judged.items():
            u, v, weight = (part[row] for part in own)
            if name.startswith("order"):
                assert (truth[row, u[weight]] > truth[row, v[weight]]).all()
                assert (truth[row, u[~weight]] == truth[row, v[~weight]]).all()
            elif weight.any():
                assert weight.all() and (u == target[row]).all()
                assert not np.isin(v, [fold_in[row], target[row]]).any()
            else:
                assert target[row] not in best
            if name.endswith("top") and weight.any():
                assert np.isin(u, best).all() and np.isin(v, best).all()


def test_zero_codes_flat_users_and_the_effective_rank():
    scores = np.array([[1.0, 2, 3, 4], [7, 7, 7, 7]])
    encoded = np.array([[0.0, 0], [0, 1], [0, 0], [1, 1]])
    found = measures.of_codes(scores, np.eye(4)[:, :3], encoded)
    assert (found["zero"], found["flat"]) == (0.5, 0.5)
    assert found["rank"] == pytest.approx(3)  # three equal singular values
    assert found["gap"] > 0
