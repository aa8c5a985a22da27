"""Measures of codes: known orders, an AUC by hand, codes that are zero, flat or of known rank."""

import jax.numpy as jnp
import numpy as np
import pytest

from aerec.core import Table
from aerec.data.splits import Heldout
from experiments import measures


def test_the_order_of_pairs_and_the_auc():
    truth = np.array([[1.0, 2, 3, 4], [4, 3, 2, 1]])
    assert measures.ordered(truth, truth, 4) == 1
    assert measures.ordered(-truth, truth, 4) == 0
    assert measures.ordered(0 * truth, truth, 4) == 0.5
    halves = np.array([[1.0, 2, 3, 4], [1, 2, 3, 4]])
    assert measures.ordered(halves, truth, 4) == pytest.approx(0.5, abs=0.03)

    def table(column):
        ones = [1.0] * len(column)
        return Table.from_entries(range(len(column)), column, ones, num_rows=2, num_columns=4)

    held = Heldout(table([0, 1]), table([3, 0]), jnp.arange(2))
    assert measures.heldout_auc(truth, held) == 1  # 4 above 2 and 3; 4 above 2 and 1
    assert measures.heldout_auc(-truth, held) == 0
    assert measures.heldout_auc(0 * truth, held) == 0.5


def test_zero_codes_flat_users_and_the_effective_rank():
    ones = Table.from_entries([0, 1], [0, 1], [1.0, 1.0], num_rows=2, num_columns=4)
    other = Table.from_entries([0, 1], [2, 3], [1.0, 1.0], num_rows=2, num_columns=4)
    scores = np.array([[1.0, 2, 3, 4], [7, 7, 7, 7]])
    encoded = np.array([[0.0, 0], [0, 1], [0, 0], [1, 1]])
    found = measures.of(
        scores, scores, Heldout(ones, other, jnp.arange(2)), items=np.eye(4)[:, :3], encoded=encoded
    )
    assert (found["zero"], found["flat"]) == (0.5, 0.5)
    assert found["rank"] == pytest.approx(3)  # three equal singular values
    assert found["order"] == 1 and found["gap"] > 0
