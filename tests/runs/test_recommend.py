"""Recommendations, predictions and explanations for users who are not in the data."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse

from aerec.core import Facts, Model, Table, Traits
from aerec.data.splits import weak
from aerec.errors import BadInput, NotNumbers
from aerec.evaluation import ranking
from aerec.models import ease, elsa, itemknn, mdae, sparse_ease
from aerec.runs.artefact import Artefact, Vocabulary
from aerec.runs.recommend import Recommender

ITEMS = np.array([10, 20, 30, 40, 50, 60])
N = len(ITEMS)
WEIGHTS = np.eye(N, k=1, dtype=np.float32)


def recommender(
    *, scale=None, threshold=4.0, titles=True, score=None, item_based=False, linear=True, **codes
):
    """A model whose weights send each listed column's value to its right neighbour."""
    model = Model(
        traits=Traits("ranking", linear=linear),
        init=lambda key: WEIGHTS,
        encode=lambda params, x: x.dense() @ params,
        score=score or (lambda params, x: x.dense() @ params),
        **codes,
    )
    config = {
        "model": "shift", "dataset": "six", "item_based": item_based, "scale": scale,
        "protocol": {"threshold": threshold if scale is None else None},
    }  # fmt: skip
    names = np.array([f"film {i}" for i in ITEMS]) if titles else None
    return Recommender(Artefact(model, WEIGHTS, config, Vocabulary(ITEMS, names, np.arange(3))))


def frame(**columns):
    return pl.DataFrame({name: np.array(values) for name, values in columns.items()})


def answered(of, source, **options):
    return of.recommend(of.reader(source), **options)


def test_the_best_unseen_items_by_raw_id():
    of = recommender(scale=(1.0, 5.0))
    given = frame(user=["b", "b", "a"], item=[10, 30, 20], rating=[3.0, 5.0, 4.0])
    answer, notes = answered(of, given, k=2)
    assert answer.columns == ["user", "rank", "item", "title", "score"]
    assert answer.rows()[:3] == [
        ("b", 1, 40, "film 40", 5.0), ("b", 2, 20, "film 20", 3.0), ("a", 1, 30, "film 30", 4.0),
    ]  # fmt: skip
    assert not notes


def test_nothing_listed_comes_back_and_lists_end_where_items_do():
    of = recommender(titles=False)
    answer, notes = answered(of, ["10", "20", "30", "40"], k=100)
    assert answer.columns == ["rank", "item", "title", "score"]
    assert answer["item"].to_list() == [50, 60] and answer["rank"].to_list() == [1, 2]
    assert answer["title"].to_list() == [None, None] and not notes


SOURCES = {
    "lists": [[10, 30], [20]],
    "text": [["10", "30"], ["20"]],
    "polars": frame(user=[0, 0, 1], item=[10, 30, 20]),
    "pandas": pd.DataFrame({"user": [0, 0, 1], "item": ["10", "30", "20"]}),
    "floats": pd.DataFrame({"user": [0, 0, 1], "item": [10.0, 30.0, 20.0]}),
    "arrow": pa.table({"user": [0, 0, 1], "item": [10, 30, 20]}),
    "time": frame(user=[1, 0, 0], item=[20, 30, 10], time=[7, 5, 4]),
    "matrix": scipy.sparse.csr_array(np.eye(N)[[0, 1]] + np.eye(N)[[2, 2]] * [[1], [0]]),
}


@pytest.mark.parametrize("name", SOURCES)
def test_histories_in_whatever_they_come(name):
    of = recommender()
    expected, _ = answered(of, SOURCES["lists"], k=2)
    histories = of.reader(SOURCES[name])
    by_user = dict(zip(histories.users, histories.read.toarray().tolist(), strict=True))
    assert by_user == {0: [1, 0, 1, 0, 0, 0], 1: [0, 1, 0, 0, 0, 0]}
    answer, _ = of.recommend(histories, k=2)
    assert answer.sort("user", "rank").rows() == expected.rows()
    if name == "time":
        assert histories.read[[histories.users.index(0)]].indices.tolist() == [0, 2]  # in time


def test_what_is_disliked_is_neither_read_nor_recommended():
    of = recommender()
    given = of.reader({10: 5.0, 40: 2.0})
    assert given.dropped == 1
    np.testing.assert_array_equal(given.read.toarray(), np.eye(N)[[0]])  # a click, as in training
    answer, notes = of.recommend(given, k=N)
    assert answer["item"][0] == 20
    scores = dict(zip(answer["item"], answer["score"], strict=True))
    assert 40 not in scores
    assert scores[50] == 0  # what follows the disliked item gains nothing from it
    assert "below the threshold of a click (4.0): 1." in notes[0]


def test_a_rating_at_the_threshold_is_a_click_and_all_is_no_threshold():
    given = frame(user=[1, 1, 1], item=[10, 30, 40], rating=[5.0, 3.5, 4.0])
    assert recommender().reader(given).read.toarray()[0].tolist() == [1, 0, 0, 1, 0, 0]
    every = recommender(threshold="all").reader(given)
    assert every.read.toarray()[0].tolist() == [1, 0, 1, 1, 0, 0] and not every.dropped
    zero = recommender(threshold=0.0).reader({10: -1.0, 20: 0.0})
    assert zero.read.toarray()[0].tolist() == [0, 1, 0, 0, 0, 0]  # a threshold like any other


def test_of_an_item_listed_twice_the_last_entry_counts():
    of = recommender(scale=(1.0, 5.0))
    given = of.reader(frame(item=[10, 20, 10], rating=[5.0, 1.0, 2.0]))
    assert given.read.toarray()[0].tolist() == [2, 1, 0, 0, 0, 0]


def test_items_and_users_that_are_not_known_are_named_once():
    of = recommender()
    given = of.reader(frame(user=["a", "b", "a"], item=["10", "oops", "oops"]))
    assert given.unknown == ["oops"] and given.users == ["a"] and given.without == ["b"]
    notes = given.notes()
    assert "Items unknown to the model are left out: oops." in notes
    assert "No known item, hence no answer, for users b." in notes


def test_who_gets_no_answer_is_named():
    of = recommender()
    answer, notes = answered(of, frame(user=["a", "b"], item=[10, 20], rating=[5.0, 3.9]))
    assert set(answer["user"]) == {"a"}
    (note,) = notes
    assert note == "No rating reaches the threshold of a click (4.0), hence no answer, for users b."
    answer, notes = answered(of, [[], [10]])
    assert set(answer["user"]) == {1} and "for users 0" in notes[0]
    answer, notes = answered(of, [])
    assert not len(answer) and notes == ["No known item, hence no answer, for this history."]
    answer, notes = answered(of, ITEMS.tolist())
    assert not len(answer) and "No item is left to recommend for this history" in notes[0]


def test_only_among_some_items_without_others_or_with_those_seen():
    of = recommender()
    answer, _ = answered(of, ["10"], k=2, among=["20", "60"])
    assert answer["item"].to_list() == [20, 60]
    answer, _ = answered(of, ["60"], k=2, among=[10, 50])  # the first column is one like others
    assert sorted(answer["item"]) == [10, 50]
    assert answered(of, ["60"], exclude=[10])[1] == []
    answer, notes = answered(of, ["10"], exclude=[20, "what"])
    assert 20 not in answer["item"] and len(answer) == 4
    assert notes == ["Items of `exclude` unknown to the model: what."]
    answer, _ = answered(of, ["10", "20"], keep_seen=True, k=2)
    assert answer["item"].to_list() == [20, 30] or answer["item"].to_list() == [30, 20]
    with pytest.raises(BadInput, match="none of its items"):
        answered(of, ["10"], among=["what"])


def test_nobody_is_taken_for_a_training_user_in_any_batch():
    def score(params, x):
        return x.dense() + 100.0 * (x.index >= 0)[:, None]

    answer, _ = answered(recommender(score=score), [[10]] * 300, k=1)
    assert answer["user"].to_list() == list(range(300))
    assert (answer["score"] < 100).all()


def test_the_size_of_a_batch_does_not_change_the_answer():
    of = recommender(scale=(1.0, 5.0))
    rng = np.random.default_rng(0)
    lists = [{int(i): float(rng.integers(1, 6)) for i in rng.choice(ITEMS, 2)} for _ in range(70)]
    rows = [(u, i, r) for u, own in enumerate(lists) for i, r in own.items()]
    user, item, rating = map(list, zip(*rows, strict=True))
    together, _ = answered(of, frame(user=user, item=item, rating=rating), k=3)
    for number, own in enumerate(lists):
        alone, _ = answered(of, own, k=3)
        assert together.filter(pl.col("user") == number).drop("user").rows() == alone.rows()


def test_it_ranks_as_the_evaluation_does_with_ties():
    """Scores of few levels tie often: the lists are those of the evaluator, in its order."""
    rng = np.random.default_rng(1)
    users, items = 40, 30
    seen = rng.random((users, items)) < 0.2
    seen[:, 0] = True
    levels = rng.integers(0, 3, (items, items)).astype(np.float32)

    def score(params, x):
        return x.dense() @ levels

    model = Model(Traits("ranking"), lambda key: levels, score, score)
    config = {"model": "x", "dataset": "x", "item_based": False, "scale": None, "protocol": {}}
    names = Vocabulary(np.arange(items), None, np.arange(1))
    of = Recommender(Artefact(model, levels, config, names))
    answer, _ = answered(of, scipy.sparse.csr_array(seen.astype(float)), k=5)
    listed = answer["item"].to_numpy().reshape(users, 5)
    # Each user's target is what stands at one rank: the evaluator finds it exactly there.
    for rank in range(5):
        row, column = np.nonzero(seen)
        source = Table.from_entries(
            row, column, np.ones(len(row)), num_rows=users, num_columns=items
        )
        target = Table.from_entries(
            np.arange(users), listed[:, rank], np.ones(users), num_rows=users, num_columns=items
        )
        evaluate = ranking.evaluator(model, ks=(5,), names=("mrr",))
        report = evaluate(levels, weak(source, target))
        np.testing.assert_allclose(report.per_row["mrr@5"], 1 / (rank + 1), rtol=1e-6)


def test_a_score_that_is_no_number_is_an_error():
    broken = recommender(score=lambda params, x: x.dense() * jnp.nan)
    with pytest.raises(NotNumbers, match="shift scores NaN"):
        answered(broken, ["10"])
    with pytest.raises(NotNumbers, match="shift scores NaN"):
        broken.predict(["10"], ["20"])


def test_compiled_once_for_a_shape():
    traced = []

    def score(params, x):
        traced.append(x.shape)
        return x.dense() @ params

    of = recommender(score=score)
    for size in (1, 2, 3, 1):
        for start in range(3):
            answered(of, ITEMS[start : start + size].tolist(), k=2 + start)
    answered(of, [[10]] * 5, k=5)
    answered(of, [[10, 20]] * 7, k=2)
    assert traced == [(1, N), (8, N)]


@pytest.mark.parametrize(
    ("options", "source", "message"),
    [
        ({"scale": (1, 5)}, [10], "has no ratings.*a column `rating`"),
        ({}, ["x", "y"], "none of its 2 items is known.*six, for example 10, 20, 30"),
        ({}, frame(film=[10]), "has no column `item`; it has film"),
        ({}, scipy.sparse.csr_array(np.eye(4)), "4 columns, and the model has 6"),
        ({}, {10: float("nan")}, "entry 1: the rating nan is not a finite number"),
        ({}, {10: "good"}, "a rating is not a number"),
        ({}, None, "NoneType is no list of ids"),
        ({}, 10, "int is no list of ids"),
        ({}, "10", "str is no list of ids"),
        ({}, b"10", "bytes is no list of ids"),
        ({}, np.array(10), "ndarray is no list of ids"),
        ({}, np.eye(N), "ndarray is no list of ids"),
        ({}, [[10], 20], "lists of ids alone"),
        ({}, [10, [20]], "lists of ids alone"),
        ({}, {"a": [10, 20]}, "a mapping is one history"),
        ({}, {"10": [5], "20": [4]}, "a mapping is one history"),
        ({}, {"a": {10: 5}}, "a rating is not a number"),
        ({}, frame(user=["a", None], item=[10, 20]), "entry 2: the user is missing"),
        ({}, frame(user=[1.0, np.nan], item=[10, 20]), "entry 2: the user is missing"),
        ({}, frame(item=[10, 20], time=[5.0, np.nan]), "entry 2: the time"),
        ({}, pd.DataFrame([[10, 20]], columns=["item"] * 2), "several columns item"),
        ({}, scipy.sparse.csr_array(np.full((1, N), np.nan)), "the rating nan is not a finite"),
        ({}, scipy.sparse.csr_array(np.full((1, N), 1j)), "a matrix of complex128"),
        ({"scale": (1, 5)}, {10: 5, 20: 5.5}, "entry 2: the rating 5.5 is off the scale"),
        ({"scale": (1, 5)}, scipy.sparse.csr_array(np.full((1, N), 9)), "the rating 9 is off"),
    ],
)
def test_what_is_refused(options, source, message):
    with pytest.raises(BadInput, match=message):
        recommender(**options).reader(source)


@pytest.mark.parametrize("k", [0, -1, 2.5, True, "3", None, np.float64(3), [1]])
def test_k_is_a_count(k):
    with pytest.raises(BadInput, match="ask for at least one item"):
        answered(recommender(), ["10"], k=k)
    with pytest.raises(BadInput, match="ask for at least one item"):
        recommender().similar(10, k=k)


@pytest.mark.parametrize("items", ["20", 20, np.eye(2), b"20"])
def test_one_id_is_no_list_of_ids(items):
    """Else the letters of "20" would be the items."""
    for option in ("among", "exclude"):
        with pytest.raises(BadInput, match=f"`{option}`: .* is no list of ids"):
            answered(recommender(), ["10"], **{option: items})
    with pytest.raises(BadInput, match=r"`items`: .* is no list of ids"):
        recommender().predict(["10"], items)


def test_stored_zeros_of_a_matrix_are_no_entries():
    matrix = scipy.sparse.csr_array(([0.0, 1.0], [0, 2], [0, 2]), shape=(1, N))
    found = recommender().reader(matrix)
    for part in (found.read, found.seen):
        assert part.toarray()[0].tolist() == [0, 0, 1, 0, 0, 0]
    assert matrix.nnz == 2, "the argument stays"


def test_dates_in_text_order_a_history():
    early, late = "2020-01-31 23:00", "2020-02-01T01:00+05:00"  # which is 20:00 UTC, earlier
    given = frame(item=[10, 20], time=[early, late])
    found = recommender().reader(given.vstack(frame(item=[10], time=["2019-12-31"])))
    assert sorted(found.read.indices.tolist()) == [0, 1]
    order = frame(item=[10, 10], rating=[5.0, 1.0], time=[early, late])
    assert recommender().reader(order).read.nnz == 1  # the last by time is the click


def test_an_item_based_model_folds_nobody_in():
    with pytest.raises(BadInput, match=r"item-based.*cannot fold one in.*multvae or ease"):
        recommender(item_based=True).reader([10])


def test_no_item_is_no_answer():
    with pytest.raises(BadInput, match="at least one item"):
        answered(recommender(), ["10"], k=0)


def test_predictions_of_pairs():
    of = recommender(scale=(1.0, 5.0), score=lambda params, x: 3 * x.dense() @ params)
    answer, notes = of.predict({10: 1.0, 30: 5.0}, ["20", "40", "60", "what"])
    assert answer.rows() == [
        ("20", "film 20", 3.0), ("40", "film 40", 5.0), ("60", "film 60", 1.0),
        ("what", None, None),
    ]  # fmt: skip
    assert notes == ["Unknown items have no score: what."]
    first, notes = of.predict({20: 1.0}, [10])
    assert not notes and first.rows() == [(10, "film 10", 1.0)]  # of the first column too
    assert of.predict({20: 1.0}, [10, "what"])[0]["title"].to_list() == ["film 10", None]
    of = recommender(scale=(1.0, 5.0))
    histories = frame(user=["a", "b"], item=[10, 20], rating=[2.0, 4.0])
    pairs = frame(user=["b", "a", "c"], item=[30, 20, 20])
    for asked in (pairs, pairs.lazy()):
        answer, notes = of.predict(histories, asked)
        assert answer["user"].to_list() == ["b", "a", "c"]
        assert answer["score"].to_list() == [4.0, 2.0, None]
        assert notes == ["No history, hence no score, for users c."]


def test_predictions_keep_the_order_of_the_histories():
    answer, _ = recommender().predict([[10], [], [20], ["what"]], [20, 30.0])
    assert answer["user"].to_list() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert answer["item"].to_list() == [20, 30] * 4
    assert answer["score"].to_list() == [1, 0, None, None, 0, 1, None, None]


def test_an_item_without_a_training_rating_is_predicted_as_in_the_evaluation():
    of = recommender(scale=(1.0, 5.0))
    counts = np.array([1, 0, 1, 1, 1, 1])
    known = of.vocabulary._replace(counts=counts)
    of = Recommender(Artefact(of.model, of.params, of.config, known))
    answer, _ = of.predict({10: 2.0, 20: 5.0}, [20, 30])
    assert answer["score"].to_list() == [3.0, 5.0]


def linear(module, rng, users=50, items=12, **settings):
    """A recommender of a linear model, fitted or as it begins, to random clicks."""
    row, column = np.nonzero(rng.random((users, items)) < 0.3)
    entries = Table.from_entries(row, column, np.ones(len(row)), num_rows=users, num_columns=items)
    model = module.make(module.Config(**settings), Facts.of(entries))
    params = model.solve(entries) if model.solve else model.init(jax.random.key(0))
    config = {"model": "it", "dataset": "x", "item_based": False, "scale": None, "protocol": {}}
    return Recommender(Artefact(model, params, config, Vocabulary(np.arange(items), None, None)))


LINEAR = [
    (ease, {"l2": 5.0}), (sparse_ease, {"l2": 5.0, "neighbours": 4}), (itemknn, {"neighbours": 4}),
    (elsa, {"latent": 5}), (mdae, {}),
]  # fmt: skip


@pytest.mark.parametrize(("module", "settings"), LINEAR)
def test_contributions_sum_to_the_score_and_weights_say_what_is_similar(module, settings):
    of = linear(module, np.random.default_rng(2), **settings)
    rows = np.concatenate([np.eye(12), np.zeros((1, 12))]).astype(np.float32)
    y = np.asarray(of.model.score(of.params, jnp.asarray(rows)))
    weights, constant = y[:-1] - y[-1], y[-1]  # W and b by rows of one item, and of none
    found, notes = of.explain([3, 5, 7], 1)
    listed = found.filter(pl.col("item").is_not_null())
    expected = {item: weights[item, 1] for item in (3, 5, 7)}
    assert dict(zip(listed["item"], listed["contribution"], strict=True)) == pytest.approx(
        expected, abs=1e-6
    )
    assert listed["contribution"].is_sorted(descending=True) and not notes
    assert (len(found) == 4) == bool(constant[1]) == (module is mdae)
    score = of.predict([3, 5, 7], [1])[0]["score"][0]
    assert found["contribution"].sum() == pytest.approx(score, abs=1e-5)
    similar = of.similar(0, k=3)  # the first column is an item like others
    order = [i for i in np.argsort(-weights[0], kind="stable") if i != 0]
    np.testing.assert_allclose(similar["similarity"], weights[0][order[:3]], atol=1e-6)


def test_a_history_that_cannot_be_explained_says_why():
    of = linear(ease, np.random.default_rng(2))
    assert of.explain([3, "nope"], 1)[1] == ["Items unknown to the model are left out: nope."]
    with pytest.raises(BadInput, match="explain one history at a time"):
        of.explain([[3], [5]], 1)
    with pytest.raises(BadInput, match="No rating reaches the threshold"):
        recommender().explain({10: 3.0}, 20)


def test_similar_items_by_the_cosine_of_their_codes():
    codes = np.random.default_rng(3).normal(size=(N, 4)).astype(np.float32)
    of = recommender(linear=False, item_codes=lambda params: codes)
    length = np.linalg.norm(codes, axis=1)
    cosine = codes @ codes[2] / length / length[2]
    order = [i for i in np.argsort(-cosine) if i != 2][:3]
    found = of.similar("30", k=3)
    assert found["item"].to_list() == ITEMS[order].tolist()
    np.testing.assert_allclose(found["similarity"], cosine[order], rtol=1e-5)
    with pytest.raises(BadInput, match="knows no item 'what'"):
        of.similar("what")
    names = "ease, elsa, itemknn, mdae, sparse_ease"
    with pytest.raises(BadInput, match=rf"shift is not linear.* are {names}\."):
        of.explain(["10"], "20")
    with pytest.raises(BadInput, match="shift has no item codes"):
        recommender(linear=False).similar("30")


def test_no_warning_of_numpy_or_polars_escapes():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answered(recommender(), frame(user=["a"], item=[10]), k=3)


def test_the_threshold_is_compared_as_in_training():
    """3.3 in float32 is below 3.3 in float64, and reaches a threshold of 3.3 in both places."""
    of = recommender(threshold=3.3)
    given = pl.DataFrame({"item": [10], "rating": np.array([3.3], np.float32)})
    assert of.reader(given).users == [None]


def test_several_histories_with_ratings():
    of = recommender(scale=(1.0, 5.0))
    assert of.reader([{10: 5.0}, {20: 4.0, 30: 1.0}]).read.toarray().tolist() == [
        [5, 0, 0, 0, 0, 0], [0, 4, 1, 0, 0, 0],
    ]  # fmt: skip


def test_an_answer_without_rows_has_the_columns_of_others():
    of = recommender()
    full, empty = (answered(of, [history, history])[0] for history in ([10], []))
    assert full.drop("user").schema == empty.drop("user").schema


def test_one_user_of_an_answer_is_labelled_as_many_are():
    for label in (7, "ana"):
        answer, _ = answered(recommender(), frame(user=[label], item=[10]), k=1)
        assert answer["user"].to_list() == [label]


def test_predictions_of_more_users_than_a_batch():
    answer, _ = recommender().predict([[10], [20]] * 150, [20, 30])
    assert answer["user"].to_list() == np.repeat(np.arange(300), 2).tolist()
    assert answer["score"].to_list() == [1, 0, 0, 1] * 150
