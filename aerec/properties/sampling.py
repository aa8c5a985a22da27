"""Counts of sampled triples: in blocks, over devices, within a budget, resumable."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from aerec.properties import counting, order
from aerec.properties.budget import Budget
from aerec.properties.encoder import check_finite
from aerec.properties.journal import Journal
from aerec.properties.problem import Problem
from aerec.properties.scores import Scores

_SHARE = 0.5  # of the seconds left, for all blocks
_BLOCK = 0.05  # and for one block, where rows are encoded one by one


class Sampled(NamedTuple):
    """Running totals.

    Attributes:
      block: the number of the next block.
      counts: [BINS, 3, 3].
      zeros: codes that are exactly zero, of x that are not.
      users: (violations, triples) of each drawn user.
      seconds: elapsed.
      zero: the first such x, [n].
    """

    block: int
    counts: np.ndarray
    zeros: int
    users: list[tuple[int, int]]
    seconds: float
    zero: list[float] | None = None


def count(
    problem: Problem,
    scores: Scores | None,
    key: jax.Array,
    *,
    budget: Budget,
    chunk: int,
    state: Journal,
    progress: Callable[[int, int], None] | None,
) -> Sampled:
    """Count blocks of triples until the budget is spent; the totals are stored in `state`.

    Consumes `key`.

    Args:
      scores: the score rows of data; None: triples are drawn from the domain.
      budget: of triples; of seconds, half of those left are spent.
      chunk: blocks per compiled call.
      state: the journal to resume from.
      progress: called with the triples counted, and with all (0 if not known).
    """
    goal, timed = budget.triples, budget.seconds < math.inf
    size = max(64, min(4096, 2 ** int(np.log2(max(1, 2**22 // problem.n)))))
    size = max(16, min(size, budget.rows(_BLOCK) // 3))
    totals = _totals(**state.parts["sampled"]) if "sampled" in state.parts else _NONE
    budget.spend(totals.seconds)
    if scores is None:
        step = _free_blocks(problem, key, size)
    else:
        step = _data_blocks(problem, scores, key)
        chunk = 1
    if not problem.traceable and timed:
        chunk = 1
    end = budget.elapsed + _SHARE * budget.left
    while True:
        done = int(totals.counts.sum())
        left = goal - done
        if left <= 0 or (totals.block and budget.elapsed > end):
            break
        most = -(-left // size) if scores is None and not timed else chunk
        totals = step(totals, np.arange(totals.block, totals.block + min(chunk, max(1, most))))
        totals = totals._replace(seconds=budget.elapsed)
        if progress:
            progress(int(totals.counts.sum()), 0 if timed else goal)
        if state.due():
            state.keep("sampled", _plain(totals))
    state.keep("sampled", _plain(totals))
    return totals


def _free_blocks(problem, key, size):
    """Return the step that counts blocks of `size` independent triples.

    Each block is computed separately and in one shape, whatever the chunk and the device. This
    makes the counts reproducible. Drawing, encoding and judging are programs of their own, so that
    another encoder compiles only one of them anew.
    """
    domain = problem.domain
    how = {"true_ties": problem.true_ties, "latent_ties": problem.latent_ties,
           "truth": problem.truth, "latent": problem.latent, "fixed": problem.fixed}  # fmt: skip
    if problem.traceable:
        draw, judge = _drawing(domain.triples, size), _judging(**how)
        encode, many = _spread(problem.native), jax.device_count()

        def run(numbers):
            results = []
            for group in np.split(numbers, range(many, len(numbers), many)):
                padded = np.concatenate([group, np.repeat(group[-1:], many - len(group))])
                keys = jax.vmap(jax.random.fold_in, (None, 0))(key, padded)
                with jax.default_matmul_precision("highest"):
                    triples = draw(keys)
                    judged = judge(triples, encode(*triples))
                results.append([np.asarray(part)[: len(group)] for part in judged])
            return [np.concatenate(column) for column in zip(*results, strict=True)]
    else:

        def run(numbers):
            results = []
            for number in numbers:
                triples = domain.triples(jax.random.fold_in(key, int(number)), size)
                triples = [np.asarray(part, np.float64) for part in triples]
                results.append(_judge(triples, problem.native(*triples), **how))
            return [np.asarray(column) for column in zip(*results, strict=True)]

    def step(totals, numbers):
        counts, bad, dead = run(numbers)
        drawn = lambda where: domain.triples(  # noqa: E731
            jax.random.fold_in(key, int(numbers[np.argmax(where > 0)])), size
        )
        if bad.any():
            triples = drawn(bad)
            for points, codes in zip(triples, problem.native(*triples), strict=True):
                check_finite(codes, points, domain.name)
        zero = totals.zero
        if zero is None and dead.any():
            x = np.asarray(drawn(dead)[0])
            rows = x[~np.asarray(problem.users.native(x)).any(axis=1) & x.any(axis=1)]
            zero = rows[0].tolist() if len(rows) else None
        return totals._replace(
            block=int(numbers[-1]) + 1,
            counts=totals.counts + counts.astype(np.int64).sum(axis=0),
            zeros=totals.zeros + int(dead.sum()),
            zero=zero,
        )

    return step


@functools.lru_cache(maxsize=4)
def _drawing(triples: Callable, size: int) -> Callable:
    """Return the program that draws D blocks of triples from keys [D], three [D, size, n]."""
    return _spread(lambda key: triples(key, size))


@functools.lru_cache(maxsize=4)
def _judging(**how) -> Callable:
    """Return the program that applies `_judge` to D blocks of triples and their codes."""
    return _spread(functools.partial(_judge, **how))


def _spread(function: Callable) -> Callable:
    """Spread a function of one block over D blocks, one on each of D devices."""
    auto = jax.sharding.AxisType.Auto
    mesh = jax.make_mesh((jax.device_count(),), ("blocks",), axis_types=(auto,))

    def alone(*blocks):
        found = function(*jax.tree.map(lambda part: part[0], blocks))
        return jax.tree.map(lambda part: part[None], found)

    spread = jax.P("blocks")
    return jax.jit(
        jax.shard_map(alone, mesh=mesh, in_specs=spread, out_specs=spread, check_vma=False)
    )


def _judge(triples, codes, *, true_ties, latent_ties, truth, latent, fixed):
    """Count a block: x, u, v [S, n] and their codes [S, m], NumPy's or JAX's.

    Returns:
      Counts as `order.tally`; how many codes are not finite; how many x != 0 have a zero code.
    """
    xp = codes[0].__array_namespace__()
    x, u, v = triples
    fine = [xp.isfinite(part) for part in codes]
    z_x, z_u, z_v = (
        xp.where(good, part, xp.zeros_like(part)) for good, part in zip(fine, codes, strict=True)
    )
    counts = order.tally(
        order.relative_margin(x, u, v, kind=truth),
        order.code_margin(z_x, z_u, z_v, kind=latent, fixed=fixed),
        true_ties=true_ties, latent_ties=latent_ties,
    )  # fmt: skip
    dead = (codes[0] == 0).all(axis=1) & (x != 0).any(axis=1)
    return counts, sum((~good.all(axis=1)).sum() for good in fine), dead.sum()


def _data_blocks(problem, scores, key):
    """Return the step that counts blocks of users drawn from data; zeros are counted elsewhere."""
    among = problem.domain.ranking_users()
    ties = {"true_ties": problem.true_ties, "latent_ties": problem.latent_ties}

    def step(totals, numbers):
        for number in numbers:
            counts = counting.sample(scores, among, jax.random.fold_in(key, int(number)), **ties)
            rows = [order.summary(user) for user in counts]
            totals = totals._replace(
                block=int(number) + 1,
                counts=totals.counts + counts.sum(axis=0),
                users=totals.users + [(row.violations, row.total) for row in rows],
            )
        return totals

    return step


_NONE = Sampled(0, np.zeros((order.BINS, 3, 3), np.int64), 0, [], 0.0)


def _plain(totals: Sampled) -> dict[str, Any]:
    return totals._replace(counts=totals.counts.tolist())._asdict()  # type: ignore[arg-type]


def _totals(counts: list, users: list, **fields) -> Sampled:
    pairs = [(wrong, of) for wrong, of in users]
    return Sampled(counts=np.array(counts, np.int64), users=pairs, **fields)
