"""Formulas written out, a plain loop, a published library, and what the statistics must satisfy."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest
import pytrec_eval
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from aerec.evaluation import metrics, statistics


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
    for name, value in expected.items():
        np.testing.assert_allclose(metrics.PER_ROW[name](hits, held), [value], rtol=1e-6)


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
    for name, formula in metrics.PER_ROW.items():
        actual = formula(jnp.asarray(lists, jnp.float32), jnp.asarray(held, jnp.float32))
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
        at_k = jnp.asarray(hits[:, :k], jnp.float32)
        for name, key in [(n, f"{t}_{k}") for n, t in ours_to_theirs.items()] + [
            ("mrr", "recip_rank")
        ]:
            expected = [theirs[str(r)][key] for r in range(len(ranked))]
            actual = metrics.PER_ROW[name](at_k, held)
            np.testing.assert_allclose(actual, expected, rtol=2e-6, err_msg=f"{name}@{k}")


def test_leading_axes_are_free():
    hits = jnp.asarray(np.random.default_rng(0).integers(0, 2, (2, 3, 5)), jnp.float32)
    held = hits.sum(-1) + 1
    for name, formula in metrics.PER_ROW.items():
        flat = formula(hits.reshape(6, 5), held.reshape(6))
        np.testing.assert_array_equal(formula(hits, held).reshape(6), flat, err_msg=name)
        one = formula(hits[0, 0], held[0, 0])
        np.testing.assert_allclose(one, flat[0], rtol=1e-6, err_msg=name)


def test_tied_is_the_cut_and_not_the_list():
    inf = jnp.inf
    scores = jnp.asarray([[3.0, 3, 2], [3, 2, 2], [2, 2, 2], [1, -inf, -inf], [inf, inf, inf]])
    np.testing.assert_array_equal(metrics.tied(scores), [0, 1, 1, 0, 1])


def test_novelty_written_out():
    information = metrics.self_information(np.asarray([8, 2, 1, 0]), 8)
    np.testing.assert_allclose(information, [0, 2, 3, 3])
    listed = jnp.asarray(information)[jnp.asarray([[0, 1], [2, 0], [1, 1]])]
    recommended = jnp.asarray([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(metrics.novelty(listed, recommended), [1, 3, np.nan])


def test_coverage_and_gini_written_out():
    assert metrics.coverage(np.asarray([0, 4, 1, 0])) == 0.5
    assert metrics.gini(np.asarray([3, 3, 3, 3])) == pytest.approx(0)
    assert metrics.gini(np.asarray([0, 9, 0, 0])) == pytest.approx(1)
    # Ascending shares 0, .25, .75 with weights -2, 0, 2, over N - 1 = 2.
    assert metrics.gini(np.asarray([3, 0, 1])) == pytest.approx(0.75)
    assert math.isnan(metrics.gini(np.zeros(4, np.int32)))


def test_standard_error_of_a_mean_is_scipys_and_leaves_nan_rows_out():
    values = np.random.default_rng(0).normal(size=50)
    holed = np.insert(values, [0, 7, 50], np.nan)
    assert statistics.standard_error(holed) == pytest.approx(scipy.stats.sem(values))
    assert statistics.estimate(holed) == pytest.approx(values.mean())
    assert math.isnan(statistics.standard_error([1.0, np.nan]))
    assert math.isnan(statistics.estimate([np.nan]))


def test_sums_are_float64():
    """Adding 2^24 + 1 + 1 ... in float32 would stay at 2^24."""
    values = np.asarray([2.0**24] + [1.0] * 1000, np.float32)
    assert statistics.estimate(values, np.ones(1001)) * 1001 == 2**24 + 1000


def test_clustered_standard_error_covers_the_spread_over_samples():
    """Ratings of one user err together; over repeated samples the delta method finds that spread,
    and the formula for independent ratings does not."""
    rng = np.random.default_rng(0)
    estimates, errors, naive = [], [], []
    for _ in range(400):
        counts = rng.integers(5, 60, 200)
        scale = rng.gamma(2.0, 0.5, 200)
        squares = [s * rng.chisquare(1, c) for s, c in zip(scale, counts, strict=True)]
        sums = np.asarray([x.sum() for x in squares])
        estimates.append(statistics.estimate(sums, counts, root=True))
        errors.append(statistics.standard_error(sums, counts, root=True))
        naive.append(scipy.stats.sem(np.concatenate(squares)) / (2 * estimates[-1]))
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.12)  # 400 draws: sd .035
    assert np.mean(naive) < 0.6 * np.std(estimates)


def test_standard_error_of_no_error_is_zero():
    assert statistics.standard_error(np.zeros(5), np.ones(5), root=True) == 0


def test_bootstrap_interval_of_a_mean_is_the_normal_one():
    values = np.random.default_rng(1).normal(3, 2, 2000)
    low, high = statistics.bootstrap_interval(np.append(values, np.nan), samples=4000)
    mean, half = values.mean(), 1.96 * scipy.stats.sem(values)
    np.testing.assert_allclose([low, high], [mean - half, mean + half], atol=0.08 * half)
    inner = statistics.bootstrap_interval(values, samples=4000, level=0.5)
    assert low < inner[0] < mean < inner[1] < high
    assert statistics.bootstrap_interval(
        values, samples=200, seed=4
    ) == statistics.bootstrap_interval(values, samples=200, seed=4)


def test_bootstrap_of_pooled_rmse_draws_rows_with_their_counts():
    """Every row has the same ratio, so whatever rows are drawn the pooled figure is the same."""
    counts = np.asarray([1.0, 10, 100, 1000])
    interval = statistics.bootstrap_interval(4 * counts, counts, root=True, samples=500)
    np.testing.assert_allclose(interval, (2, 2), rtol=1e-12)
    with pytest.raises(ValueError, match="two rows"):
        statistics.bootstrap_interval([1.0, np.nan])


@pytest.mark.parametrize("root", [False, True])
def test_randomisation_p_is_the_exact_one(root):
    """Against all 2^10 exchanges, enumerated."""
    rng = np.random.default_rng(5)
    counts = rng.integers(1, 9, 10)
    a, b = rng.random(10) * counts, rng.random(10) * counts * 1.4

    def figure(x):
        return math.sqrt(x.sum() / counts.sum()) if root else x.sum() / counts.sum()

    observed = abs(figure(a) - figure(b))
    exchanges = (np.asarray(swap) for swap in itertools.product([False, True], repeat=10))
    drawn = [abs(figure(np.where(s, b, a)) - figure(np.where(s, a, b))) for s in exchanges]
    exact = np.mean(np.asarray(drawn) >= observed - 1e-12)
    result = statistics.paired_randomisation_test(a, b, counts, root=root, samples=20_000)
    assert result.difference == pytest.approx(figure(a) - figure(b))
    assert result.p == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 20_000))
    assert result.interval[0] < result.difference < result.interval[1]


def test_randomisation_extremes():
    rng = np.random.default_rng(6)
    a = rng.random(300)
    assert statistics.paired_randomisation_test(a, a, samples=99).p == 1
    better = statistics.paired_randomisation_test(a + 0.1 + 0.01 * rng.random(300), a, samples=99)
    assert better.p == 1 / 100 and better.interval[0] > 0
    holed = np.where(np.arange(300) == 4, np.nan, a)
    with pytest.raises(ValueError, match="different rows"):
        statistics.paired_randomisation_test(holed, a)
    both = statistics.paired_randomisation_test(holed, holed + 1, samples=99)
    assert both.difference == pytest.approx(-1)


def test_p_is_uniform_where_nothing_differs():
    rng = np.random.default_rng(7)
    ps = [
        statistics.paired_randomisation_test(*rng.normal(size=(2, 30)), samples=199, seed=s).p
        for s in range(200)
    ]
    assert scipy.stats.kstest(ps, "uniform").pvalue > 1e-3
