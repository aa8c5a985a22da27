"""The exhaustive count against a loop over pairs and against SciPy."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse, stats

from aerec.properties import counting, encoder, order, rates, samplers


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


@pytest.mark.parametrize("items", [2, 5, 64, 65, 130])
@pytest.mark.parametrize("ties", [(0.0, 0.0), (0.05, 0.1), (0.0, 0.03), (0.2, 0.0), (5.0, 5.0)])
def test_counts_are_those_of_a_loop_over_pairs(items, ties):
    draw = np.random.default_rng(items)
    true = draw.normal(size=(3, items))
    latent = true + draw.normal(size=true.shape)
    true[1] = np.round(true[1])
    latent[2] = np.round(2 * latent[2])
    expected = by_loop(true, latent, *ties)
    for count in (counting.count_rows, counting.count_on_device):
        found = count(true, latent, true_ties=ties[0], latent_ties=ties[1])
        np.testing.assert_array_equal(np.array(found), expected)


def test_tau_b_is_scipys_per_user():
    draw = np.random.default_rng(0)
    true = draw.integers(0, 6, (40, 900)).astype(np.float32)
    latent = np.round(true + 3 * draw.normal(size=true.shape), 1).astype(np.float32)
    counts = counting.exhaustive(lambda i: (true[i], latent[i]), 40, block=7)
    expected = [
        stats.kendalltau(t.astype(float), z.astype(float)).statistic
        for t, z in zip(true, latent, strict=True)
    ]
    np.testing.assert_allclose(rates.tau_b(counts), expected, rtol=1e-12)
    assert (counts.total == 900 * 899 // 2).all()


def test_counts_pass_two_to_the_31st_and_do_not_depend_on_the_split():
    draw = np.random.default_rng(1)
    true, latent = draw.normal(size=(2, 30, 16_000)).astype(np.float32)
    rows = lambda i: (true[i], latent[i])  # noqa: E731
    one, other = (
        counting.exhaustive(
            rows, 30, block=b, workers=w, true_tolerance=1e-6, latent_tolerance=1e-6
        )
        for b, w in ((30, 1), (4, 2))
    )
    np.testing.assert_array_equal(np.array(one), np.array(other))
    total = sum(int(part.sum()) for part in one)
    assert total == 30 * 16_000 * 15_999 // 2 > 2**31
    assert sum(int(v) for v in one.reversed_) / total == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("layout", ["dense", "sparse", "basis"])
@pytest.mark.parametrize("kind", ["dot", "cosine"])
def test_score_rows_are_the_scores(layout, kind):
    draw = np.random.default_rng(2)
    users = draw.integers(0, 6, (9, 15)) * (draw.random((9, 15)) < 0.5) * 1.0
    items = np.eye(15) if layout == "basis" else draw.normal(size=(20, 15))
    pack = sparse.csr_matrix if layout == "sparse" else np.asarray
    domain = samplers.empirical(pack(users), None if layout == "basis" else pack(items))
    weight = draw.normal(size=(4, 15))
    wrapped = encoder.wrap(lambda x: jnp.asarray(weight, x.dtype) @ x, 15)
    scores = counting.score_rows(wrapped, domain.crossing, truth=kind, latent=kind)
    true, latent = scores.rows(np.arange(9))
    for got, x, u in ((true, users, items), (latent, users @ weight.T, items @ weight.T)):
        expected = x @ u.T / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30)
        if kind == "cosine":
            expected /= np.linalg.norm(u, axis=1)
        ratio = got[expected != 0] / expected[expected != 0]
        np.testing.assert_allclose(ratio, ratio[0], rtol=2e-3)


def test_sampled_triples_of_data_agree_with_all_of_them():
    draw = np.random.default_rng(3)
    users, items = draw.normal(size=(150, 8)), draw.normal(size=(80, 8))
    domain = samplers.empirical(users, items)
    weight = draw.normal(size=(3, 8))
    wrapped = encoder.wrap(lambda x: jnp.asarray(weight, x.dtype) @ x, 8)
    scores = counting.score_rows(wrapped, domain.crossing)
    whole = counting.exhaustive(scores.rows, 150)
    rate = whole.violations.sum() / whole.total.sum()
    drawn = [
        order.summary(user)
        for i in range(20)
        for user in counting.sample(
            scores, 150, jax.random.key(i), true_ties=1e-6, latent_ties=1e-6, users=32
        )
    ]
    wrong, of = [t.violations for t in drawn], [t.total for t in drawn]
    low, high = rates.bootstrap(wrong, of, jax.random.key(99), confidence=0.999)
    assert low < rate < high and high - low < 0.05


def test_a_score_that_is_not_a_number_is_named():
    with pytest.raises(ValueError, match="true scores"):
        counting.exhaustive(lambda i: (np.full((1, 3), np.nan), np.ones((1, 3))), 1)


@pytest.mark.slow
def test_the_size_of_ml_1m_is_counted_in_seconds_faster_than_scipy():
    draw = np.random.default_rng(0)
    true = draw.normal(size=(6040, 3706)).astype(np.float32)
    rows = lambda i: (true[i], true[i] + draw.normal(size=(len(i), 3706)).astype(np.float32))  # noqa: E731
    start = time.perf_counter()
    counts = counting.exhaustive(rows, 6040, true_tolerance=5e-5, latent_tolerance=1e-4)
    seconds = time.perf_counter() - start
    assert int(counts.total.sum()) == 6040 * 3706 * 3705 // 2
    start = time.perf_counter()
    for i in range(100):
        stats.kendalltau(true[i], -true[i + 1])
    loop = (time.perf_counter() - start) * 60.4
    print(f"{seconds:.1f} s, a loop over SciPy's kendalltau {loop:.1f} s")
    assert seconds < 15
