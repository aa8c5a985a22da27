"""Rankings that the code flattens (P3'): is u -> <f(x), g(u)> constant for some x?

P3 asks that `f(x) != 0` for `x != 0`. A constant coordinate grants that (theorem B) and ranks
nothing: where f vanishes, all scores of `(c, f)` are `c^2`. What a recommender needs is P3': for
every x whose true ranking `u -> <x, u>` is not constant on the items, `u -> <f(x), g(u)>` is not
constant there. On R^n these are all `x != 0`. The scores of x are constant exactly where f(x) is
orthogonal to all differences `g(u) - g(v)`. So P3' is P3 of the encoder `P f`, with P the
projection on their span.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aerec.properties import counting, order, propagation, zero_search, zeros
from aerec.properties.domain import Data, Separated
from aerec.properties.encoder import Encoder
from aerec.properties.order import Tally
from aerec.properties.problem import Problem
from aerec.properties.propagation import Network
from aerec.properties.scores import Scores
from aerec.properties.zeros import Zero

_POOL = 1024  # items u whose codes span the differences
_SAMPLE = 512  # users of data that is not counted exhaustively


class Flat(NamedTuple):
    """A point x whose scores are constant, or nearly.

    Attributes:
      x: [n] float64.
      norm: of the part of f(x) that ranks, relative to its usual size.
      spread: largest minus smallest latent score of x, relative to `|f(x)| max |g(u)|`, in float64.
      kind, source, reach: as of `zeros.Zero`, for that part.
    """

    x: np.ndarray
    norm: float
    spread: float
    kind: str
    source: str
    reach: float | None = None


class Rankings(NamedTuple):
    """How many rankings are constant.

    Attributes:
      flat: x whose true ranking is not constant and whose latent ranking is, within ties.
      of: all x whose true ranking is not constant.
      items: how many u's ranked.
      span: dimension of the span of `g(u) - g(v)`; None on data without a flat user.
      complete: whether these are all x of the domain.
      example: a flat x, or None.
    """

    flat: int
    of: int
    items: int
    span: int | None
    complete: bool
    example: Flat | None


UNKNOWN = Rankings(0, 0, 0, None, False, None)  # nothing was examined


def flat_users(tally: Tally) -> tuple[np.ndarray, np.ndarray]:
    """Return which users of a tally [U] are flat, and which have a true ranking that is not.

    A user is flat if two items differ by their true scores, and no two by their latent scores.
    """
    ranked = np.asarray(tally.ordered) > 0
    flat = np.asarray(tally.concordant + tally.reversed_ + tally.broken) == 0
    return flat & ranked, ranked


def of_data(problem: Problem, scores: Scores, tally: Tally | None, key: jax.Array) -> Rankings:
    """Examine the rankings of the users of data; consumes `key`.

    Args:
      scores: of the data.
      tally: of every user, [U]; None: a sample of users is ranked.
    """
    data = problem.domain
    assert isinstance(data, Data)
    users, items = data.shape
    index = np.arange(users)
    if tally is None:
        draw = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
        index = draw.choice(users, min(users, _SAMPLE), replace=False)
        true, latent = scores.rows(index)
        tally = counting.count_rows(
            true, latent, true_ties=problem.true_ties, latent_ties=problem.latent_ties
        )
    flat, ranked = flat_users(tally)
    if not flat.any():
        return Rankings(0, int(ranked.sum()), items, None, len(index) == users, None)
    pieces = np.array_split(np.arange(items), -(-items // _POOL))
    codes = np.concatenate([problem.items.exact(data.item_rows(piece)) for piece in pieces])
    found: list[Flat] = []
    for number in index[flat][:4]:
        x = data.user_rows(np.array([number]))[0].astype(np.float64)
        z = problem.users.exact(x[None])[0]
        spread = float(_spread(z, codes, problem))
        kind = "exact" if _constant(z, codes, problem) else "undecided"
        if not z.any():
            some = data.user_rows(np.linspace(0, users - 1, min(users, 512)).astype(int))
            some = some[some.any(axis=1)].astype(np.float64)
            around = zeros.survey(problem.users, some, problem.users.exact(some))
            kind = zeros.examine(problem.users, x, around, "").kind
        found.append(Flat(x, 0.0, spread, kind, f"user {number} of the data"))
    example = min(found, default=None, key=lambda flat: zeros.KINDS.index(flat.kind))
    span = len(_span(codes, problem))
    complete = len(index) == users
    return Rankings(int(flat.sum()), int(ranked.sum()), items, span, complete, example)


def of_domain(
    problem: Problem, key: jax.Array, zero: Zero | None, network: Network | None = None
) -> Rankings:
    """Draw x and u from the domain, count constant rankings, and search for one; consumes `key`.

    Args:
      zero: as found for P3. With one encoder, it is the answer if the differences span R^m.
      network: the layers of f, if they are known.
    """
    k_draw, k_search = jax.random.split(key)
    count = max(64, min(_POOL, 2**22 // problem.n))
    x, u, v = (np.asarray(part) for part in problem.domain.triples(k_draw, count))
    if isinstance(problem.domain, Separated):
        x, u = x[:1], np.concatenate([u, v])
    codes = problem.items.exact(u.astype(np.float64))
    codes = codes[np.isfinite(codes).all(axis=1)]
    span = _span(codes, problem)
    native = np.asarray(problem.users.native(x), np.float64)
    flat = x.any(axis=1) & (_spread(native, codes, problem) <= problem.latent_ties)
    if not len(span):
        zero = None
    elif len(span) < problem.m or problem.towers or isinstance(problem.domain, Separated):
        ranking = _projected(problem.users, span)
        seen = x[np.argmax(flat)].astype(np.float64) if flat.any() else None
        if not isinstance(problem.domain, Separated):
            last = propagation.Affine(span, np.zeros(len(span)), propagation.IDENTITY)
            layers = None if network is None else [*network, last]
            zero = zero_search.search(
                ranking, problem.domain, k_search, seen=seen, network=layers
            )
        else:
            around = zeros.survey(ranking, u.astype(np.float64), ranking.exact(u))
            zero = None if seen is None else zeros.examine(ranking, seen, around, "the user")
    example = None
    if zero is not None:
        z = problem.users.exact(zero.x[None])[0]
        spread, kind = _spread(z, codes, problem), zero.kind
        if kind == "exact" and not _constant(z, codes, problem):
            kind = "undecided"
        example = Flat(zero.x, zero.norm, float(spread), kind, zero.source, zero.reach)
    complete = isinstance(problem.domain, Separated)
    return Rankings(int(flat.sum()), len(x), len(codes), len(span), complete, example)


def _spread(z: np.ndarray, codes: np.ndarray, problem: Problem) -> np.ndarray:
    """Return largest minus smallest score of codes z [..., m] with the items, relative."""
    items = order.unit(codes) if problem.latent == "cosine" else codes
    items = items / order.safe(np.linalg.norm(items, axis=1).max())
    return np.ptp(order.unit(z) @ (items - items.mean(axis=0)).T, axis=-1)


def _constant(z: np.ndarray, codes: np.ndarray, problem: Problem) -> bool:
    """Return whether all scores of a code [m] are equal but for the rounding of their sums.

    A score is compared with the size of its own terms: next to the product of the norms, scores of
    codes that differ by many powers of ten seem constant where they are not.
    """
    items = order.unit(codes) if problem.latent == "cosine" else codes
    items, z = items / order.safe(abs(items).max()), order.unit(z)
    terms = abs(items) @ abs(z)
    return bool((abs((items - items[0]) @ z) <= _ties(problem) * (terms + terms[0])).all())


def _span(codes: np.ndarray, problem: Problem) -> np.ndarray:
    """Return rows [r, m] that span the differences of the item codes, up to ties.

    They are coordinates, so that what is exactly 0 stays so, if the coordinates that vary are
    independent; and singular vectors otherwise. The differences from an item of the median norm are
    scaled to one length: a few large codes do not hide the others.
    """
    items = order.unit(codes) if problem.latent == "cosine" else codes
    items = items / order.safe(abs(items).max())
    varies = np.ptp(items, axis=0) > 0
    axes, items = np.eye(codes.shape[1])[varies], items[:, varies]
    if not varies.any():
        return axes
    sizes = order.top(items)
    middle = int(np.argsort(sizes[:, 0], kind="stable")[len(sizes) // 2])
    apart = items - items[middle]
    ties = order.top(apart) <= problem.latent_ties * np.maximum(sizes, sizes[middle])
    apart = order.unit(np.where(ties, 0.0, apart))
    directions = np.linalg.svd(apart, full_matrices=False)[2]
    wide = abs(apart @ directions.T).max(axis=0) > problem.latent_ties
    return axes if wide.sum() == varies.sum() else directions[wide] @ axes


def _projected(encoder: Encoder, span: np.ndarray) -> Encoder:
    """Return the encoder of `span f(x)`, in which 0 is what rounding alone keeps from 0."""
    selects = bool(((span == 0) | (span == 1)).all())
    eps = 0.0 if selects else 8 * float(np.finfo(float).eps)

    def exact(points):
        codes = encoder.exact(points)
        projected, size = codes @ span.T, abs(codes).sum(axis=1, keepdims=True)
        return np.where(abs(projected) <= eps * size, 0.0, projected)

    def single(x):
        code = encoder.single(x)
        return jnp.asarray(span, code.dtype) @ code

    def native(points):
        return np.asarray(encoder.native(points)) @ span.T

    return encoder._replace(single=single, native=native, exact=exact, m=len(span))


def _ties(problem: Problem) -> float:
    return order.tolerance(float(np.finfo(float).eps), max(problem.n, problem.m))
