"""The exhaustive count against a loop over pairs and against SciPy."""

import time
from dataclasses import replace
from unittest import mock

import jax
import numpy as np
import pytest
from scipy import sparse, stats

from aerec.properties import counting, encoder, journal, order, rates, samplers
from aerec.properties.problem import pose
from aerec.properties.scores import Scores, score_rows, true_rows


def exhaustive(rows, users, *, true_ties=0.0, latent_ties=0.0, **options):
    """The count of all pairs of each user, as an audit composes it."""
    count = counting.counter(true_ties, latent_ties)
    judge = lambda true, latent: np.array(count(true, latent))  # noqa: E731
    return order.Tally(*counting.each_user(judge, rows, np.arange(users), **options))


def by_loop(true, latent, true_ties, latent_ties):
    """Pairs one by one: concordant, reversed, broken, flattened, tied per row."""
    out = np.zeros((5, len(true)), int)
    for row in range(len(true)):
        t, z = true[row].astype(np.float32), latent[row].astype(np.float32)
        reach = true_ties * abs(t).max(), latent_ties * abs(z).max()
        for i in range(len(t)):
            for j in range(i):
                rise, climb = t[i] - t[j], z[i] - z[j]
                a = 0 if abs(rise) <= reach[0] else np.sign(rise)
                b = 0 if abs(climb) <= reach[1] else np.sign(climb)
                place = (4 if b == 0 else 2) if a == 0 else 3 if b == 0 else 0 if a == b else 1
                out[place, row] += 1
    return out


@pytest.mark.parametrize("items", [2, 5, 65])
@pytest.mark.parametrize("ties", [(0.0, 0.0), (0.05, 0.1), (0.0, 0.03), (0.2, 0.0), (5.0, 5.0)])
def test_counts_are_those_of_a_loop_over_pairs(items, ties):
    draw = np.random.default_rng(items)
    true = draw.normal(size=(3, items))
    latent = true + draw.normal(size=true.shape)
    true[1] = np.round(true[1])
    latent[2] = np.round(2 * latent[2])
    expected = by_loop(true, latent, *ties)
    options = {} if ties == (0.0, 0.0) else {"true_ties": ties[0], "latent_ties": ties[1]}
    for count in (counting.count_rows, counting.count_on_device):
        np.testing.assert_array_equal(np.array(count(true, latent, **options)), expected)


@pytest.mark.parametrize("kinds", [1, 15, 16, 17, 239, 240, 256, 4100])
def test_entries_before_a_place_and_below_a_limit_are_counted(kinds):
    """At the borders of 4-bit digits: 3 levels of them, the last kinds ending in 15."""
    draw = np.random.default_rng(kinds)
    kind = np.append(draw.integers(0, kinds, 299), kinds - 1)
    place = draw.integers(0, 301, 300)
    limits = np.stack([draw.integers(0, kinds + 1, 300), np.full(300, kinds)])
    earlier = np.arange(300) < place[:, None]
    expected = [(earlier & (kind < limit[:, None])).sum() for limit in limits]
    assert counting._before(kind, place, limits, kinds).tolist() == expected


@pytest.mark.parametrize("reach", [0.0, 1.0, 1.0 + 2.0**-23, 3 * 2.0**-149])
def test_a_tie_is_of_the_difference_in_float32(reach):
    """Differences at and around the midpoints between reach and the next float32, where rounding
    to even decides, and a reach that is lost in a value."""
    near = np.arange(-8, 9) * 2.0**-26
    values = np.concatenate([near, 1 + np.arange(-4, 5) * 2.0**-23, np.arange(9) * 2.0**-149])
    values = np.append(values, values[::4]).astype(np.float32)
    ordered, reach = np.sort(values), np.float32(reach)
    beyond = ordered - ordered[:, None] > reach
    expected = np.where(beyond.any(axis=1), beyond.argmax(axis=1), len(ordered))
    np.testing.assert_array_equal(counting._above(ordered, reach), expected)


def test_tau_b_is_scipys_per_user():
    draw = np.random.default_rng(0)
    true = draw.integers(0, 6, (40, 300)).astype(np.float32)
    latent = np.round(true + 3 * draw.normal(size=true.shape), 1).astype(np.float32)
    counts = exhaustive(lambda i: (true[i], latent[i]), 40, block=7)
    expected = [
        stats.kendalltau(t.astype(float), z.astype(float)).statistic
        for t, z in zip(true, latent, strict=True)
    ]
    np.testing.assert_allclose(rates.tau_b(counts), expected, rtol=1e-12)
    assert (counts.total == 300 * 299 // 2).all()


def test_one_users_counts_pass_two_to_the_31st():
    true = np.arange(70_000.0)[None]
    for latent, name in ((-true, "reversed_"), (true, "concordant")):
        counts = counting.count_rows(true, latent)
        assert int(getattr(counts, name)[0]) == counts.total[0] == 70_000 * 69_999 // 2 > 2**31


def test_the_device_counts_while_int32_holds_a_users_pairs():
    assert 46340**2 < 2**31 < 46341**2
    kept = mock.patch.object(counting, "_all_pairs", return_value=np.arange(5)[None])
    host = mock.patch.object(counting, "count_rows", return_value="on the host")
    with kept, host:
        for items, expected in (
            (46340, order.Tally(*np.arange(5)[:, None])),
            (46341, "on the host"),
        ):
            assert counting.count_on_device(*np.zeros((2, 1, items), np.float32)) == expected


def test_pairs_are_compared_on_an_accelerator_where_there_is_one():
    scores = lambda i: (np.ones((len(i), 3)), np.ones((len(i), 3)))  # noqa: E731
    tally = order.Tally(*np.ones((5, 1), int))
    for backend, used in (("cpu", "count_rows"), ("gpu", "count_on_device")):
        with (
            mock.patch.object(jax, "default_backend", return_value=backend),
            mock.patch.object(counting, used, return_value=tally) as count,
        ):
            assert exhaustive(scores, 1) == tally
            assert count.call_count == 1


def test_a_count_is_a_few_blocks_behind_the_scores():
    """`workers` blocks are being counted, one waits and one is scored: memory holds no more."""
    scored, seen = [], []

    def rows(index):
        scored.append(index.tolist())
        return np.ones((2, len(index), 3), np.float32)

    progress = lambda done, of: seen.append((done, of, len(scored)))  # noqa: E731
    exhaustive(rows, 11, block=2, workers=1, progress=progress)
    assert scored == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10]]
    assert seen == [(2, 11, 3), (4, 11, 4), (6, 11, 5), (8, 11, 6)]
    scored.clear(), seen.clear()
    exhaustive(rows, 6, block=1, progress=progress)
    assert seen == [(1, 6, 4), (2, 6, 5), (3, 6, 6)]


@pytest.mark.parametrize("pause", [-1.0, 60.0])
def test_a_count_goes_on_from_what_was_kept(tmp_path, pause):
    draw = np.random.default_rng(1)
    true, latent = draw.normal(size=(2, 9, 30)).astype(np.float32)
    asked = []

    def rows(index, broken=None):
        asked.extend(index)
        if broken in index:
            raise KeyboardInterrupt
        return true[index], latent[index]

    whole = exhaustive(rows, 9, true_ties=0.01, latent_ties=0.02)
    expected = by_loop(true, latent, 0.01, 0.02)
    np.testing.assert_array_equal(np.array(whole), expected)
    options = {"true_ties": 0.01, "latent_ties": 0.02, "block": 2, "workers": 1}
    keep = lambda: journal.Journal(tmp_path / "state.json", "this audit")  # noqa: E731
    with mock.patch.object(journal, "PAUSE", pause):
        with pytest.raises(KeyboardInterrupt):
            exhaustive(lambda i: rows(i, broken=8), 9, **options, state=keep())
        kept = keep().parts.get("counted", [[]] * 5)
        done = 4 if pause < 0 else 0  # users of the blocks that had been counted
        np.testing.assert_array_equal(np.array(kept), expected[:, :done])
        asked.clear()
        resumed = exhaustive(rows, 9, **options, state=keep())
        assert asked == list(range(done, 9))
        asked.clear()
        again = exhaustive(rows, 9, **options, state=keep())
    assert not asked
    for counts in (resumed, again):
        np.testing.assert_array_equal(np.array(counts), expected)


def ratings_and_items(layout):
    draw = np.random.default_rng(2)
    users = draw.integers(0, 6, (9, 15)) * (draw.random((9, 15)) < 0.5) * 1.0
    items = np.eye(15) if layout == "basis" else draw.normal(size=(20, 15))
    items[3] *= 0.0 if layout == "dense" else 1.0
    pack = sparse.csr_matrix if layout == "sparse" else np.asarray
    return users, items, samplers.empirical(pack(users), None if layout == "basis" else pack(items))


def linear(scale=1.0):
    weight = scale * np.random.default_rng(3).normal(size=(4, 15))
    return encoder.wrap(lambda x: np.asarray(x) @ weight.T, 15, batched=True), weight


@pytest.mark.parametrize("layout", ["dense", "sparse", "basis"])
@pytest.mark.parametrize("kind", ["dot", "cosine"])
def test_score_differences_over_the_larger_norm_are_relative_margins(layout, kind):
    users, items, data = ratings_and_items(layout)
    encode, weight = linear()
    scores = score_rows(pose(encode, data, truth=kind, latent=kind))
    for got, norms, x, u in zip(
        scores.rows(np.arange(9)),
        scores[1:],
        (users, users @ weight.T),
        (items, items @ weight.T),
        strict=True,
    ):
        first, second = np.triu_indices(len(items), 1)
        margins = order.relative_margin(x[:, None], u[None, first], u[None, second], kind=kind)
        difference = got[:, first] - got[:, second]
        larger = np.maximum(norms[first], norms[second])
        np.testing.assert_allclose(difference / larger, margins, atol=1e-6)


def test_scores_of_codes_of_any_size_and_of_one_item():
    _, _, data = ratings_and_items("dense")
    true, latent = score_rows(pose(linear()[0], data)).rows(np.arange(9))
    huge = score_rows(pose(linear(2.0**900)[0], data))
    for one, other in zip((true, latent), huge.rows(np.arange(9)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert huge.latent_norms.max() < 4**0.5
    single = score_rows(pose(linear()[0], replace(data, items=data.items[:1])))
    np.testing.assert_allclose(single.rows(np.arange(9))[0], true[:, :1], rtol=1e-6)


def test_a_sample_of_all_shifts_is_every_ordered_pair():
    users, items, data = ratings_and_items("dense")
    encode, weight = linear()
    scores = score_rows(pose(encode, replace(data, users=data.users[:1])))
    first, second = np.nonzero(~np.eye(20, dtype=bool))
    sides = ((users[0], items), (users[0] @ weight.T, items @ weight.T))
    margins = [order.relative_margin(x, u[first], u[second]) for x, u in sides]
    ties = {"true_ties": 1e-5, "latent_ties": 2e-5}
    expected = order.tally(*margins, **ties)
    one = np.arange(1)
    for shifts in (19, 50):
        found = counting.sample(scores, one, jax.random.key(0), users=2, shifts=shifts, **ties)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, [expected] * 2)
    few = counting.sample(scores, one, jax.random.key(1), users=3, shifts=5, **ties)
    assert few.sum(axis=(1, 2, 3)).tolist() == [20 * 5] * 3
    assert (few <= expected).all() and (few[0] != few[1]).any()


def test_a_sample_draws_users_with_replacement():
    asked = []
    rows = lambda index: asked.extend(index) or np.ones((2, len(index), 3), np.float32)  # noqa: E731
    scores = Scores(rows, np.ones(3), np.ones(3))
    found = counting.sample(
        scores, np.arange(4), jax.random.key(0), true_ties=0.0, latent_ties=0.0, users=64
    )
    assert sorted(set(asked)) == [0, 1, 2, 3] and len(asked) == 64
    assert order.summary(found) == (0, 0, 0, 0, 64 * 3 * 2)


def test_a_score_that_is_not_a_number_is_named():
    """As of vectors whose dot products overflow; in a count it is an item that is left out."""
    huge = np.full((2, 3), 3e38, np.float32)
    problem = pose(encoder.wrap(lambda x: x[:2], 3), samplers.empirical(np.ones((1, 3)), huge))
    rows, _ = true_rows(problem)
    with pytest.raises(ValueError, match="true scores"):
        rows(np.arange(1))


@pytest.mark.slow
def test_the_size_of_ml_1m_is_counted_in_seconds_faster_than_scipy():
    draw = np.random.default_rng(0)
    true = draw.normal(size=(6040, 3706)).astype(np.float32)
    rows = lambda i: (true[i], true[i] + draw.normal(size=(len(i), 3706)).astype(np.float32))  # noqa: E731
    start = time.perf_counter()
    counts = exhaustive(rows, 6040, true_ties=5e-5, latent_ties=1e-4)
    seconds = time.perf_counter() - start
    assert int(counts.total.sum()) == 6040 * 3706 * 3705 // 2
    start = time.perf_counter()
    for i in range(100):
        stats.kendalltau(true[i], -true[i + 1])
    loop = (time.perf_counter() - start) * 60.4
    print(f"{seconds:.1f} s, a loop over SciPy's kendalltau {loop:.1f} s")
    assert seconds < 15
