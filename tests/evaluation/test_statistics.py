"""The statistics: formulas written out, SciPy, enumeration, and what they must satisfy."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from aerec.evaluation import statistics


def test_standard_error_of_a_mean_is_scipys_and_leaves_nan_rows_out():
    values = np.random.default_rng(0).normal(size=50)
    holed = np.insert(values, [0, 7, 50], np.nan)
    assert statistics.standard_error(holed) == pytest.approx(scipy.stats.sem(values))
    assert statistics.estimate(holed) == pytest.approx(values.mean())
    assert math.isnan(statistics.standard_error([1.0, np.nan]))
    assert math.isnan(statistics.estimate([np.nan]))


def test_sums_are_float64():
    """Adding 2^24 + 1 + 1 ... in float32 would stay at 2^24."""
    values = np.asarray([2.0**24] + [1.0] * 1000, np.float32)
    assert statistics.estimate(values, np.ones(1001)) * 1001 == 2**24 + 1000


def test_clustered_standard_error_covers_the_spread_over_samples():
    """Ratings of one user err together; over repeated samples the delta method finds that spread,
    and the formula for independent ratings does not."""
    rng = np.random.default_rng(0)
    estimates, errors, naive = [], [], []
    for _ in range(400):
        counts = rng.integers(5, 60, 200)
        scale = rng.gamma(2.0, 0.5, 200)
        squares = [s * rng.chisquare(1, c) for s, c in zip(scale, counts, strict=True)]
        sums = np.asarray([x.sum() for x in squares])
        estimates.append(statistics.estimate(sums, counts, root=True))
        errors.append(statistics.standard_error(sums, counts, root=True))
        naive.append(scipy.stats.sem(np.concatenate(squares)) / (2 * estimates[-1]))
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.12)  # 400 draws: sd .035
    assert np.mean(naive) < 0.6 * np.std(estimates)


def test_the_delta_method_written_out():
    """m = 1 / 16; the rows err by 15/16 and -15/16."""
    sums, counts = np.asarray([1.0, 0.0]), np.asarray([1, 15])
    error = math.sqrt(2 / 1 * 2 * (15 / 16) ** 2) / 16
    assert statistics.estimate(sums, counts) == 1 / 16
    assert statistics.estimate(sums, counts, root=True) == 1 / 4
    assert statistics.standard_error(sums, counts) == pytest.approx(error)
    assert statistics.standard_error(sums, counts, root=True) == pytest.approx(error / (2 / 4))


def test_standard_error_of_no_error_is_zero():
    assert statistics.standard_error(np.zeros(5), np.ones(5), root=True) == 0


def test_bootstrap_interval_of_a_mean_is_the_normal_one():
    values = np.random.default_rng(1).normal(3, 2, 2000)
    low, high = statistics.bootstrap_interval(np.append(values, np.nan), samples=4000)
    mean, half = values.mean(), 1.96 * scipy.stats.sem(values)
    np.testing.assert_allclose([low, high], [mean - half, mean + half], atol=0.08 * half)
    inner = statistics.bootstrap_interval(values, samples=4000, level=0.5)
    assert low < inner[0] < mean < inner[1] < high


def test_bootstrap_of_pooled_rmse_draws_rows_with_their_counts():
    """Every row has the same ratio, so whatever rows are drawn the pooled figure is the same."""
    counts = np.asarray([1.0, 10, 100, 1000])
    interval = statistics.bootstrap_interval(4 * counts, counts, root=True, samples=500)
    np.testing.assert_allclose(interval, (2, 2), rtol=1e-12)


def test_an_interval_needs_two_rows():
    with pytest.raises(ValueError, match="two rows with a value, found 1"):
        statistics.bootstrap_interval([1.0, np.nan])
    # Of two rows each mean of 1, 2 and 3 is drawn: a quarter, a half and a quarter of the time.
    assert statistics.bootstrap_interval([1.0, 3.0], samples=200) == (1, 3)
    assert statistics.bootstrap_interval([1.0, 3.0], samples=200, level=0.3) == (2, 2)


def test_the_seed_is_zero_unless_another_is_given():
    a, b = np.random.default_rng(2).normal(size=(2, 30))
    for function, data in (
        (statistics.bootstrap_interval, (a,)),
        (statistics.paired_randomisation_test, (a, b)),
    ):
        zero, one = (function(*data, samples=50, seed=seed) for seed in (0, 1))
        assert function(*data, samples=50) == zero != one


@pytest.mark.parametrize("root", [False, True])
def test_randomisation_p_is_the_exact_one(root):
    """Against all 2^10 exchanges, enumerated."""
    rng = np.random.default_rng(5)
    counts = rng.integers(1, 9, 10)
    a, b = rng.random(10) * counts, rng.random(10) * counts * 1.4

    def figure(x):
        return math.sqrt(x.sum() / counts.sum()) if root else x.sum() / counts.sum()

    observed = abs(figure(a) - figure(b))
    exchanges = (np.asarray(swap) for swap in itertools.product([False, True], repeat=10))
    drawn = [abs(figure(np.where(s, b, a)) - figure(np.where(s, a, b))) for s in exchanges]
    exact = np.mean(np.asarray(drawn) >= observed - 1e-12)
    result = statistics.paired_randomisation_test(a, b, counts, root=root, samples=20_000)
    assert result.difference == pytest.approx(figure(a) - figure(b))
    assert result.p == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 20_000))
    assert result.interval[0] < result.difference < result.interval[1]


def test_randomisation_extremes():
    rng = np.random.default_rng(6)
    a = rng.random(300)
    assert statistics.paired_randomisation_test(a, a, samples=99).p == 1
    better = statistics.paired_randomisation_test(a + 0.1 + 0.01 * rng.random(300), a, samples=99)
    assert better.p == 1 / 100 and better.interval[0] > 0
    holed = np.where(np.arange(300) == 4, np.nan, a)
    with pytest.raises(ValueError, match="different rows"):
        statistics.paired_randomisation_test(holed, a)
    both = statistics.paired_randomisation_test(holed, holed + 1, samples=99)
    assert both.difference == pytest.approx(-1)


@pytest.mark.parametrize("difference", [1e-3, 1000.0])
def test_an_exchange_as_extreme_counts_however_large_it_is(difference):
    """Of the four exchanges of two rows two give the same difference, and two give none."""
    b = np.asarray([0.1, 0.2])
    result = statistics.paired_randomisation_test(b + difference, b, samples=4000)
    assert result.p == pytest.approx(1 / 2, abs=4 * math.sqrt(1 / 4 / 4000))


@pytest.mark.parametrize(
    ("samples", "rows", "chunks"), [(5, 2**19, [2, 2, 1]), (2, 2**21, [1, 1]), (7, 10, [7])]
)
def test_chunks_are_of_a_million_draws_or_of_one_sample(samples, rows, chunks):
    assert statistics._chunks(samples, rows) == chunks


def test_p_is_uniform_where_nothing_differs():
    rng = np.random.default_rng(7)
    ps = [
        statistics.paired_randomisation_test(*rng.normal(size=(2, 30)), samples=199, seed=s).p
        for s in range(200)
    ]
    assert scipy.stats.kstest(ps, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_holm_is_the_step_down_procedure(size):
    """An hypothesis is rejected at any level exactly where its adjusted p is no more."""
    p = np.round(np.random.default_rng(size).random(size) ** 3, 2)  # with ties
    adjusted = statistics.holm(p)
    for level in np.linspace(0.005, 0.995, 100):
        rejected = set()
        for step, i in enumerate(sorted(range(size), key=lambda i: p[i])):
            if p[i] > level / (size - step):
                break
            rejected.add(i)
        assert rejected == set(np.flatnonzero(adjusted <= level * (1 + 1e-12)))
    assert (adjusted >= p).all() and (adjusted <= 1).all()


def test_holm_is_statsmodels():
    library = pytest.importorskip("statsmodels.stats.multitest")
    p = np.random.default_rng(5).random(30) ** 4
    np.testing.assert_allclose(statistics.holm(p), library.multipletests(p, method="holm")[1])


def test_average_rank_written_out():
    figures = [[0.4, 0.3, 0.3], [0.1, 0.2, 0.3], [0.5, np.nan, 0.9]]
    np.testing.assert_allclose(statistics.average_rank(figures), [2, 2.25, 1.75])
    np.testing.assert_allclose(statistics.average_rank(figures, lowest=True), [2, 1.75, 2.25])
    assert np.isnan(statistics.average_rank([[np.nan, 1.0]])).all()
