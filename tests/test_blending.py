"""Blends: their scores by NumPy, their weights chosen on validation, used like any run."""

import json

import numpy as np
import pytest

import aerec
from aerec import blending, models
from aerec.core import Facts
from aerec.models import blend


@pytest.fixture(scope="module")
def fitted():
    ratings = aerec.load("synthetic:users=300,items=60,ratings=9000,seed=3")
    split = aerec.split(ratings, "strong", valid_users=60, test_users=60)
    runs = [aerec.fit(name, split) for name in ("ease", "popularity", "itemknn")]
    return split, runs, aerec.blend(runs, split, metric="ndcg@10")


def test_a_blend_weighs_standardised_scores(fitted):
    split, runs, run = fitted
    history = [str(item) for item in split.item_ids[:4]]
    total = 0.0
    weights = np.asarray(run.params["weights"])
    for own, weight in zip(runs, weights, strict=True):
        y = own.predict(history, split.item_ids.tolist())["score"].to_numpy()
        total = total + weight * (y - y.mean()) / y.std()
    scores = run.predict(history, split.item_ids.tolist())["score"].to_numpy()
    np.testing.assert_allclose(scores, total, rtol=1e-4, atol=1e-5)
    assert weights.sum() == pytest.approx(1) and (weights >= 0).all()


def test_the_weights_are_no_worse_on_validation_than_each_run(fitted):
    split, runs, run = fitted
    figure = blending._figure_of(runs, split, "ndcg@10")
    alone = [figure(weights) for weights in np.eye(3)]
    best = run.results["validation"]["best"][0]
    assert best >= max(alone) and best == pytest.approx(figure(np.asarray(run.params["weights"])))
    swapped = split._replace(test=split.valid, test_ids=split.valid_ids)
    on_validation = aerec.evaluate(aerec.fit("ease", swapped), swapped)["ndcg@10"]
    assert alone[0] == pytest.approx(float(on_validation), rel=1e-5)
    assert run.results["test_scored"] == 1


def test_a_blend_is_saved_and_opened_like_any_run(fitted, tmp_path):
    split, _, run = fitted
    run.save(tmp_path / "blend")
    again = aerec.open(tmp_path / "blend")
    history = [str(item) for item in split.item_ids[:4]]
    assert again.recommend(history).equals(run.recommend(history))
    assert float(again.test["ndcg@10"]) == float(run.test["ndcg@10"])
    assert aerec.compare(again, run, "ndcg@10").difference == 0
    assert run.export(tmp_path / "blend.stablehlo").exists()


def test_the_search_finds_the_maximum_of_a_concave_function():
    target = np.array([0.55, 0.15, 0.3])
    found, best = blending.search(lambda w: -np.sum((w - target) ** 2), 3)
    np.testing.assert_allclose(found, target, atol=0.051)
    assert best == pytest.approx(-np.sum((found - target) ** 2))


def test_what_cannot_be_blended(fitted):
    split, runs, _ = fitted
    other = aerec.split(aerec.load("synthetic:users=300,items=60,ratings=9000,seed=4"), "strong")
    with pytest.raises(aerec.BadInput, match="fitted on another split"):
        aerec.blend(runs, other)
    with pytest.raises(aerec.BadInput, match="at least two"):
        aerec.blend(runs[:1], split)
    with pytest.raises(aerec.BadInput, match="no run"):
        aerec.blend([runs[0], "ease"], split)
    with pytest.raises(aerec.BadInput, match="no split"):
        aerec.blend(runs, [split])
    for wrong in ("ease", '["ease"]', '[["ease", {}]]', '[["ease", {}], ["bias", {}]]'):
        with pytest.raises(aerec.BadInput, match="members"):
            models.configure("blend", {"members": wrong})
    with pytest.raises(aerec.BadInput, match="has to be trained"):
        members = json.dumps([["multvae", {}], ["ease", {}]])
        aerec.fit("blend", split, members=members)


def test_a_constant_row_is_no_nan():
    y = np.array([[2.0, 2.0, 2.0], [1.0, 2.0, 3.0]])
    z = np.asarray(blend.standardised(y))
    np.testing.assert_allclose(z, [[0, 0, 0], [-(1.5**0.5), 0, 1.5**0.5]], rtol=1e-5)
    assert models.build("blend", {}, Facts(3, 4)).solve is not None
