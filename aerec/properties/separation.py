"""Whether some query ranks one set of items above another, with a proof either way.

A query q scores item v by `<q, g_v> + b_v`. For two sets of items, exactly one of these exists
(Gordan 1873):

- a query and a threshold, the scores of the chosen items above it and those of their rivals below;
- weights of sum 1 on either set whose mean codes are equal, the chosen items' mean bias being at
  most the rivals'. The convex hulls of the codes meet, so no query separates the sets.

One non-negative least squares problem finds either: the point nearest to the origin in the hull of
all inequalities' coefficients solves them if it is not zero, and its weights are the certificate
if it is (Lawson & Hanson 1974; Wolfe 1976). Only the rivals that matter enter it: those that the
last solution ranks too high are added until there are none. It is solved in whitened codes.

Every answer is rechecked on the codes as given, in float64, outside JAX: a query against a bound on
the rounding error of its scores, a certificate against a tolerance. What passes neither is
undecided.
"""

from typing import NamedTuple

import numpy as np
import scipy  # whose packages are imported where they are first used

TOLERANCE = 1e-9  # of a certificate
_RIVALS = 200  # that a least squares problem starts with, and gains in a round
_FLOOR = 1e-6  # of a singular value in whitening, relative to the largest
_SHARE = 1e-3  # of the best possible lead, with which a solution is good enough


class Space(NamedTuple):
    """Items, as given and whitened.

    Attributes:
      codes: [I, d].
      bias: [I], or None where it changes no ranking.
      bound: the largest size of a coordinate of a query, or None.
      largest: the largest length of a code.
      points: [I, r] whitened codes, the bias among their coordinates.
      back: [d or d + 1, r]: `back @ z` is the query that ranks as z does on `points`.
      extra: [E, r]: a query within the bounds has a positive product with each of these.
    """

    codes: np.ndarray
    bias: np.ndarray | None
    bound: float | None
    largest: float
    points: np.ndarray
    back: np.ndarray
    extra: np.ndarray


class Certificate(NamedTuple):
    """Weights that prove that no query separates two sets of items.

    Attributes:
      chosen, rivals: weights of sum 1 on the items of either set.
      residual: by how much the certificate fails, at most `TOLERANCE`. Without a bound: the length
        of the difference of the mean codes over that of the largest centred code, or the surplus of
        the chosen items' mean bias over the largest centred bias, whichever is more. With one: the
        most that a query can gain, relative to the largest centred score.
    """

    chosen: np.ndarray
    rivals: np.ndarray
    residual: float


def space(codes: np.ndarray, bias: np.ndarray | None, bound: float | None = None) -> Space:
    """Whiten item codes [I, d], with a bias [I] as one more coordinate."""
    if bias is None or np.ptp(bias) == 0:  # then the length of a query changes no ranking
        bias = bound = None
    lifted = codes if bias is None else np.column_stack([codes, bias])
    centred = lifted - lifted.mean(axis=0)
    items, size = centred.shape
    _, singular, right = np.linalg.svd(centred, full_matrices=size > items)
    singular = np.pad(singular, (0, size - len(singular)))
    back = right.T * (np.sqrt(items) / np.maximum(singular, _FLOOR * singular[0] or 1.0))
    last = np.eye(size)[size - 1 :] if bias is not None else np.zeros((0, size))
    if bound is not None:
        sides = np.eye(size)[: size - 1]
        last = np.concatenate([last, bound * last + sides, bound * last - sides])
    largest = float(np.linalg.norm(codes, axis=1).max())
    return Space(codes, bias, bound, largest, centred @ back, back, last @ back)


def scores(space: Space, queries: np.ndarray) -> np.ndarray:
    """Score all items by queries [..., d]; the result is [..., I]."""
    return queries @ space.codes.T + (0.0 if space.bias is None else space.bias)


def slack(space: Space, queries: np.ndarray) -> np.ndarray:
    """Bound the rounding error of a difference of two scores of queries [..., d]."""
    gamma = (space.codes.shape[1] + 4) * np.finfo(np.float64).eps
    bias = 0.0 if space.bias is None else abs(space.bias).max()
    return 2.0 * gamma * (np.linalg.norm(queries, axis=-1) * space.largest + bias)


def holds(space: Space, query: np.ndarray, chosen: np.ndarray, rivals: np.ndarray) -> bool:
    """Recheck that a query within the bounds ranks all chosen items strictly above all rivals."""
    if space.bound is not None and abs(query).max(initial=0.0) > space.bound:
        return False
    score = scores(space, query)
    lead = score[chosen].min() - score[rivals].max(initial=-np.inf)
    return bool(lead > slack(space, query))


def separate(
    space: Space, chosen: np.ndarray, rivals: np.ndarray
) -> tuple[np.ndarray | None, Certificate | None]:
    """Find a query that ranks all chosen items strictly above all rivals, or prove there is none.

    Args:
      chosen, rivals: numbers of items, at least one chosen.

    Returns:
      (query [d], None), or (None, certificate), or (None, None) if undecided.
    """
    points = space.points
    guess = points[chosen].mean(axis=0)
    query = _query(space, guess)
    if query is not None and holds(space, query, chosen, rivals):
        return query, None
    rows, split = _inequalities(space, chosen, rivals)
    start = len(rows) - len(rivals)
    near = np.argsort(-(points[rivals] @ guess), kind="stable")[:_RIVALS]
    first = np.arange(min(split + 1, start))  # those of the chosen, and that of the bias
    z, weights = _alternative(rows, np.concatenate([first, start + near]))
    if z is not None:
        query = _query(space, z[: len(guess)])
        if query is not None and holds(space, query, chosen, rivals):
            return query, None
    if weights is not None:
        upper = weights[:split] if split else np.ones(1)
        proof = _certificate(space, chosen, upper, rivals, weights[start:])
        if proof.residual <= TOLERANCE:
            return None, proof
    return None, None


def _query(space: Space, z: np.ndarray) -> np.ndarray | None:
    """The query [d] that ranks as z does; None where the bias would count negatively."""
    lifted = space.back @ z
    if space.bias is None:
        return lifted
    return lifted[:-1] / lifted[-1] if lifted[-1] > 0 else None


def _inequalities(space: Space, chosen: np.ndarray, rivals: np.ndarray) -> tuple[np.ndarray, int]:
    """Rows that (z, threshold) must have positive products with, and how many are the chosen's.

    The chosen come first, the rivals last. The threshold of a single item is its own score: then
    the rows are differences, and none is its own.
    """
    points, extra = space.points, space.extra
    if len(chosen) == 1:
        return np.concatenate([extra, points[chosen] - points[rivals]]), 0
    rows = np.concatenate([points[chosen], extra, -points[rivals]])
    sign = np.repeat([-1.0, 0.0, 1.0], [len(chosen), len(extra), len(rivals)])
    return np.column_stack([rows, sign]), len(chosen)


def _alternative(
    rows: np.ndarray, active: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Find z with `rows @ z > 0`, or weights [n] >= 0, not all 0, with `weights @ rows` = 0.

    Let w >= 0 be the least squares solution of `w @ rows = 0`, `sum(w) = 1`, and r the length of
    its residual. Then `z = w @ rows` has a product of at least r^2 with every row, and of exactly
    that with a row of positive weight. `active` are the rows to start with.
    """
    lengths = np.linalg.norm(rows, axis=1)
    if not lengths.all():
        return None, (lengths == 0).astype(float)
    rows = rows / lengths[:, None]
    previous = np.inf
    while True:
        columns = np.column_stack([rows[active], np.ones(len(active))]).T
        try:
            part, distance = scipy.optimize.nnls(columns, np.eye(len(columns))[-1])
        except RuntimeError:  # too many iterations
            return None, None
        z = part @ rows[active]
        lead = rows @ z
        if lead.min() > _SHARE * distance**2:
            return z, None
        if distance < TOLERANCE:
            weights = np.zeros(len(rows))
            weights[active] = part / lengths[active]
            return None, weights
        if distance >= previous:  # rounding: what was added changed nothing
            return None, None
        previous = distance
        worst = np.argsort(lead, kind="stable")[:_RIVALS]
        active = np.union1d(active[part > 0], worst)


def _certificate(
    space: Space, chosen: np.ndarray, upper: np.ndarray, rivals: np.ndarray, lower: np.ndarray
) -> Certificate:
    """Weights as a certificate, with the residual computed from the codes as given."""
    upper, lower = upper / upper.sum(), lower / lower.sum()
    gap = upper @ space.codes[chosen] - lower @ space.codes[rivals]
    size = np.linalg.norm(space.codes - space.codes.mean(axis=0), axis=1).max()
    if space.bias is None:
        return Certificate(upper, lower, float(np.linalg.norm(gap) / (size or 1.0)))
    surplus = upper @ space.bias[chosen] - lower @ space.bias[rivals]
    most = abs(space.bias - space.bias.mean()).max()
    if space.bound is None:
        residual = max(np.linalg.norm(gap) / (size or 1.0), surplus / most)
    else:
        gain = space.bound * abs(gap).sum() + surplus
        residual = max(gain, 0.0) / (space.bound * np.sqrt(len(gap)) * size + most)
    return Certificate(upper, lower, float(residual))
