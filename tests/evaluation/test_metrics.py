"""Ranking metrics: formulas written out, a plain loop and a published library."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from aerec.evaluation import metrics


@jax.jit
def every(hits, held):
    """Every metric of whole lists by its name; one program for each shape instead of dozens."""
    cut = (hits.shape[-1],)
    return {name: formula(hits, held, cut)[..., 0] for name, formula in metrics.PER_ROW.items()}


def test_one_list_written_out():
    """Ranks 1, 2 and 4 of four are hits; five items were held out."""
    hits, held = jnp.asarray([[1.0, 1.0, 0.0, 1.0]]), jnp.asarray([5.0])
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4) + 1 / math.log2(5)
    expected = {
        "precision": 3 / 4,
        "recall": 3 / 4,
        "recall_all": 3 / 5,
        "ndcg": (1 + 1 / math.log2(3) + 1 / math.log2(5)) / ideal,
        "map": (1 / 1 + 2 / 2 + 3 / 4) / 5,
        "mrr": 1.0,
        "hit": 1.0,
    }
    assert expected.keys() == metrics.PER_ROW.keys()
    for name, actual in every(hits, held).items():
        np.testing.assert_allclose(actual, [expected[name]], rtol=1e-6, err_msg=name)


def loop(name: str, hits: list[int], held: int) -> float:
    """The metric of one list, by the book and without arrays."""
    k, found = len(hits), sum(hits)
    if name == "precision":
        return found / k
    if name == "recall":
        return found / min(k, held)
    if name == "recall_all":
        return found / held
    if name == "hit":
        return float(found > 0)
    if name == "mrr":
        return max((h / (r + 1) for r, h in enumerate(hits)), default=0.0)
    if name == "map":
        return sum(sum(hits[: r + 1]) / (r + 1) for r, h in enumerate(hits) if h) / held
    assert name == "ndcg"
    gain = sum(h / math.log2(r + 2) for r, h in enumerate(hits))
    return gain / sum(1 / math.log2(r + 2) for r in range(min(k, held)))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_agrees_with_a_plain_loop_on_any_lists(data):
    k = data.draw(st.sampled_from([1, 4, 11]))  # few shapes: each is compiled for
    one_list = st.lists(st.integers(0, 1), min_size=k, max_size=k)
    lists = data.draw(st.lists(one_list, min_size=5, max_size=5))
    held = [sum(hits) + data.draw(st.integers(0, 20)) for hits in lists]
    found = every(jnp.asarray(lists, jnp.float32), jnp.asarray(held, jnp.float32))
    for name, actual in found.items():
        expected = [loop(name, h, n) if n else np.nan for h, n in zip(lists, held, strict=True)]
        np.testing.assert_allclose(actual, expected, rtol=2e-6, err_msg=name)


def test_agrees_with_trec_eval():
    rng = np.random.default_rng(3)
    ranked = np.argsort(rng.random((40, 60)), axis=1)
    relevant = [set(rng.choice(60, rng.integers(1, 30), replace=False)) for _ in ranked]
    qrel = {str(r): {str(i): 1 for i in items} for r, items in enumerate(relevant)}
    hits = np.asarray(
        [[i in items for i in row] for row, items in zip(ranked, relevant, strict=True)]
    )
    held = jnp.asarray([len(items) for items in relevant], jnp.float32)
    ours_to_theirs = {
        "precision": "P", "recall_all": "recall", "ndcg": "ndcg_cut", "map": "map_cut",
        "hit": "success",
    }  # fmt: skip
    for k in (1, 20, 60):
        run = {str(r): {str(i): 60.0 - p for p, i in enumerate(row[:k])}
               for r, row in enumerate(ranked)}  # fmt: skip
        measures = {f"{theirs}.{k}" for theirs in ours_to_theirs.values()} | {"recip_rank"}
        theirs = pytrec_eval.RelevanceEvaluator(qrel, measures).evaluate(run)
        found = every(jnp.asarray(hits[:, :k], jnp.float32), held)
        for name, key in [(n, f"{t}_{k}") for n, t in ours_to_theirs.items()] + [
            ("mrr", "recip_rank")
        ]:
            expected = [theirs[str(r)][key] for r in range(len(ranked))]
            np.testing.assert_allclose(found[name], expected, rtol=2e-6, err_msg=f"{name}@{k}")


def test_leading_axes_are_free():
    hits = jnp.asarray(np.random.default_rng(0).integers(0, 2, (2, 3, 5)), jnp.float32)
    held = hits.sum(-1) + 1
    flat, one = every(hits.reshape(6, 5), held.reshape(6)), every(hits[0, 0], held[0, 0])
    for name, actual in every(hits, held).items():
        np.testing.assert_array_equal(actual.reshape(6), flat[name], err_msg=name)
        np.testing.assert_allclose(one[name], flat[name][0], rtol=1e-6, err_msg=name)


def test_cuts_at_once_are_cuts_of_shorter_lists():
    hits = jnp.asarray(np.random.default_rng(1).integers(0, 2, (30, 9)), jnp.float32)
    held, cuts = hits.sum(-1) + 1, (1, 4, 9)
    for name, formula in metrics.PER_ROW.items():
        at_once = formula(hits, held, cuts)
        for place, k in enumerate(cuts):
            alone = formula(hits[:, :k], held, (k,))[:, 0]
            np.testing.assert_allclose(at_once[:, place], alone, rtol=1e-6, err_msg=f"{name}@{k}")


def test_ndcg_of_one_list_is_not_repeated_for_every_number_held_out():
    with pytest.raises(AssertionError):
        metrics.ndcg(jnp.ones((1, 5)), jnp.ones(3), (5,))


def test_tied_is_the_cut_and_not_the_list():
    inf = jnp.inf
    scores = jnp.asarray([[3.0, 3, 2], [3, 2, 2], [2, 2, 2], [1, -inf, -inf], [inf, inf, inf]])
    np.testing.assert_array_equal(metrics.tied(scores, (2,))[:, 0], [0, 1, 1, 0, 1])


def test_novelty_written_out():
    information = metrics.self_information(np.asarray([8, 2, 1, 0]), 8)
    np.testing.assert_allclose(information, [0, 2, 3, 3])
    listed = jnp.asarray(information)[jnp.asarray([[0, 1], [2, 0], [1, 1]])]
    recommended = jnp.asarray([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(metrics.novelty(listed, recommended, (2,))[:, 0], [1, 3, np.nan])


def test_the_tail_leaves_out_a_fifth_of_the_columns():
    tail = metrics.tail(np.asarray([3, 9, 1, 9, 0, 3, 3, 1, 0, 0, 5, 1]))  # two of twelve
    np.testing.assert_array_equal(tail, [1, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(metrics.tail(np.asarray([2, 2, 2, 2, 2])), [0, 1, 1, 1, 1])
    np.testing.assert_array_equal(metrics.tail(np.asarray([7, 0, 0])), [1, 1, 1])


def test_coverage_and_gini_written_out():
    assert metrics.coverage(np.asarray([0, 4, 1, 0])) == 0.5
    assert metrics.gini(np.asarray([3, 3, 3, 3])) == pytest.approx(0)
    assert metrics.gini(np.asarray([0, 9, 0, 0])) == pytest.approx(1)
    # Ascending shares 0, .25, .75 with weights -2, 0, 2, over N - 1 = 2.
    assert metrics.gini(np.asarray([3, 0, 1])) == pytest.approx(0.75)
    assert metrics.gini(np.asarray([0, 5])) == 1
    assert metrics.gini(np.asarray([5])) == 0
    assert math.isnan(metrics.gini(np.zeros(4, np.int32)))


@pytest.mark.parametrize("name", metrics.PER_ROW)
def test_rows_that_do_not_pair_are_no_rows(name):
    """One list and three counts would broadcast to three values."""
    metric = metrics.PER_ROW[name]
    for hits, held in (((1, 4), 3), ((3, 4), 1), ((2, 3, 4), 3), ((4,), 1)):
        with pytest.raises(AssertionError):
            metric(jnp.ones(hits), jnp.ones(held), (4,))
    assert metric(jnp.ones((2, 3, 4)), jnp.ones((2, 3)), (1, 4)).shape == (2, 3, 2)
