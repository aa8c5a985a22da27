"""The evaluator against a slow loop over rows, published code, and invariances."""

import json
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pytrec_eval

from aerec.core import Model, Table, Traits
from aerec.evaluation import ranking, rating


class Heldout(NamedTuple):
    input: Table
    target: Table
    rows: jax.Array


def make_table(rows: list, num_columns: int, values=None) -> Table:
    """A table from the columns (and values) of each row."""
    number = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    column = np.concatenate([np.asarray(r, np.int32) for r in rows])
    value = np.ones(len(column)) if values is None else np.concatenate(values)
    return Table.from_entries(number, column, value, num_rows=len(rows), num_columns=num_columns)


def case(seed: int, num_rows: int = 23, num_columns: int = 17) -> tuple[Heldout, list, list]:
    """Random held-out rows; some without input, some without target, some with nothing unseen."""
    rng = np.random.default_rng(seed)
    source, target = [], []
    for row in range(num_rows):
        columns = rng.permutation(num_columns)
        seen, held = rng.integers(0, num_columns - 6), rng.integers(0, 7)
        if row % 6 == 1:
            seen, held = num_columns, 0
        if row % 6 == 2:
            seen = num_columns - held  # every unseen item is held out
        source.append(columns[:seen].tolist())
        target.append(columns[seen : seen + held].tolist())
    tables = make_table(source, num_columns), make_table(target, num_columns)
    return Heldout(*tables, jnp.arange(num_rows, dtype=jnp.int32)), source, target


def linear(score=lambda params, x: jnp.dot(x.dense(), params, precision="highest")) -> Model:
    return Model(
        traits=Traits("ranking"),
        init=lambda key: None,
        encode=lambda params, x: x.dense(),
        score=score,
    )


def weights(seed: int, num_columns: int = 17, levels: int = 3) -> jax.Array:
    """Small integers: scores are exact in any order of summation, and often tied."""
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.integers(-levels, levels + 1, (num_columns,) * 2), jnp.float32)


def ranked_list(scores, seen, position) -> list[int]:
    """Unseen items best first; among equals, by their place in the fixed random order."""
    unseen = [i for i in range(len(scores)) if i not in seen and scores[i] > -math.inf]
    return sorted(unseen, key=lambda i: (-scores[i], position[i]))


def reference(scores, source, target, k, *, tie_seed, mask=True) -> dict[str, list[float]]:
    """Every metric of every row by plain loops over sets, NaN without a target."""
    position = np.argsort(np.random.default_rng(tie_seed).permutation(scores.shape[1]))
    rows = []
    for y, seen, held in zip(scores, source, target, strict=True):
        order = ranked_list(y, seen if mask else [], position)
        hits = [float(i in held) for i in order[:k]]
        gain = sum(h / math.log2(r + 2) for r, h in enumerate(hits))
        found = sum(hits)
        rows.append(
            {
                "precision": found / k,
                "recall": found / max(min(k, len(held)), 1),
                "recall_all": found / max(len(held), 1),
                "ndcg": gain / (sum(1 / math.log2(r + 2) for r in range(min(k, len(held)))) or 1),
                "map": sum(
                    sum(hits[: r + 1]) / (r + 1) for r in range(len(hits)) if hits[r]
                ) / max(len(held), 1),
                "mrr": next((1 / (r + 1) for r, h in enumerate(hits) if h), 0.0),
                "hit": float(found > 0),
                "tied": float(len(order) > k and y[order[k - 1]] == y[order[k]]),
            }
            if held
            else dict.fromkeys(
                ("precision", "recall", "recall_all", "ndcg", "map", "mrr", "hit", "tied"), np.nan
            )
        )  # fmt: skip
    return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.mark.parametrize(("seed", "mask"), [(0, True), (1, True), (2, True), (3, False)])
def test_every_metric_of_every_row_agrees_with_plain_loops(seed, mask):
    heldout, source, target = case(seed)
    params, ks = weights(seed), (1, 5, 40)  # 40: more than there are columns
    run = ranking.evaluator(
        linear(), ks=ks, train=heldout.input, mask_seen=mask, batch_size=5, tie_seed=seed
    )
    report = run(params, heldout)
    scores = np.asarray(heldout.input.gather(jnp.arange(23), 23 * 17).dense() @ params)
    popularity = np.bincount(np.concatenate(source).astype(int), minlength=17)
    position = np.argsort(np.random.default_rng(seed).permutation(17))
    evaluated = [r for r in range(23) if target[r]]
    assert 0 < len(evaluated) < 23
    lists = {r: ranked_list(scores[r], source[r] if mask else [], position) for r in range(23)}
    if mask:  # lists shorter than k are among them
        assert min(len(lists[r]) for r in evaluated) < 5
    for k in ks:
        expected = reference(scores, source, target, k, tie_seed=seed, mask=mask)
        for name, values in expected.items():
            actual = report.per_row[f"{name}@{k}"]
            np.testing.assert_allclose(actual, values, rtol=2e-6, err_msg=f"{name}@{k}")
            assert report.figures[f"{name}@{k}"] == pytest.approx(np.nanmean(values), rel=1e-6)
        spread = np.nanstd(expected["ndcg"], ddof=1) / math.sqrt(len(evaluated))
        assert report.figures[f"ndcg@{k}_se"] == pytest.approx(spread, rel=1e-5)
        bits = [np.mean([math.log2(23 / max(popularity[i], 1)) for i in lists[r][:k]])
                for r in evaluated]  # fmt: skip
        np.testing.assert_allclose(report.per_row[f"novelty@{k}"][evaluated], bits, rtol=1e-5)
        popular = sorted(range(17), key=lambda i: (-popularity[i], i))[:3]  # floor(17 / 5)
        for r in range(23):
            rare = [i for i in target[r] if i not in popular]
            gain = sum((i in rare) / math.log2(p + 2) for p, i in enumerate(lists[r][:k]))
            ideal = sum(1 / math.log2(p + 2) for p in range(min(k, len(rare)))) or np.nan
            actual = report.per_row[f"tail_ndcg@{k}"][r]
            np.testing.assert_allclose(actual, gain / ideal, rtol=2e-6)
        shown = np.bincount(np.concatenate([lists[r][:k] for r in evaluated]), minlength=17)
        assert report.figures[f"coverage@{k}"] == pytest.approx(np.mean(shown > 0))
        pairs = np.abs(shown[:, None] - shown[None, :]).sum()  # the mean difference definition
        assert report.figures[f"gini@{k}"] == pytest.approx(pairs / (2 * 16 * shown.sum()))
    assert report.figures["rows"] == len(evaluated)
    assert report.figures["rows_skipped"] == 23 - len(evaluated)


def test_agrees_with_trec_eval_from_scores_to_figures():
    heldout, source, target = case(11, num_rows=30)
    params = jax.random.normal(jax.random.key(0), (17, 17))
    # A column's own term keeps scores of rows without input apart.
    model = linear(lambda p, x: x.dense() @ p + jnp.broadcast_to(p[0], x.shape))
    report = ranking.evaluator(model, ks=(5,))(params, heldout)
    scores = np.asarray(model.score(params, heldout.input.gather(jnp.arange(30), 30 * 17)))
    qrel = {str(r): {str(i): 1 for i in held} for r, held in enumerate(target) if held}
    run = {
        str(r): {str(i): float(y[i]) for i in range(17) if i not in source[r]}
        for r, y in enumerate(scores)
    }
    theirs = pytrec_eval.RelevanceEvaluator(
        qrel, {"ndcg_cut.5", "P.5", "recall.5", "map_cut.5", "success.5"}
    ).evaluate(run)
    for name, key in (("ndcg", "ndcg_cut_5"), ("precision", "P_5"), ("recall_all", "recall_5"),
                      ("map", "map_cut_5"), ("hit", "success_5")):  # fmt: skip
        expected = np.mean([row[key] for row in theirs.values()])
        assert report.figures[f"{name}@5"] == pytest.approx(expected, rel=1e-6)
    assert report.figures["tied@5"] == 0


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_the_block_size_changes_nothing(batch_size):
    heldout, _, _ = case(2)
    train = heldout.input
    whole = ranking.evaluator(linear(), ks=(2, 9), train=train, batch_size=7)(weights(0), heldout)
    blocked = ranking.evaluator(linear(), ks=(2, 9), train=train, batch_size=batch_size)(
        weights(0), heldout
    )
    for name, values in whole.per_row.items():
        np.testing.assert_allclose(blocked.per_row[name], values, rtol=1e-6, err_msg=name)
    assert whole.figures == pytest.approx(blocked.figures, nan_ok=True)
    assert len(whole.per_row["ndcg@2"]) == 23


def test_compiles_once_for_a_shape_whatever_the_parameters():
    traces = []

    def score(params, x):
        traces.append(x.shape)
        return x.dense() @ params

    heldout, _, _ = case(3)
    train = heldout.input
    other = heldout._replace(input=heldout.input.replace(values=heldout.input.values * 2))
    for run in (
        ranking.evaluator(linear(score), ks=(3,), batch_size=5),
        rating.evaluator(linear(score), scale=(1, 5), train=train, batch_size=5),
    ):
        traces.clear()
        first = run(weights(0), heldout)
        assert traces == [(5, 17)]
        assert run(weights(1), heldout).figures != first.figures
        run(weights(0), other)
        assert traces == [(5, 17)]


def test_the_model_is_given_training_row_numbers_and_padding_is_outside():
    numbers = jnp.asarray([7, 90, 3, 90, 0], jnp.int32)

    def score(params, x):  # the row number, written where only that row's target can find it
        inside = x.index < 90
        return jnp.where(inside[:, None], jnp.broadcast_to(x.index[:, None], x.shape), 1.0)

    target = make_table([[0]] * 5, 17, [[0.0]] * 5)
    source = make_table([[1]] * 5, 17)
    run = rating.evaluator(linear(score), scale=(-1, 99), train=target, batch_size=2)
    report = run(None, Heldout(source, target, numbers))
    np.testing.assert_array_equal(report.per_row["absolute_error"], [7, 1, 3, 1, 0])
    seen = []

    def spy(params, x):
        jax.debug.callback(lambda index: seen.append(np.asarray(index)), x.index)
        return x.dense()

    rating.evaluator(linear(spy), scale=(0, 1), train=target, batch_size=2)(
        None, Heldout(source, target, numbers)
    )
    jax.effects_barrier()
    first, *others = sorted(np.concatenate(seen).tolist())  # 5 rows in blocks of 2: one of padding
    assert first == 0 and others[:4] == [3, 7, 90, 90] and len(others) == 5 and others[4] > 90


def constant(params, x):
    return jnp.zeros(x.shape)


def test_a_constant_scorer_scores_as_chance_and_is_tied_everywhere():
    """Canary: expected precision is held / unseen; a list by lot must find it, mask and all."""
    rng = np.random.default_rng(0)
    rows, columns, held, seen, k = 4000, 60, 6, 20, 10
    drawn = np.argsort(rng.random((rows, columns)), axis=1)
    source, target = drawn[:, :seen].tolist(), drawn[:, seen : seen + held].tolist()
    heldout = Heldout(make_table(source, columns), make_table(target, columns), jnp.arange(rows))
    figures = ranking.evaluator(linear(constant), ks=(k, columns))(None, heldout).figures
    chance = held / (columns - seen)
    assert figures[f"precision@{k}"] == pytest.approx(chance, abs=4 * figures["precision@10_se"])
    assert figures["precision@10_se"] < 0.02 * chance
    none = math.comb(34, 10) / math.comb(40, 10)
    assert figures[f"hit@{k}"] == pytest.approx(1 - none, abs=4 * figures["hit@10_se"])
    assert figures[f"tied@{k}"] == 1
    assert figures[f"tied@{columns}"] == 0  # nothing is left out: no cut
    assert figures[f"recall@{columns}"] == 1


def test_ties_do_not_favour_the_order_of_the_columns():
    """Where the most popular items have the lowest ids, as in many files, a constant scorer that
    kept the first of equals would look like a model. Over tie seeds it is chance."""
    target = make_table([[0, 1, 2]] * 8, 50)
    heldout = Heldout(make_table([[49]] * 8, 50), target, jnp.arange(8))
    found = [
        ranking.evaluator(linear(constant), ks=(3,), names=["precision"], tie_seed=seed)(
            None, heldout
        ).figures["precision@3"]
        for seed in range(8)
    ]
    assert np.mean(found) < 0.3  # chance 3/49; keeping the first gives 1
    assert len(set(found)) > 1


def test_zero_and_minus_zero_are_a_tie():
    heldout, _, _ = case(5)

    def signed(params, x):
        odd = jnp.arange(17) % 2 == 1
        return jnp.broadcast_to(jnp.where(odd, -0.0, 0.0)[None], x.shape)

    a, b = (
        ranking.evaluator(linear(s), ks=(4,), train=heldout.input)(None, heldout)
        for s in (signed, constant)
    )
    np.testing.assert_equal(a.per_row, b.per_row)


def test_popularity_canary_beats_chance_and_costs_novelty():
    rng = np.random.default_rng(1)
    weight = 1 / (np.arange(40) + 1.0)
    drawn = [rng.choice(40, 14, replace=False, p=weight / weight.sum()) for _ in range(300)]
    train = make_table([d[:10] for d in drawn], 40)
    heldout = Heldout(train, make_table([d[10:] for d in drawn], 40), jnp.arange(300))
    counts = jnp.asarray(np.bincount(np.asarray(train.columns), minlength=40), jnp.float32)
    popular = linear(lambda params, x: jnp.broadcast_to(params, x.shape))
    good, chance = (
        ranking.evaluator(popular, ks=(5,), train=train)(p[None], heldout)
        for p in (counts, jnp.zeros(40))
    )
    result = good.compare(chance, "ndcg@5", samples=999)
    assert result.p == 1 / 1000 and result.interval[0] > 0.05
    assert good.figures["novelty@5"] < chance.figures["novelty@5"]
    low, high = good.interval("ndcg@5", samples=999)
    assert low < good.figures["ndcg@5"] < high


def test_what_the_model_scores_minus_infinity_is_not_recommended():
    source, target = make_table([[0], [0]], 4), make_table([[1], [2]], 4)
    heldout = Heldout(source, target, jnp.arange(2))
    params = jnp.asarray([[5.0, 1.0, -jnp.inf, -jnp.inf]])
    model = linear(lambda p, x: jnp.broadcast_to(p, x.shape))
    report = ranking.evaluator(model, ks=(3,), train=source)(params, heldout)
    np.testing.assert_allclose(report.per_row["recall_all@3"], [1, 0])
    np.testing.assert_allclose(report.per_row["precision@3"], [1 / 3, 0])
    assert report.figures["coverage@3"] == 1 / 4 and report.figures["tied@3"] == 0


def test_nan_scores_are_an_error_that_names_the_model_and_the_rows():
    heldout, source, target = case(6)

    def broken_score(params, x):  # empty input: 0 / 0
        dense = x.dense()
        return dense / dense.sum(1, keepdims=True)

    empty = sum(not row for row in source)
    assert empty > 0
    with pytest.raises(ValueError, match=rf"broken_score gave .* for {empty} of 23 rows"):
        ranking.evaluator(linear(broken_score), batch_size=5)(None, heldout)
    spoilt = linear(lambda params, x: jnp.full(x.shape, params))
    run = rating.evaluator(spoilt, scale=(1, 5), train=heldout.input)
    predicted = sum(bool(s) and bool(t) for s, t in zip(source, target, strict=True))
    for value in (jnp.nan, jnp.inf):
        with pytest.raises(ValueError, match=f"for {predicted} of 23 rows"):
            run(jnp.asarray(value), heldout)


def test_bad_requests_are_refused():
    heldout, _, _ = case(7)
    with pytest.raises(ValueError, match=r"unknown metrics \['ndgc'\]"):
        ranking.evaluator(linear(), names=["ndgc"])
    with pytest.raises(ValueError, match="each 1 or more"):
        ranking.evaluator(linear(), ks=(0, 5))
    with pytest.raises(ValueError, match="give train="):
        ranking.evaluator(linear(), names=["novelty"])
    with pytest.raises(ValueError, match="'tail_ndcg' needs the popularity of the columns"):
        ranking.evaluator(linear(), names=["ndcg", "tail_ndcg"])
    run = ranking.evaluator(linear(), names=["ndcg"], ks=(5,))
    with pytest.raises(ValueError, match="not aligned"):
        run(weights(0), heldout._replace(rows=jnp.arange(3)))
    with pytest.raises(ValueError, match="nothing to predict"):
        run(weights(0), heldout._replace(target=make_table([[]] * 23, 17)))
    with pytest.raises(ValueError, match="differ in their columns"):
        run(weights(0), heldout._replace(target=make_table([[1]] * 23, 18)))
    report = run(weights(0), heldout)
    assert {n.split("@")[0] for n in report.figures} == {"ndcg", "tied", "rows", "rows_skipped"}
    with pytest.raises(ValueError, match="no figure over rows"):
        report.interval("coverage@5")


def rating_case():
    """Six rows: with input and targets, without input, without targets; column 4 never trained."""
    rng = np.random.default_rng(0)
    source = [[0, 1], [2], [], [3, 0, 1], [1], [2, 3]]
    target = [[2, 4], [0, 3, 1], [1, 2], [2], [], [0, 1, 4]]
    values = [rng.integers(1, 6, len(t)).astype(float) for t in target]
    train = make_table(source, 5, [rng.integers(1, 6, len(s)).astype(float) for s in source])
    return train, Heldout(train, make_table(target, 5, values), jnp.arange(6)), source, target


def test_rating_figures_agree_with_plain_loops():
    train, heldout, source, target = rating_case()
    params = jnp.asarray(np.random.default_rng(1).normal(size=(5, 5)), jnp.float32)
    run = rating.evaluator(linear(), scale=(1, 5), train=train, batch_size=4)
    report = run(params, heldout)
    scores = np.asarray(heldout.input.gather(jnp.arange(6), 30).dense() @ params, np.float64)
    truth = np.asarray(heldout.target.gather(jnp.arange(6), 30).dense())
    free, clipped, fallback, by_row = [], [], 0, []
    for row in range(6):
        mine = []
        for i in target[row]:
            y = scores[row, i]
            if not source[row] or i == 4:
                y, fallback = 3.0, fallback + 1
            free.append(y - truth[row, i])
            mine.append(min(max(y, 1), 5) - truth[row, i])
        clipped += mine
        by_row.append(np.sqrt(np.mean(np.square(mine))) if mine else np.nan)
    figures = report.figures
    for name, expected in {
        "rmse": np.sqrt(np.mean(np.square(clipped))),
        "mae": np.mean(np.abs(clipped)),
        "rmse_unclipped": np.sqrt(np.mean(np.square(free))),
        "mae_unclipped": np.mean(np.abs(free)),
        "rmse_by_row": np.nanmean(by_row),
        "fallback_share": fallback / len(free),
        "entries": 11,
        "rows": 5,
        "rows_skipped": 1,
    }.items():
        assert figures[name] == pytest.approx(expected, rel=1e-5), name
    assert fallback == 4 and figures["rmse"] < figures["rmse_unclipped"]
    np.testing.assert_allclose(report.per_row["rmse_by_row"], by_row, rtol=1e-5)
    ratio = np.nansum(report.per_row["squared_error"]) / 11
    rest = np.nan_to_num(report.per_row["squared_error"] - ratio * report.per_row["entries"])
    error = math.sqrt(5 / 4 * (rest**2).sum()) / 11 / (2 * math.sqrt(ratio))
    assert figures["rmse_se"] == pytest.approx(error, rel=1e-5)
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


@pytest.mark.parametrize("batch_size", [1, 3, 6, None])
def test_rating_block_size_changes_nothing(batch_size):
    train, heldout, _, _ = rating_case()
    params = weights(0, 5)
    whole = rating.evaluator(linear(), scale=(1, 5), train=train, batch_size=4)(params, heldout)
    other = rating.evaluator(linear(), scale=(1, 5), train=train, batch_size=batch_size)(
        params, heldout
    )
    for name, values in whole.per_row.items():
        np.testing.assert_allclose(other.per_row[name], values, rtol=1e-6, err_msg=name)


def test_rating_intervals_and_tests_pool_over_ratings():
    train, heldout, _, _ = rating_case()
    run = rating.evaluator(linear(), scale=(1, 5), train=train)
    a, b = run(weights(0, 5), heldout), run(jnp.zeros((5, 5)), heldout)
    result = a.compare(b, "rmse", samples=99)
    assert result.difference == pytest.approx(a.figures["rmse"] - b.figures["rmse"])
    low, high = a.interval("rmse", samples=500)
    assert low < a.figures["rmse"] < high
    fewer = b._replace(per_row=b.per_row | {"entries": b.per_row["entries"] + 1})
    with pytest.raises(ValueError, match="different held-out ratings"):
        a.compare(fewer, "rmse")
