"""The peers in PyTorch: their figures, scores and losses, and a recipe beside them."""

import json

import jax
import numpy as np
import pytest

import aerec
from aerec import models
from aerec.core import Facts
from aerec.errors import BadInput
from aerec.runs import scoring
from experiments import quality, records

torch = pytest.importorskip("torch")

from experiments import phases, torch_loop, torch_nets  # noqa: E402

DATA = "synthetic:users=120,items=150,ratings=4000"


@pytest.fixture(scope="module")
def clicks():
    ratings = aerec.load(DATA)
    return aerec.split(ratings, "strong", threshold="all", valid_users=20, test_users=20)


class Known(torch_nets.Net):
    """Scores [R, N] that are known, by the number of the row."""

    def __init__(self, scores):
        super().__init__()
        self.scores = torch.from_numpy(scores)

    def loss(self, x, step, rows):
        return x.sum()

    def score(self, x, rows):
        return self.scores[torch.from_numpy(rows)]


def test_the_peers_ndcg_is_ours(clicks):
    part = scoring.numbered(clicks.test)
    scores = np.random.default_rng(0).normal(size=(20, clicks.train.num_columns))
    scores = scores.astype(np.float32)
    ours = scoring.evaluator(scoring.by_number(lambda s, row: s[row]), clicks, "ndcg@100")
    theirs = torch_loop.scorer(Known(scores), clicks, part)
    assert theirs() == pytest.approx(ours(scores, part).figures["ndcg@100"], abs=1e-6)


def test_the_peers_rmse_is_ours():
    split = aerec.split(aerec.load(DATA), "random_ratings")
    scores = 4 + 2 * np.random.default_rng(0).normal(size=(120, split.train.num_columns))
    scores = scores.astype(np.float32)
    ours = scoring.evaluator(scoring.by_number(lambda s, row: s[row]), split, "rmse")
    part = scoring.numbered(split.valid)
    theirs = torch_loop.scorer(Known(scores), split, part)
    assert theirs() == pytest.approx(ours(scores, part).figures["rmse"], abs=1e-5)


def test_the_scores_of_multvae_are_ours(clicks):
    """With the same parameters, outside training."""
    columns = clicks.train.num_columns
    model = models.build("multvae", {"hidden": (600,), "latent": 200}, Facts.of(clicks.train))
    params = model.init(jax.random.key(0))
    kernels = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 2]
    net = torch_nets.MultVAE(columns).eval()
    layers = [net.encoder[0], net.encoder[2], net.decoder[0], net.decoder[2]]
    shapes = {tuple(layer.weight.T.shape): layer for layer in layers}
    assert len(shapes) == 4
    with torch.no_grad():
        for kernel in kernels:
            shapes[kernel.shape].weight.copy_(torch.from_numpy(np.array(kernel.T)))
        x = torch_loop.matrix(clicks.train)[:5]
        theirs = net.score(net.read(x), np.arange(5)).numpy()
    np.testing.assert_allclose(theirs, model.score(params, x.toarray()), atol=1e-4)


def test_histories_stay_in_their_order():
    split = aerec.split(aerec.load(DATA), "strong_by_time", valid_users=20, test_users=20)
    net = torch_nets.SVAE(split.train.num_columns)
    first, columns = np.asarray(split.train.indptr), np.asarray(split.train.columns)
    for row, history in enumerate(net.read(torch_loop.matrix(split.train)[[7, 3]])):
        at = (7, 3)[row]
        np.testing.assert_array_equal(history.numpy(), columns[first[at] : first[at + 1]])
        assert not np.all(np.diff(history.numpy()) > 0)


def test_the_loss_of_svae():
    """The likelihood of the next four items over four, a sum over the steps; the KL their mean."""
    torch.manual_seed(0)
    net = torch_nets.SVAE(9).eval()
    history = torch.tensor([3, 1, 4, 1, 5, 8])
    z, mean, log_variance = (own.detach() for own in net(history[:-1]))
    log_chance = torch.log_softmax(net.decoder(z), dim=1).detach()
    expected = 0.0
    for step in range(5):
        expected -= sum(float(log_chance[step, item]) for item in history[step + 1 : step + 5]) / 4
    variance = np.exp(log_variance.numpy())
    kl = 0.5 * (variance + mean.numpy() ** 2 - 1 - np.log(variance)).sum(axis=1).mean()
    found = net.loss([history], 2_000, np.arange(1)).item()
    assert found == pytest.approx(expected + 0.1 * kl, rel=1e-5)


def test_models_are_measured_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(records.add, "__defaults__", (tmp_path,))
    given = {"models": ["multdae", "autorec"], "dataset": DATA, "data_dir": None,
             "epochs": 2, "output": str(tmp_path / "cells"), "record": True}  # fmt: skip
    quality.main(given)
    monkeypatch.setattr(quality, "prepared", None)  # nothing is measured again
    quality.main(given)
    _, rows = records.read(quality.FILE, tmp_path)
    assert [row.label for row in rows] == given["models"]
    for row in rows:
        assert 0 < row.figures["peer_training_seconds"] <= row.figures["peer_seconds"]
        assert row.figures["aerec_compile_seconds"] > 0 and row.figures["threads"] >= 1
        assert row.versions["torch"] and row.test_scored == 0 and f"={row.label} " in row.command
    content = json.loads((tmp_path / "cells" / "multdae.json").read_text())
    assert len(content["peer"]) == 2 and content["aerec"]


def test_an_evaluation_against_the_peer(clicks, monkeypatch):
    spec, split = quality.prepared("multdae_ml1m", DATA, None)
    monkeypatch.setattr(phases, "PAUSE", 0.0)
    found = phases.evaluate(spec, split, "torch")
    assert found["share"] == found["aerec_seconds"] / found["peer_seconds"]
    assert found["columns"] == split.train.num_columns and found["rows"] == split.train.num_rows
    with pytest.raises(BadInput, match="only peer"):
        phases.evaluate(spec, split, "implicit")
