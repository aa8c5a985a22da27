"""The geometry of a run against its own scores."""

import jax
import numpy as np
import pytest

import aerec
from aerec.errors import BadInput
from aerec.runs import geometry


@pytest.fixture(scope="module")
def split():
    rng = np.random.default_rng(0)
    user, item = np.nonzero(rng.random((80, 24)) < 0.3)
    return aerec.split(aerec.ratings((user, item), log=str), "strong", min_user=1,
                       valid_users=10, test_users=30, log=str)  # fmt: skip


@pytest.fixture(scope="module", params=["ials", "multvae"])
def run(request, split):
    small = {"latent": 3} if request.param == "ials" else {"hidden": (6,), "latent": 3, "epochs": 2}
    return aerec.fit(request.param, split, show=False, log=str, **small)


def test_the_users_queries_reach_what_their_scores_rank_first(run, split):
    found = geometry.examine(run.artefact(0), split, k=3, users=100)
    rows = [np.asarray(part.dense()) for part in map(_rows, (split.train, split.test.input))]
    train, tested = (np.asarray(run.model.score(run.params, jax.numpy.asarray(x))) for x in rows)
    firsts = set(train.argmax(axis=1).tolist())
    figures = geometry.figures(found)
    assert figures["items"] == 24
    assert figures["reachable by the users"] == pytest.approx(len(firsts) / 24)
    assert figures["reachable"] >= figures["reachable by the users"]
    right = []
    target = np.asarray(_rows(split.test.target).dense()) > 0
    for x, y, held in zip(rows[1], tested, target, strict=True):
        if held.any():
            best = np.argsort(-np.where(x > 0, -np.inf, y))[: min(3, held.sum())]
            right.append(held[best].all())
    assert len(right) == len(found.ceiling.possible)
    assert found.ceiling.by_users == pytest.approx(np.mean(right))
    assert found.ceiling.share >= found.ceiling.by_users


def _rows(table):
    index, capacity = table.blocks(table.num_rows)
    return table.gather(index[0], capacity)


def test_models_without_a_dot_product_have_no_geometry(split):
    loaded = aerec.fit("popularity", split, show=False, log=str).artefact(0)
    for model in (loaded.model, loaded.model._replace(item_codes=None)):
        with pytest.raises(BadInput, match="popularity ranks by no dot product"):
            geometry.examine(loaded._replace(model=model), split)
