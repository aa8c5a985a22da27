"""The study of latent activations: replicas beside a loop, its measures by hand, one cell whole."""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import aerec
from aerec.core import Facts
from aerec.errors import BadInput
from aerec.models import factor_ae
from experiments import latent, latent_cells, replicas


@pytest.fixture(scope="module")
def data():
    ratings = aerec.load("synthetic:users=160,items=40,ratings=2600,seed=3")
    split = aerec.split(ratings, "strong", valid_users=25, test_users=25)
    return latent_cells.vectors_of(split, {"size": 12})


def test_the_vectors_are_those_of_the_model(data):
    system = factor_ae.system(data.config, Facts.of(data.split.train))
    params, table = {"features": data.features}, data.split.train
    x = table.gather(jnp.arange(table.num_rows), len(table.columns))
    users = np.asarray(system.users(params, x))
    np.testing.assert_allclose(data.vectors[: len(users)], users, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(data.vectors[len(users) :], system.items(params), rtol=1e-6)
    lengths = np.asarray(data.items**2).sum(1)
    assert np.mean(lengths[lengths > 0]) == pytest.approx(1, rel=1e-4)


def test_a_replica_is_trained_as_by_itself_and_by_a_loop(data):
    config = factor_ae.Config(size=12, latent=3, latent_activation="tanh")
    system = factor_ae.system(config, Facts.of(data.split.train))
    v, epochs, size = data.vectors[:100], 3, 30
    settings = [replicas.Settings(0.01, 0.0, 4), replicas.Settings(0.03, 0.01, 5)]
    train = lambda own: replicas.train(  # noqa: E731
        system, data.features, v, own, epochs=epochs, checkpoints=(1, 3), batch_size=size
    )
    both, second = train(settings), train(settings[1:])
    for a, b in zip(jax.tree.leaves(both[3]), jax.tree.leaves(second[3]), strict=True):
        np.testing.assert_allclose(a[1], b[0], rtol=1e-4, atol=1e-5)

    key = jax.random.key(5)
    network = system.init(jax.random.clone(key))["network"]
    total = itertools.count()
    schedule = lambda n: 0.03 * (1 + np.cos(np.pi * n / 12)) / 2  # noqa: E731
    adam = optax.scale_by_adam()
    moments = adam.init(network)

    @jax.jit
    @jax.grad
    def gradient(network, x):
        error = x - system.decode({"network": network}, x)
        kernels = [w for w in jax.tree.leaves(network) if w.ndim > 1]
        return (error**2).sum(1).mean() + 0.005 * sum((w**2).sum() for w in kernels)

    update = jax.jit(adam.update)
    for epoch in range(epochs):
        order_key = jax.random.split(jax.random.fold_in(jax.random.clone(key), epoch))[0]
        order = np.resize(jax.random.permutation(order_key, 100), (4, 25))
        for rows in order:
            change, moments = update(gradient(network, v[rows]), moments)
            rate = schedule(next(total))
            network = jax.tree.map(lambda w, c, rate=rate: w - rate * c, network, change)
    for a, b in zip(jax.tree.leaves(second[3]), jax.tree.leaves(network), strict=True):
        np.testing.assert_allclose(a[0], b, rtol=1e-3, atol=1e-4)


def test_one_cell(data, monkeypatch):
    monkeypatch.setattr(latent_cells, "RATES", (0.01, 0.03))
    monkeypatch.setattr(latent_cells, "DECAYS", (0.0,))
    monkeypatch.setattr(latent_cells, "SEEDS", (1, 2))
    cell = latent_cells.Cell("synthetic", "spectral", 3, False, "relu", epochs=4)
    found = latent_cells.measure(cell, data)
    assert [row["similarity"] for row in found["rows"]] == list(latent_cells.SIMILARITIES)
    for row in found["rows"]:
        assert len(row["ndcg@100"]) == 2 and 0 < row["validation"] <= 1
        assert row["early"]["ndcg@100"] <= row["validation"] and row["epochs"] in (1, 2, 4)
        assert 0.4 < row["order"] <= 1 and 1 <= row["rank"] <= 12
        assert np.mean(row["per_row"]) == pytest.approx(np.mean(row["ndcg@100"]), abs=1e-4)
    model = factor_ae.make(
        factor_ae.Config(size=12, latent=3, latent_activation="relu", similarity="cosine"),
        Facts.of(data.split.train),
    )
    trained = latent_cells.train(cell, data, [replicas.Settings(0.01, 0.0, 1)])
    network = latent_cells.one(trained[4], 0)
    evaluate = aerec.evaluation.ranking.evaluator(model, names=("ndcg",), ks=(100,))
    params = {"features": data.features, "network": network}
    want = evaluate(params, data.split.valid).figures["ndcg@100"]
    compare = latent_cells.codes(cell, data, network, "cosine")
    found = latent_cells.ranked(data, "valid", compare).figures["ndcg@100"]
    assert found == pytest.approx(want, abs=1e-4)


def test_a_compression_in_closed_form_is_a_cell_too(data):
    found = {
        name: latent_cells.measure(latent_cells.Cell("synthetic", "spectral", 5, False, name), data)
        for name in latent_cells.LINEAR
    }
    for name, cell in found.items():
        rows = {row["similarity"]: row for row in cell["rows"]}
        assert all(len(row["ndcg@100"]) == 1 for row in rows.values())
        if name == "none":
            assert rows["dot"]["order"] == 1 and rows["decoder"]["order"] == 1
        else:
            assert rows["decoder"]["order"] < 1 and rows["dot"]["rank"] <= 5 + 1e-6
    same = found["pca_uncentred"]["rows"]
    assert same[0]["per_row"] == pytest.approx(same[3]["per_row"], abs=1e-4)  # orthonormal


def test_cells_resume_and_other_splits_take_the_settings_of_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(latent_cells, "RATES", (0.01,))
    monkeypatch.setattr(latent_cells, "DECAYS", (0.0, 0.001))
    monkeypatch.setattr(latent_cells, "SEEDS", (1,))
    monkeypatch.setattr(latent_cells, "SIZE", 12)
    monkeypatch.setattr(latent_cells, "GRIDS", {"spectral": {"power": (0.0, 0.5)}})
    given = {
        "output": str(tmp_path), "data_dir": None, "activations": ["tanh"], "tied": "yes",
        "datasets": ["synthetic:users=160,items=40,ratings=2600,seed=3"], "latents": ["3"],
        "features": ["spectral"], "splits": ["1"], "epochs": 2,
    }  # fmt: skip
    with pytest.raises(BadInput, match="--splits=0 first"):
        latent.main(given)
    latent.main({**given, "splits": ["0", "1"]})
    first, second = sorted(tmp_path.glob("*tanh*.json"))
    for name in ("rate", "decay", "epochs", "validation"):
        read = [json.loads(path.read_text())["rows"] for path in (first, second)]
        assert [row[name] for row in read[0]] == [row[name] for row in read[1]]
    assert first.stat().st_mtime_ns < second.stat().st_mtime_ns
    before = second.read_bytes()
    second.unlink()
    latent.main({**given, "splits": ["0", "1"]})
    again, old = json.loads(second.read_text()), json.loads(before)
    assert again["rows"] == old["rows"] and again["made"]["split_hash"] == old["made"]["split_hash"]
