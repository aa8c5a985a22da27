"""Estimates over rows, their errors, intervals and tests, on the host and in float64.

Rows (users) are the sampling unit: `per_row [R]` holds a value per row, and a row that is NaN is
left out.
"""

from typing import NamedTuple

import chex
import numpy as np


class Comparison(NamedTuple):
    """Two runs on the same rows: a's figure minus b's, its bootstrap interval, two-sided p."""

    difference: float
    interval: tuple[float, float]
    p: float


def estimate(per_row, counts=None, *, root: bool = False) -> float:
    """Compute the pooled figure sum(per_row) / sum(counts) in float64, or its square `root`.

    With `counts=None` each row counts one and this is the mean over rows. The pooled RMSE is
    (sums of squared errors [R], numbers of ratings [R], root=True). NaN where no row is left.
    """
    ((total,), counts) = _kept([per_row], counts)
    return float(_pooled(total, counts, root)) if len(total) else float("nan")


def standard_error(per_row, counts=None, *, root: bool = False) -> float:
    """Compute the standard error of `estimate`, with rows as independent clusters of ratings.

    The delta method on the ratio m = S / C (Cochran 1977, sec. 6.4): with e_r = s_r - m c_r,
    var(m) = n / (n - 1) sum_r e_r^2 / C^2, and se(sqrt m) = se(m) / (2 sqrt m). With
    `counts=None` this is sd / sqrt(n). NaN with fewer than two rows.
    """
    ((total,), counts) = _kept([per_row], counts)
    if len(total) < 2:
        return float("nan")
    mean, n = _pooled(total, counts, False), len(total)
    error = np.sqrt(n / (n - 1) * np.sum((total - mean * counts) ** 2)) / counts.sum()
    return float(error / (2 * np.sqrt(mean))) if root and mean > 0 else float(error)


def bootstrap_interval(
    per_row, counts=None, *, root: bool = False, level: float = 0.95, samples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:  # fmt: skip
    """Compute the percentile bootstrap interval of `estimate`, resampling rows with their counts.

    Raises:
      ValueError: fewer than two rows have a value.
    """
    ((total,), counts) = _kept([per_row], counts)

    def statistic(total, counts, axis=-1):
        return _pooled(total, counts, root)

    return _bootstrap(statistic, [total, counts], level, samples, seed)


def paired_randomisation_test(
    a, b, counts=None, *, root: bool = False, level: float = 0.95, samples: int = 10_000,
    seed: int = 0,
) -> Comparison:  # fmt: skip
    """Test `estimate(a) - estimate(b)` by Fisher's paired randomisation (Smucker et al. 2007).

    Under the null hypothesis the two runs may be exchanged within any row. p is two-sided, from
    `samples` random exchanges: (1 + as extreme) / (1 + samples), never zero (Phipson & Smyth 2010).

    Args:
      a, b: [R] values on the same rows, in the same order.
      counts: [R] the numbers of ratings behind the values, the same for both runs.

    Raises:
      ValueError: the two have a value on different rows, or fewer than two rows have one.
    """
    (a, b), counts = _kept([a, b], counts)

    def statistic(a, b, counts, axis=-1):
        return _pooled(a, counts, root) - _pooled(b, counts, root)

    difference = float(statistic(a, b, counts))
    interval = _bootstrap(statistic, [a, b, counts], level, samples, seed)
    rng, extreme = np.random.default_rng(seed), 0
    both, size = (a + b).sum(), -(-len(a) // 8)
    for chunk in _chunks(samples, len(a)):
        bits = np.frombuffer(rng.bytes(chunk * size), np.uint8).reshape(chunk, size)
        swap = np.unpackbits(bits, axis=1, count=len(a)).astype(np.float64)
        first = a.sum() + swap @ (b - a)  # the sum of a where the swapped rows are b's
        drawn = statistic(first[:, None], (both - first)[:, None], counts.sum(keepdims=True))
        extreme += int(np.sum(np.abs(drawn) >= abs(difference) - 1e-12 * (1 + abs(difference))))
    return Comparison(difference, interval, (1 + extreme) / (1 + samples))


def holm(p) -> np.ndarray:
    """Adjust m p-values [m] for testing them together (Holm 1979): the family-wise error is kept.

    In ascending order p_1 <= ... <= p_m, the i-th is max_{j <= i} min(1, (m - j + 1) p_j).
    """
    p = np.asarray(p, np.float64)
    chex.assert_rank(p, 1)
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(np.minimum(1, np.arange(len(p), 0, -1) * p[order]))
    return adjusted


def average_rank(figures, *, lowest: bool = False) -> np.ndarray:
    """Average the rank of each of M models over D datasets or splits, [M] (Demsar 2006, sec. 3.2).

    The best of a row of `figures [D, M]` has rank 1, and equal ones share the mean of their ranks.
    With `lowest` the lowest figure is the best. A row in which a figure is NaN is left out.
    """
    import scipy.stats  # here: it takes half a second, and few commands ask for a rank

    figures = np.asarray(figures, np.float64)
    chex.assert_rank(figures, 2)
    whole = figures[~np.isnan(figures).any(1)]
    if not len(whole):
        return np.full(figures.shape[1], np.nan)
    return scipy.stats.rankdata(whole if lowest else -whole, axis=1).mean(0)


def _pooled(total: np.ndarray, counts: np.ndarray, root: bool) -> np.ndarray:
    ratio = total.sum(-1) / counts.sum(-1)
    return np.sqrt(np.maximum(ratio, 0)) if root else ratio  # a sum less its parts may be -1e-17


def _kept(values: list, counts) -> tuple[list[np.ndarray], np.ndarray]:
    """Return values and counts of the rows that are not NaN, in float64."""
    columns = [np.asarray(value, np.float64) for value in values]
    counts = np.ones(columns[0].shape) if counts is None else np.asarray(counts, np.float64)
    chex.assert_equal_shape([*columns, counts])
    kept = ~np.isnan(columns[0])
    if any((np.isnan(column) == kept).any() for column in columns):
        raise ValueError("the two runs have a value on different rows: not a paired comparison")
    return [column[kept] for column in columns], counts[kept]


def _chunks(samples: int, rows: int) -> list[int]:
    """Divide `samples` into parts of at most 1M draws (8 MB in float64)."""
    size = max(1, 2**20 // rows)
    return [min(size, samples - start) for start in range(0, samples, size)]


def _bootstrap(statistic, data, level: float, samples: int, seed: int) -> tuple[float, float]:
    if len(data[0]) < 2:
        raise ValueError(f"an interval needs two rows with a value, found {len(data[0])}")
    import scipy.stats  # here: it takes half a second, and few commands ask for an interval

    result = scipy.stats.bootstrap(
        data, statistic, paired=True, vectorized=True, method="percentile", n_resamples=samples,
        confidence_level=level, batch=_chunks(samples, len(data[0]))[0],
        random_state=np.random.default_rng(seed),
    )  # fmt: skip
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
