"""The synthetic world: its stated laws hold, and its limits are those of brute force."""

import math
import tracemalloc

import numpy as np
import pytest

from aerec.data import synthetic
from aerec.errors import BadInput


def test_shapes_and_counts():
    ratings, truth = synthetic.synthesize(users=300, items=120, ratings=6_000, seed=1)
    assert (
        len(ratings.user) == len(ratings.item) == len(ratings.value) == len(ratings.time) == 6_000
    )
    np.testing.assert_array_equal(np.unique(ratings.item), np.arange(len(ratings.item_ids)))
    count = np.bincount(ratings.user, minlength=300)
    assert count.min() >= 1 and count.max() <= 60
    np.testing.assert_array_equal(count, truth.world.activity)
    pairs = ratings.user.astype(np.int64) * 120 + ratings.item
    assert len(np.unique(pairs)) == 6_000
    assert set(ratings.value.tolist()) <= {1, 2, 3, 4, 5}
    same_user = np.diff(ratings.user) == 0
    assert (np.diff(ratings.time)[same_user] >= 0).all() and (np.diff(ratings.user) >= 0).all()
    assert truth.world.popularity.shape == ratings.item_ids.shape


def test_seeded():
    small = dict(users=50, items=40, ratings=400)
    one, two = (synthetic.synthesize(**small, seed=5)[0] for _ in range(2))
    other = synthetic.synthesize(**small, seed=6)[0]
    for name in ("user", "item", "value", "time"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert (one.user.tolist(), one.item.tolist()) != (other.user.tolist(), other.item.tolist())


@pytest.mark.parametrize("level", [-1.0, 1.2, 3.5, 4.9, 8.0])
def test_moments_against_draws(level):
    world = synthetic.world(users=10, items=10, ratings=20, noise=0.7)
    mean, variance = world.moments(np.array([level]))
    noise = 0.7 * np.random.default_rng(0).standard_normal(400_000)
    stars = np.clip(np.rint(level + noise), 1, 5)
    assert abs(mean[0] - stars.mean()) < 5 * max(stars.std(), 0.01) / math.sqrt(400_000)
    assert abs(variance[0] - stars.var()) < 0.01


def test_bayes_rmse_is_met_and_is_the_least():
    ratings, truth = synthetic.synthesize(users=2_000, items=200, ratings=100_000, seed=2)
    world = truth.world
    level = world.level(ratings.user, ratings.item, ratings.time)
    best = world.moments(level)[0]
    error = (best - ratings.value) ** 2
    assert abs(error.mean() - truth.bayes_rmse**2) < 5 * error.std() / math.sqrt(len(error))
    for other in (best + 0.05, best - 0.05, level):  # the level itself is not the mean rating
        assert ((other - ratings.value) ** 2).mean() > error.mean()


@pytest.mark.parametrize("more", [{}, {"chance": 0.4, "clusters": 3, "taste": 2.0}])
def test_the_first_draw_follows_the_weights(more):
    """One item a user: its law is the weights themselves. Chi-square against them."""
    world = synthetic.world(
        users=60_000, items=20, ratings=60_000, rank=2, activity=0, seed=4, **more
    )
    count = np.zeros(20)
    for _, item, _, _ in synthetic.stream(world):
        count += np.bincount(item, minlength=20)
    weight = np.exp(world.log_weight(np.arange(60_000)))
    share = weight / weight.sum(1, keepdims=True)
    spread = (share * (1 - share)).sum(0)
    z = (count - share.sum(0)) / np.sqrt(spread)
    assert np.abs(z).max() < 4.5


def test_chance_is_the_share_of_popularity_alone():
    """The probability of an item is `chance` of its popularity and the rest by taste."""
    own, mixed = (
        synthetic.world(users=50, items=30, ratings=300, taste=1.5, chance=share)
        for share in (0, 0.3)
    )
    by_taste, both = (np.exp(world.log_weight(np.arange(50))) for world in (own, mixed))
    by_taste, both = (weight / weight.sum(1, keepdims=True) for weight in (by_taste, both))
    np.testing.assert_allclose(both, 0.7 * by_taste + 0.3 * own.popularity, rtol=1e-9)


def test_clusters_are_the_only_vectors():
    world = synthetic.world(users=200, items=100, ratings=2_000, rank=8, clusters=5)
    vectors = np.unique(world.user_factors, axis=0)
    assert len(vectors) == 5
    np.testing.assert_array_equal(np.unique(world.item_factors, axis=0), vectors)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"chance": 1.0}, "chance is below 1"),
        ({"chance": -0.1}, "not negative"),
        ({"clusters": -1}, "not negative"),
    ],
)
def test_values_out_of_range(more, says):
    with pytest.raises(BadInput, match=says):
        synthetic.world(users=50, items=30, ratings=300, **more)


def test_popularity_is_zipf_and_activity_log_normal():
    world = synthetic.world(users=20_000, items=1_000, ratings=1_000_000, zipf=0.8, activity=0.7)
    ranked = np.sort(world.popularity)[::-1]
    np.testing.assert_allclose(ranked / ranked[0], np.arange(1, 1001) ** -0.8, rtol=1e-9)
    assert world.activity.sum() == 1_000_000
    assert abs(np.log(world.activity).std() - 0.7) < 0.03


def test_true_weights_rank_best():
    """Popularity alone, and weights with noise, reach less than the truth does."""
    ratings, truth = synthetic.synthesize(users=1_500, items=300, ratings=60_000, seed=3)
    world = truth.world
    assert 0 < truth.best_ndcg < 1 and truth.best_ndcg_se > 0

    class Worse:
        activity, popularity, seed = world.activity, world.popularity, world.seed

        def __init__(self, log_weight):
            self.log_weight = log_weight

    rng = np.random.default_rng(0)
    flat = Worse(lambda user: np.log(world.popularity)[None])
    noisy = Worse(lambda user: world.log_weight(user) + rng.standard_normal(len(world.popularity)))
    for other in (flat, noisy):
        assert synthetic.best_ndcg(ratings, other)[0] < truth.best_ndcg - 3 * truth.best_ndcg_se


def test_best_ndcg_against_a_loop():
    ratings, truth = synthetic.synthesize(users=30, items=40, ratings=300, seed=7)
    rng = np.random.default_rng([7, 0])
    scores = []
    for user in rng.permutation([u for u in range(30) if truth.world.activity[u] >= 5]):
        items = rng.permutation(ratings.item[ratings.user == user]).tolist()
        held = items[: max(1, int(0.2 * len(items)))]
        weight = truth.world.log_weight(np.array([user]))[0]
        seen = set(items) - set(held)
        ranked = sorted((i for i in range(len(weight)) if i not in seen), key=lambda i: -weight[i])
        gain = sum(1 / math.log2(ranked.index(i) + 2) for i in held if i in ranked[:100])
        scores.append(gain / sum(1 / math.log2(n + 2) for n in range(len(held))))
    assert truth.best_ndcg == pytest.approx(np.mean(scores), rel=1e-9)


def test_clicks():
    ratings, truth = synthetic.synthesize(users=50, items=60, ratings=500, implicit=1)
    assert ratings.scale is None and truth.bayes_rmse is None
    assert (ratings.value == 1).all() and truth.best_ndcg > 0


def test_memory_of_a_stream_is_bounded(monkeypatch):
    """Ten times the ratings, not ten times the memory."""
    monkeypatch.setattr(synthetic, "_BLOCK", 5_000)
    peaks = []
    for users in (500, 5_000):
        world = synthetic.world(users=users, items=400, ratings=users * 40, activity=0.5)
        tracemalloc.start()
        count = sum(len(block[0]) for block in synthetic.stream(world))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert count == users * 40
    assert peaks[1] < 1.5 * peaks[0]
