"""Has the code collapsed? By theorem A, this qualifies every figure about order.

Below the input dimension, only constants preserve the order on all of R^n.
"""

from typing import NamedTuple

import numpy as np

from aerec.properties import order


class Vacuity(NamedTuple):
    """How much information the codes of a sample carry.

    Attributes:
      spread: standard deviation of `<f(x), f(u)>` over u for one x, relative to `|f(x)|` and to
        the median of the non-zero `|f(u)|`; root mean square over x. Coordinates in which all f(u)
        agree are left out. An order can be read from this spread alone.
      relative_spread: the same, relative to the magnitude of the mean score.
      effective_rank: exp of the entropy of the centred codes' singular values (Roy & Vetterli
        2007); 0 for a constant.
      from_constant: distance to the best constant encoder (the mean code),
        `sqrt(mean |z - mean z|^2 / mean |z|^2)`.
      tie_share: the share of neighbouring latent scores of one x that tie.
      tolerance: of ties, relative.
      collapsed: whether the spread is within the tolerance. A few large codes do not hide it, and
        do not make it.
      spectrum: the centred singular values over the largest.
    """

    spread: float
    relative_spread: float
    effective_rank: float
    from_constant: float
    tie_share: float
    tolerance: float
    collapsed: bool
    spectrum: tuple[float, ...]


def measure(codes_x: np.ndarray, codes_u: np.ndarray, *, tolerance: float) -> Vacuity:
    """Measure the vacuity of codes [A, m] of x and [B, m] of u; `tolerance` is relative."""
    codes_x, codes_u = np.asarray(codes_x, np.float64), np.asarray(codes_u, np.float64)
    z = codes_u / order.safe(abs(codes_u).max())
    moves = (z != z[:1]).any(axis=0)
    sizes = np.linalg.norm(z[:, moves], axis=1)
    usual = np.median(sizes[sizes > 0]) if sizes.any() else np.float64(1.0)
    x = codes_x / order.safe(order.top(codes_x * moves))
    x = x / order.safe(np.linalg.norm(x * moves, axis=1, keepdims=True))
    centred = z - z.mean(axis=0)
    scores = x @ (centred * moves / usual).T  # minus their row means, without cancellation
    spread = float(np.sqrt(np.mean(scores.std(axis=1) ** 2)))
    mean = abs(float((x @ z.mean(axis=0) / usual).mean()))
    ordered = np.sort(scores, axis=1)
    collapsed = spread <= tolerance
    values = np.linalg.svd(centred, compute_uv=False)
    share = values / order.safe(values.sum())
    entropy = -float(np.sum(share * np.log(np.where(share > 0, share, 1.0))))
    power = float(np.mean(np.sum(z**2, axis=1)))
    return Vacuity(
        spread=spread,
        relative_spread=spread / mean if mean > 0 else float("inf") if spread else 0.0,
        effective_rank=0.0 if collapsed else float(np.exp(entropy)),
        from_constant=float(np.sqrt(np.mean(np.sum(centred**2, axis=1)) / power)) if power else 0.0,
        tie_share=float(np.mean(np.diff(ordered, axis=1) <= tolerance)),
        tolerance=tolerance,
        collapsed=collapsed,
        spectrum=tuple(float(s) for s in values / order.safe(values.max())),
    )
