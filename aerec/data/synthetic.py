"""Synthetic ratings from a known model, so that a run can be compared with the best possible.

The world: unit vectors `p_u`, `q_i` in `rank` dimensions, of affinity
`a(u, i) = clip(sqrt(rank) p_u . q_i, -2, 2)`. With `clusters`, each user and each item has the
vector of one of so many clusters; without, each has its own.

- The number of items that a user rates is log-normal (spread `activity`), at least 1 and at most
  half of all items.
- The items are drawn one after another without replacement, with weights
  `w(u, i) = popularity_i (exp(taste a(u, i)) + c_u)`. Popularity follows Zipf's law,
  `1 / rank_i ** zipf`. `c_u` is such that a share `chance` of the weight is by popularity alone.
- The times lie in the user's own part of the ten years from 2000, in the order of the draws.
- The rating is `3.5 + bias_u + bias_i + drift_i (tau - 1/2) + signal a(u, i)` (`tau` in [0, 1): the
  time) plus normal noise, rounded to a whole star and clipped to 1..5. With `implicit=1` it is a
  click.

Two limits follow. RMSE: the best prediction is the mean rating given the world; its error is the
standard deviation that the noise has on the scale. Ranking: if a random part of a user's items is
held out, an unseen item is the more probable the larger its weight, so ranking by `w` is best for
NDCG. A split other than that of `best_ndcg` has another limit, which its own evaluator can compute
from `World.log_weight`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from aerec.data.ratings import Ratings
from aerec.errors import BadInput

_BOUND = 2.0  # of the affinity; bounds the odds of a draw: about one in five is accepted
_START, _SPAN = 946_684_800, 315_360_000  # 2000-01-01 and ten years, in seconds
_STARS = np.arange(1, 6)
_BLOCK = 200_000  # ratings drawn at a time; bounds the memory besides the result


@dataclass(frozen=True)
class World:
    """The model that ratings are drawn from: U users, I items of the catalogue, K = rank."""

    user_factors: np.ndarray  # [U, K] float32, unit rows
    item_factors: np.ndarray  # [I, K] float32, unit rows
    user_bias: np.ndarray  # [U] float32, stars
    item_bias: np.ndarray  # [I] float32, stars
    item_drift: np.ndarray  # [I] float32, stars over the ten years
    popularity: np.ndarray  # [I] float64, sums to 1
    activity: np.ndarray  # [U] int64, ratings of each user
    log_chance: np.ndarray  # [U] float64, log c_u; -inf: no draw is by popularity alone
    taste: float
    signal: float
    noise: float
    implicit: bool
    seed: int

    def affinity(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Compute `a(u, i)` [n] of n pairs."""
        dot = np.einsum("nk,nk->n", self.user_factors[user], self.item_factors[item])
        return np.clip(math.sqrt(self.item_factors.shape[1]) * dot, -_BOUND, _BOUND)

    def log_weight(self, user: np.ndarray) -> np.ndarray:
        """Compute `log w(u, i)` [n, I] of n users: it ranks their unseen items best."""
        dot = self.user_factors[user] @ self.item_factors.T
        affinity = np.clip(math.sqrt(self.item_factors.shape[1]) * dot, -_BOUND, _BOUND)
        chance = self.log_chance[user][:, None]
        return np.logaddexp(self.taste * affinity, chance) + np.log(self.popularity)

    def level(self, user: np.ndarray, item: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Compute the ratings [n] before noise, rounding and clipping."""
        tau = (time - _START) / _SPAN
        bias = self.user_bias[user] + self.item_bias[item] + self.item_drift[item] * (tau - 0.5)
        return 3.5 + bias + self.signal * self.affinity(user, item)

    def moments(self, level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute mean and variance [n] of the stars at a level, by a table of normal integrals."""
        grid = np.linspace(-6, 13, 3801)
        edges = (_STARS[:-1] + 0.5)[:, None] - grid  # a star ends half a star above itself
        below = np.vectorize(math.erf)(edges / (self.noise * math.sqrt(2))) / 2 + 0.5
        ones, zeros = np.ones_like(grid)[None], np.zeros_like(grid)[None]
        share = np.diff(np.concatenate([zeros, below, ones]), axis=0)
        mean = _STARS @ share
        return np.interp(level, grid, mean), np.interp(level, grid, _STARS**2 @ share - mean**2)


class Truth(NamedTuple):
    """The world behind synthetic `Ratings`, and the scores that no model can beat but by chance.

    The catalogue of the world is restricted to the N items that occur.
    """

    world: World  # rows and columns as in the ratings
    bayes_rmse: float | None  # of the mean rating given the world; None for clicks
    best_ndcg: float  # NDCG@100 of the ranking by true weights, as `best_ndcg` measures it
    best_ndcg_se: float  # its standard error over users


def world(
    *,
    users: int = 1000,
    items: int = 500,
    ratings: int = 50_000,
    rank: int = 8,
    seed: int = 0,
    zipf: float = 0.8,
    activity: float = 1.0,
    taste: float = 1.0,
    signal: float = 0.5,
    noise: float = 0.8,
    drift: float = 0.5,
    implicit: int = 0,
    chance: float = 0.0,
    clusters: int = 0,
) -> World:
    """Draw a world.

    Args:
      users, items, ratings: their numbers; each user rates from 1 item to half of all items.
      rank: K, the dimension of the affinity.
      seed: of all draws.
      zipf: exponent of the popularity.
      activity: standard deviation of the logarithm of a user's number of items, before rounding.
      taste: weight of the affinity in the choice of items.
      signal: weight of the affinity in the rating, in stars.
      noise: standard deviation of the noise, in stars.
      drift: standard deviation of an item's drift over the ten years, in stars.
      implicit: 1 for clicks instead of ratings.
      chance: share of a user's weights that is by popularity alone, below 1.
      clusters: number of different vectors of users and of items; 0: each has its own.

    Raises:
      BadInput: sizes that do not fit each other, or a value out of range.
    """
    most = items // 2
    if min(users, items, rank) < 1 or not users <= ratings <= users * most:
        raise BadInput(
            f"synthetic: {ratings} ratings do not fit {users} users and {items} items: each user "
            f"rates from 1 to {most} (half) of the items. Change users, items or ratings."
        )
    if noise < 0.05 or min(zipf, activity, taste, signal, drift, seed, chance, clusters) < 0:
        raise BadInput(
            "synthetic: noise is at least 0.05; the other spreads, shares and counts and the seed "
            "are not negative."
        )
    if chance >= 1:
        raise BadInput("synthetic: chance is below 1; taste=0 leaves popularity alone.")
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    def unit(rows: int) -> np.ndarray:
        rows_ = normal(rows, rank)
        return rows_ / np.linalg.norm(rows_, axis=1, keepdims=True)

    popularity = 1 / np.arange(1, items + 1) ** zipf
    drawn = World(
        user_factors=unit(users),
        item_factors=unit(items),
        user_bias=0.4 * normal(users),
        item_bias=0.4 * normal(items),
        item_drift=drift * normal(items),
        popularity=rng.permutation(popularity / popularity.sum()),
        activity=_activity(rng, users, ratings, most, activity),
        log_chance=np.full(users, -np.inf),
        taste=taste,
        signal=signal,
        noise=noise,
        implicit=bool(implicit),
        seed=seed,
    )
    if clusters:
        vectors = unit(clusters)
        drawn = replace(
            drawn,
            user_factors=vectors[rng.integers(clusters, size=users)],
            item_factors=vectors[rng.integers(clusters, size=items)],
        )
    return replace(drawn, log_chance=_log_chance(drawn, chance)) if chance else drawn


def _log_chance(world: World, chance: float) -> np.ndarray:
    """Compute `log c_u` [U], `c_u = chance / (1 - chance) sum_i popularity_i exp(taste a)`."""
    step = max(1, _BLOCK // len(world.popularity))
    users = np.arange(len(world.activity))
    blocks = (world.log_weight(users[at : at + step]) for at in range(0, len(users), step))
    total = np.concatenate([np.logaddexp.reduce(block, axis=1) for block in blocks])
    return total + math.log(chance / (1 - chance))


def _activity(rng: np.random.Generator, users: int, ratings: int, most: int, spread: float):
    """Draw log-normal counts [U] int64 in 1..most that sum to `ratings`."""
    raw = np.exp(spread * rng.standard_normal(users))
    low, high = 0.0, most / raw.min() + 1
    for _ in range(100):  # bisection on the scale
        middle = (low + high) / 2
        fits = np.clip(raw * middle, 1, most).astype(np.int64).sum() <= ratings
        low, high = (middle, high) if fits else (low, middle)
    count = np.clip(raw * low, 1, most).astype(np.int64)
    while rest := ratings - int(count.sum()):
        count[rng.permutation(np.flatnonzero(count < most))[:rest]] += 1
    return count


def stream(world: World) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (user, item, value, time), each [n], of one block of users after another.

    Ratings are sorted by user, then by time. Memory is bounded by the block, for any number of
    ratings. Equal worlds give equal ratings.
    """
    stop = np.cumsum(world.activity)
    first = 0
    while first < len(stop):
        start = stop[first] - world.activity[first]
        last = max(first + 1, int(np.searchsorted(stop, start + _BLOCK, "right")))
        rng = np.random.default_rng([world.seed, first + 1])
        need = world.activity[first:last]
        user, item = _draw(rng, world, first, need)
        ends = np.repeat(np.cumsum(need), need)
        place = (np.arange(len(user)) - ends + world.activity[user] + rng.random(len(user))) / (
            world.activity[user]
        )
        begin = rng.random(len(need))[user - first]
        time = _START + (_SPAN * (begin + (1 - begin) * place / 2)).astype(np.int64)
        value = np.ones(len(user), np.float32)
        if not world.implicit:
            noisy = world.level(user, item, time) + world.noise * rng.standard_normal(len(user))
            value = np.clip(np.rint(noisy), _STARS[0], _STARS[-1]).astype(np.float32)
        yield user.astype(np.int32), item.astype(np.int32), value, time
        first = last


def _draw(rng: np.random.Generator, world: World, first: int, need: np.ndarray):
    """Draw (user, item) [need.sum()] int64: each user's items, in the order drawn.

    Draws with replacement whose repeats are ignored are draws without replacement. Rejection
    sampling: an item is proposed by popularity and accepted with the probability
    `(exp(taste a) + c) / (exp(2 taste) + c)`.
    """
    num_items, cumulative = len(world.popularity), np.cumsum(world.popularity)
    taken, left, tries = np.zeros(0, np.int64), need, 6
    chance = np.exp(world.log_chance[first : first + len(need)] - world.taste * _BOUND)
    while left.any():
        row = np.repeat(np.arange(len(need)), left * tries)
        item = np.searchsorted(cumulative, rng.random(len(row)) * cumulative[-1], "right")
        least = chance[row]
        odds = np.exp(world.taste * (world.affinity(first + row, item) - _BOUND))
        odds = (odds + least) / (1 + least)
        pair = (row * num_items + item)[rng.random(len(row)) < odds]
        pair = np.concatenate([taken, pair])
        pair = pair[np.sort(np.unique(pair, return_index=True)[1])]  # the first of each
        row = pair // num_items
        order = np.argsort(row, kind="stable")
        pair, row = pair[order], row[order]
        place = np.arange(len(row)) - np.searchsorted(row, row)
        taken = pair[place < need[row]]
        left = need - np.bincount(taken // num_items, minlength=len(need))
        tries = min(2 * tries, 1000)
    return first + taken // num_items, taken % num_items


def synthesize(**parameters) -> tuple[Ratings, Truth]:
    """Draw ratings and return them with their truth; parameters and errors are those of `world`.

    Memory: 20 bytes per rating, and one block. `user_ids` and `item_ids` are indices of the world.
    """
    drawn = world(**parameters)
    size = int(drawn.activity.sum())
    user, item = np.empty(size, np.int32), np.empty(size, np.int32)
    value, time = np.empty(size, np.float32), np.empty(size, np.int64)
    at, variance = 0, 0.0
    for block in stream(drawn):
        part = slice(at, at + len(block[0]))
        user[part], item[part], value[part], time[part] = block
        if not drawn.implicit:
            level = drawn.level(block[0], block[1], block[3])
            variance += float(drawn.moments(level)[1].sum())
        at = part.stop
    occurs = np.bincount(item, minlength=len(drawn.popularity)) > 0
    item = (np.cumsum(occurs, dtype=np.int32) - 1)[item]
    cut = {
        name: getattr(drawn, name)[occurs]
        for name in ("item_factors", "item_bias", "item_drift", "popularity")
    }
    drawn = replace(drawn, **cut)
    scale = None if drawn.implicit else (float(_STARS[0]), float(_STARS[-1]))
    ids = np.arange(len(drawn.activity)), np.flatnonzero(occurs)
    ratings = Ratings(user, item, value, time, *ids, None, None, scale, "synthetic")
    rmse = None if drawn.implicit else math.sqrt(variance / size)
    return ratings, Truth(drawn, rmse, *best_ndcg(ratings, drawn))


def best_ndcg(
    ratings: Ratings, world: World, *, k: int = 100, share: float = 0.2, most_users: int = 2000
) -> tuple[float, float]:
    """Compute the mean NDCG@k of the ranking by true weights, and its standard error over users.

    Of each user with at least 5 items a random `share` is held out (seeded by the world), and the
    rest is masked. The gain is binary; DCG is divided by that of `min(k, held-out items)` hits at
    the top. At most `most_users` users, chosen at random, are scored.

    Returns:
      (mean, standard error), both NaN if no user has 5 items.
    """
    rng = np.random.default_rng([world.seed, 0])
    users = rng.permutation(np.flatnonzero(world.activity >= 5))[:most_users]
    stop = np.cumsum(world.activity)
    k = min(k, len(world.popularity))
    discount = 1 / np.log2(np.arange(k) + 2)
    scores = []
    for user in users:
        items = rng.permutation(ratings.item[stop[user] - world.activity[user] : stop[user]])
        held = items[: max(1, int(share * len(items)))]
        weight = world.log_weight(np.array([user]))[0]
        weight[items[len(held) :]] = -np.inf
        top = np.argpartition(-weight, k - 1)[:k]
        top = top[np.argsort(-weight[top])]
        scores.append(discount[np.isin(top, held)].sum() / discount[: len(held)].sum())
    if not scores:
        return math.nan, math.nan
    return float(np.mean(scores)), float(np.std(scores) / math.sqrt(len(scores)))
