"""Recommendations for people who are not in the data."""

import numpy as np
import pytest

from aerec.core import Model, Traits
from aerec.errors import BadInput
from aerec.runs import recommend
from aerec.runs.artefact import Artefact

ITEMS = np.array([10, 20, 30, 40, 50, 60])
N = len(ITEMS)


def artefact(*, scale=None, threshold=4.0, titles=True, score=None, item_based=False):
    """A model whose weights send each listed column's value to its right neighbour."""
    weights = np.eye(N, k=1, dtype=np.float32)
    model = Model(
        traits=Traits("ranking"),
        init=lambda key: weights,
        encode=lambda params, x: x.dense() @ params,
        score=score or (lambda params, x: x.dense() @ params),
    )
    config = {
        "model": "shift", "dataset": "six", "item_based": item_based, "scale": scale,
        "protocol": {"threshold": threshold if scale is None else None},
    }  # fmt: skip
    names = np.array([f"film {i}" for i in ITEMS]) if titles else None
    return Artefact(model, weights, config, ITEMS, names, np.arange(3))


def test_ratings_below_the_threshold_are_no_input_of_a_model_that_never_saw_any():
    loaded = artefact(scale=(1.0, 5.0))
    loaded.config["protocol"]["threshold"] = 4.0  # the clicks' ratings are kept as values
    given = histories(loaded, item=[10, 30, 40], rating=[5.0, 3.5, 4.0])
    assert given.below == 1
    np.testing.assert_allclose(given.table.values, [5.0, 4.0])  # 4 reaches a threshold of 4


@pytest.mark.parametrize(("threshold", "below"), [("all", 0), (0, 1), (4.0, 2), (None, 0)])
def test_what_counts_as_a_click_in_a_history(threshold, below):
    """Of all, -1 is one; of those from 0 on it is none."""
    loaded = artefact(threshold=threshold)
    assert histories(loaded, item=[10, 30, 40], rating=[-1.0, 3.5, 4.0]).below == below


def histories(loaded, **columns):
    return recommend.read_histories(loaded, {n: np.array(v) for n, v in columns.items()})


def test_the_best_unseen_items_by_raw_id():
    loaded = artefact(scale=(1.0, 5.0))
    given = histories(loaded, user=["b", "b", "a"], item=[10, 30, 20], rating=[3.0, 5.0, 4.0])
    assert given.users == ["b", "a"]
    lines = recommend.recommend(loaded, given, k=2)
    assert lines[0][:4] == ("b", 1, "40", "film 40")
    assert lines[1][:4] == ("b", 2, "20", "film 20")
    np.testing.assert_allclose([line.score for line in lines[:2]], [5, 3])
    assert lines[2][:4] == ("a", 1, "30", "film 30")


def test_nothing_listed_comes_back_and_lists_end_where_items_do():
    loaded = artefact(titles=False)
    lines = recommend.recommend(loaded, histories(loaded, item=[10, 20, 30, 40]), k=100)
    assert [line.item for line in lines] == ["50", "60"]
    assert [line.rank for line in lines] == [1, 2]
    assert {line.title for line in lines} == {""}


def test_what_is_disliked_is_neither_read_nor_recommended():
    loaded = artefact()
    given = histories(loaded, item=[10, 40], rating=[5.0, 2.0])
    assert given.below == 1
    np.testing.assert_array_equal(given.table.values, [1])  # a click, as in training
    lines = recommend.recommend(loaded, given, k=N)
    assert lines[0].item == "20"
    scores = {line.item: line.score for line in lines}
    assert "40" not in scores
    assert scores["50"] == 0  # what stands beside the disliked item gains nothing from it


def test_of_an_item_listed_twice_the_last_entry_stands():
    loaded = artefact()
    assert histories(loaded, item=[10, 10], rating=[5.0, 2.0]).below == 1
    assert histories(loaded, item=[10, 10], rating=[2.0, 5.0]).below == 0


def test_items_and_people_that_are_not_known_are_named_once():
    given = histories(artefact(), user=["a", "b", "a"], item=["10", "oops", "oops"])
    assert given.unknown == ["oops"]
    assert given.users == ["a"]
    assert given.without == ["b"]


def test_nobody_is_taken_for_a_training_user():
    """A model that reads row numbers is given none of a training row, in any block."""

    def score(params, x):
        return x.dense() + 100.0 * (x.index >= 0)[:, None]

    loaded = artefact(score=score)
    given = histories(loaded, user=[f"u{i}" for i in range(5)], item=[10] * 5)
    lines = recommend.recommend(loaded, given, k=1, batch_size=2)
    assert [line.user for line in lines] == given.users
    assert all(line.score < 100 for line in lines)


def test_blocks_do_not_change_the_answer():
    loaded = artefact(scale=(1.0, 5.0))
    rng = np.random.default_rng(0)
    user, item = np.nonzero(rng.random((7, N)) < 0.4)
    rating = rng.permuted(np.arange(len(user)) % 5 + 1.0)
    given = histories(loaded, user=user.astype(str), item=ITEMS[item], rating=rating)
    whole = recommend.recommend(loaded, given, k=3)
    assert recommend.recommend(loaded, given, k=3, batch_size=2) == whole


@pytest.mark.parametrize(
    ("options", "columns", "message"),
    [
        ({"item_based": True}, {"item": [10]}, "item-based.*cannot fold one in.*multvae or ease"),
        ({"scale": (1, 5)}, {"item": [10]}, "has no ratings.*add a column `rating`"),
        ({}, {"item": ["x", "y"]}, "none of its 2 items is known.*six, for example 10, 20, 30"),
    ],
)
def test_what_is_refused(options, columns, message):
    with pytest.raises(BadInput, match=message):
        histories(artefact(**options), **columns)


def test_no_item_is_no_answer():
    loaded = artefact()
    with pytest.raises(BadInput, match="at least one item"):
        recommend.recommend(loaded, histories(loaded, item=[10]), k=0)
