"""From counts to rates: loss, AUC, skill, rank correlation, precision, and null baselines."""

from typing import Any

import numpy as np
import scipy  # whose packages are imported where they are first used

from aerec.properties.order import Tally


def projection_baseline(n: int, m: int, *, asymptotic: bool = True) -> float:
    """Compute the violation rate of a random rank-m orthogonal projection of R^n.

    On isotropic triples it is the mean angle between x and its projection, over pi. The share of
    |x|^2 that the projection keeps has the distribution Beta(m/2, (n - m)/2). `asymptotic=False`
    averages the angle over it. The default replaces the share by its mean: `arccos(sqrt(m / n)) /
    pi`, less than the average by about `(1 - 2 m / n) / (4 pi sqrt(m (n - m)))`, O(1 / sqrt(n m))
    for fixed m. By theorem T7 no linear item tower of rank m has a lower rate than the average.
    """
    if m >= n:
        return 0.0
    if asymptotic:
        return float(np.arccos(np.sqrt(m / n)) / np.pi)
    angle = lambda p: np.arccos(np.sqrt(scipy.special.betaincinv(m / 2, (n - m) / 2, p)))  # noqa: E731
    return float(scipy.integrate.quad(angle, 0.0, 1.0)[0]) / np.pi


def random_projection_rate(m: int, k: Any) -> Any:
    """Compute how often a Gaussian matrix [m, n] reverses a user of k one-hot items (theorem T6).

    The triple is the user x, the sum of k items, one of them, u, and another item, v. The entries
    are independent normal numbers of any one scale, and n does not matter. The rate is
    `P(t_m < -sqrt(m / (2 k - 1)))`, with Student's t of m degrees of freedom. Any triple whose
    angle th between x and u - v is below pi / 2 has the rate of `k = 1 / (2 cos(th)^2)`.

    Args:
      k: length of the history, at least 1/2; an array of lengths gives an array of rates.

    Raises:
      ValueError: m < 1, or k < 1/2.
    """
    return scipy.special.stdtr(m, -np.sqrt(m) * _cotangent(m, k))


def orthogonal_projection_rate(n: int, m: int, k: Any) -> Any:
    """Compute the same rate of a random orthogonal projection of R^n of rank m (theorem T6).

    Let p be the share of |x|^2 that the projection keeps: Beta(m/2, (n - m)/2). The rate is the
    mean over p of `I_{1 - c^2}((n - 2)/2, 1/2) / 2`, where `c = min(1, sqrt(p / ((1 - p) (2 k -
    1))))` and I is the regularised incomplete beta function. It is 0 for m >= n. The absolute error
    of the integral is below 1e-9.

    Args:
      k: as in `random_projection_rate`.

    Raises:
      ValueError: m < 1, or k < 1/2.
    """
    cotangent = _cotangent(m, k)
    if m >= n:
        return np.zeros_like(cotangent)[()]

    def reversed_(quantile):
        kept = scipy.special.betaincinv(m / 2, (n - m) / 2, quantile)
        rest = np.maximum(0.0, 1.0 - cotangent**2 * kept / (1.0 - kept))
        return scipy.special.betainc((n - 2) / 2, 0.5, rest) / 2 if n > 2 else (rest > 0) / 2

    return scipy.integrate.quad_vec(reversed_, 0.0, 1.0, epsabs=1e-12, epsrel=1e-10)[0]


def safe_margin(m: int, triples: int, *, failure: float = 0.05) -> float:
    """Compute the relative margin from which a Gaussian matrix [m, n] keeps the order of N triples.

    All triples with `<x, u - v> >= delta |x| |u - v|` keep their order with probability at least
    `1 - failure`. The result is the least such delta by theorem T6 and a union bound. It is at most
    `sqrt(2 ln(N / (2 failure)) / m)`, the form of Johnson & Lindenstrauss (1984).

    Raises:
      ValueError: m < 1, triples < 1, or a failure outside (0, 1).
    """
    if m < 1 or triples < 1 or not 0 < failure < 1:
        raise ValueError(f"{m} dimensions, {triples} triples, failure {failure}: no margin exists")
    reach = max(0.0, -scipy.special.stdtrit(m, failure / triples))
    return float(reach / np.hypot(reach, np.sqrt(m)))


def _cotangent(m: int, k: Any) -> Any:
    """Compute cot(th) of the angle th between a user of k items and a difference of two items."""
    k = np.asarray(k, float)
    if m < 1 or not np.all(k >= 0.5):
        raise ValueError(f"rank {m} and a history of {np.min(k, initial=np.inf):g} items: no rate")
    with np.errstate(divide="ignore"):
        return 1.0 / np.sqrt(2.0 * k - 1.0)


def loss(tally: Tally) -> Any:
    """Compute the share of strictly ordered triples that are reversed; a flattened one is half.

    NaN where no triple is ordered.
    """
    lost = np.asarray(tally.reversed_ + 0.5 * tally.flattened)
    with np.errstate(invalid="ignore"):
        return lost / tally.ordered


def auc(tally: Tally) -> Any:
    """Compute the area under the ROC curve per user, `(concordant + flattened / 2) / ordered`.

    Counts may be numbers, pooled, or [U]. With items listed or not as the truth, it is the
    probability that a listed item is ranked above another one, where a tie is half (Hanley & McNeil
    1982). NaN where no pair is ordered.
    """
    return 1.0 - loss(tally)


def skill(tally: Tally, baseline: float = 0.5) -> Any:
    """Compute `1 - loss / baseline` over the strictly ordered triples.

    In the loss a latent tie counts as half a reversal. Without ties, it is the violation rate.
    Because ties count half, a constant encoder has skill 0, not 1, against the no-information
    baseline 0.5. Against that baseline it is `2 AUC - 1`, Somers' D (1962). The skill is NaN for a
    baseline of 0.
    """
    return 1.0 - loss(tally) / baseline if baseline > 0 else float("nan")


def tau_b(tally: Tally) -> Any:
    """Compute Kendall's tau-b per user from counts [U].

    NaN where the true ranking consists of ties, and 0 where only the latent one does.
    """
    c, d = np.asarray(tally.concordant, float), np.asarray(tally.reversed_, float)
    ranked = np.asarray(c + d + tally.broken)
    size = np.sqrt(np.asarray(tally.ordered, float) * np.where(ranked > 0, ranked, 1.0))
    with np.errstate(invalid="ignore"):
        return (c - d) / size


def precision_at(true: Any, latent: Any, *, k: int, ties: float = 0.0) -> np.ndarray:
    """Compute the share of listed items among the k best by latent score, [U].

    Items whose scores tie with the k-th best share the places that are left: the result is the
    expectation over random orders of them. NaN for a user who lists no item.

    Args:
      true: [U, I], positive where the user lists the item.
      latent: [U, I] scores.
      ties: scores tie if they differ from the k-th best by at most this share of the largest
        |score| of the user.

    Raises:
      ValueError: not 0 < k <= I.
    """
    listed, latent = np.asarray(true) > 0, np.asarray(latent)
    if not 0 < k <= latent.shape[1]:
        raise ValueError(f"top {k} of {latent.shape[1]} items")
    cut = np.partition(latent, -k, axis=1)[:, -k, None]
    reach = ties * np.abs(latent).max(axis=1, keepdims=True)
    above, tied = latent - cut > reach, np.abs(latent - cut) <= reach
    places = k - above.sum(axis=1)
    shared = places * (tied & listed).sum(axis=1) / tied.sum(axis=1)  # of all places: exactly 1
    hits = (above & listed).sum(axis=1) + shared
    return np.where(listed.any(axis=1), hits / k, np.nan)
