"""Fixed points beside a NumPy loop; a linear autoencoder beside the PCA that it should be."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

from aerec.core import Model, Table, Traits
from experiments import fixed_points, principal


def test_distances_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    x = rng.random((7, 5)) * (rng.random((7, 5)) < 0.6)
    row, column = np.nonzero(x)
    table = Table.from_entries(row, column, x[row, column], num_rows=7, num_columns=5)
    weights = 0.3 * rng.standard_normal((5, 5))

    def score(params, x):
        return jnp.tanh((x if hasattr(x, "ndim") else x.dense()) @ params) + 1

    model = Model(Traits(task="rating"), init=lambda key: weights, encode=score, score=score)
    found = fixed_points.distances(model, jnp.asarray(weights), table, (1, 3), size=3)
    y = [np.tanh(x @ weights) + 1]
    for _ in range(3):
        y.append(np.tanh(y[-1] @ weights) + 1)
    np.testing.assert_allclose(found["spread"], y[0].std(axis=1), rtol=1e-4)
    for k in (1, 3):
        apart = np.sqrt(((y[k] - y[k - 1]) ** 2).mean(axis=1))
        np.testing.assert_allclose(found[f"distance_{k}"], apart, rtol=1e-3, atol=1e-6)


@pytest.fixture
def rows():
    rng = np.random.default_rng(1)
    return (rng.random((60, 12)) < rng.random(12)).astype(float)


def test_the_principal_directions_leave_nothing_to_explain(rows):
    mean = rows.mean(axis=0)
    _, _, directions = np.linalg.svd(rows - mean, full_matrices=False)
    kept = directions[:3].T
    mixed = kept @ np.array([[2.0, 0, 0], [1, 1, 0], [0, 1, -1]])  # another basis of their span
    encoder = kept @ np.linalg.inv(mixed.T @ kept)
    params = {"encoder": encoder, "decoder": mixed, "latent_bias": -mean @ encoder,
              "output_bias": mean}  # fmt: skip
    found = principal.compared(scipy.sparse.csr_array(rows), params)
    assert found["explained"] == pytest.approx(found["explained_pca"], rel=1e-9)
    assert found["angle_largest"] < 1e-4
    assert found["overlap"] == pytest.approx(1)


def test_what_is_explained_is_one_minus_the_residual(rows):
    rng = np.random.default_rng(2)
    shapes = {"encoder": (12, 3), "decoder": (12, 3), "latent_bias": 3, "output_bias": 12}
    params = {name: 0.2 * rng.standard_normal(shape) for name, shape in shapes.items()}
    code = rows @ params["encoder"] + params["latent_bias"]
    residual = rows - code @ params["decoder"].T - params["output_bias"]
    variance = ((rows - rows.mean(axis=0)) ** 2).sum()
    found = principal.compared(scipy.sparse.csr_array(rows), params)
    assert found["explained"] == pytest.approx(1 - (residual**2).sum() / variance)
    assert found["explained"] < found["explained_pca"] < 1
    assert 0 < found["overlap"] < 1
