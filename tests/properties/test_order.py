"""Margins, ties and tallies against arithmetic written out here."""

import jax.numpy as jnp
import numpy as np
import pytest

from aerec.properties import order


def test_margin_is_the_difference_of_two_scores():
    x, u, v = jnp.array([1.0, 2.0]), jnp.array([3.0, -1.0]), jnp.array([0.5, 0.5])
    assert order.margin(lambda z: z, x, u, v) == (3 - 2) - (0.5 + 1)
    assert order.margin(lambda z: 2 * z, x, u, v) == 4 * ((3 - 2) - (0.5 + 1))
    cosine = 1 / (5**0.5 * 10**0.5) - 1.5 / (5**0.5 * 0.5**0.5)
    assert order.margin(lambda z: z, x, u, v, kind="cosine") == pytest.approx(cosine, rel=1e-6)
    with pytest.raises(ValueError, match="cosine"):
        order.margin(lambda z: z, x, u, v, kind="euclid")


def test_margin_takes_pytrees():
    x, u, v = ({"a": jnp.full(2, s), "b": jnp.full(3, 2.0 * s)} for s in (1.0, 2.0, 3.0))
    assert order.margin(lambda t: t, x, u, v) == (2 * 2 + 3 * 8) - (2 * 3 + 3 * 12)


def test_similarity_is_along_the_last_axis_and_a_zero_vector_has_cosine_zero():
    a, b = jnp.array([3.0, 4.0]), jnp.array([[0.0, 2.0], [0.0, 0.0], [-6.0, -8.0]])
    np.testing.assert_array_equal(order.similarity(a, b), [8.0, 0.0, -50.0])
    cosines = order.similarity(a, b, kind="cosine")
    np.testing.assert_allclose(cosines, [0.8, 0.0, -1.0], rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
@pytest.mark.parametrize("kind", ["dot", "cosine"])
def test_relative_margins_do_not_depend_on_scale(scale, kind):
    x, u, v = np.random.default_rng(0).normal(size=(3, 50, 8)).astype(np.float32)
    norm_x, norm_u, norm_v = (np.linalg.norm(z, axis=1) for z in (x, u, v))
    to_u, to_v = (x * u).sum(axis=1) / norm_x, (x * v).sum(axis=1) / norm_x
    expected = (to_u - to_v) / np.maximum(norm_u, norm_v)
    if kind == "cosine":
        expected = to_u / norm_u - to_v / norm_v
    scaled = np.float32(scale)
    margins = order.relative_margin(scaled * x, scaled * u, scaled * v, kind=kind)
    np.testing.assert_allclose(margins, expected, atol=1e-6)


def test_relative_margins_of_jax_arrays_and_of_zeros():
    x, u, v = np.array([[[3.0, 4.0]] * 3, [[0.0, 8.0], [0.5, 0.0], [0.0, 0.0]], [[5.0, 0.0]] * 3])
    expected = [4 / 5 - 3 / 5 * 5 / 8, 3 / 5 * 0.5 / 5 - 3 / 5, -3 / 5]
    for margins in (
        order.relative_margin(x, u, v),
        order.relative_margin(*map(jnp.array, (x, u, v))),
    ):
        np.testing.assert_allclose(margins, expected, rtol=1e-6)
    zero = np.zeros((1, 2))
    assert (
        order.relative_margin(zero, u[:1], v[:1]) == order.relative_margin(x[:1], zero, zero) == 0
    )


def test_constant_coordinates_hide_no_margin():
    x, u, v = np.random.default_rng(0).normal(size=(3, 20, 5))
    lift = lambda z: np.hstack([np.full((20, 1), 1e9), z, np.zeros((20, 1))])  # noqa: E731
    lifted = [lift(z) for z in (x, u, v)]
    plain = order.relative_margin(x, u, v)
    for arrays in (lifted, [jnp.asarray(z, jnp.float32) for z in lifted]):
        margins = order.code_margin(*arrays, fixed=(0, 6))
        np.testing.assert_allclose(margins, plain, atol=1e-6)
        assert abs(order.code_margin(*arrays)).max() < 1e-8
    x, u, v = lifted
    u[3, 0] = 5e8  # not constant after all: then it counts
    margins = order.code_margin(x, u, v, fixed=(0, 6))
    assert margins[3] == pytest.approx(-0.5) and margins[4] == pytest.approx(plain[4])
    cosines = order.code_margin(x, u, v, kind="cosine", fixed=(0, 6))
    np.testing.assert_array_equal(cosines, order.relative_margin(x, u, v, kind="cosine"))


def test_ties_are_rounding_errors_of_a_dot_product():
    single, half = 2.0**-23, 2.0**-7
    assert order.tolerance(single, 16) == 8 * 4 * single
    assert order.code_tolerance(2.0**-52, 4, 16) == 8 * 4 * 2.0**-52
    assert order.code_tolerance(single, 64, 16) == 8 * 8 * single
    assert order.code_tolerance(half, 64, 16) == 8 * 8 * single + 8 * half / 4


def test_a_tally_has_a_cell_for_each_bin_and_pair_of_signs():
    """Margins of exactly a bin's upper edge, or of the ties' size, belong below it."""
    edges = 2.0 ** (np.arange(-40, 3) / 2)
    np.testing.assert_allclose(order.EDGES, edges, rtol=1e-15)
    ties = {"true_ties": 2.0**-18, "latent_ties": 0.25}
    sizes = np.concatenate([[0.0, 1e-9, 9.0], edges[::2], 0.9 * edges, 1.1 * edges])
    bins = [0, 0, 43, *range(0, 43, 2), *range(43), *range(1, 44)]
    above = np.nextafter(np.float32(0.25), np.float32(1))
    latent = np.array([-0.5, -above, -0.25, 0.0, 0.25, above])
    expected = np.zeros((44, 3, 3), int)
    for size, place in zip(sizes, bins, strict=True):
        for sign in (-1, 1):
            expected[place, 1 + sign * (size > 2.0**-18)] += [2, 3, 1]
    grid = np.meshgrid(np.append(sizes, -sizes), latent)
    true, latent = (a.ravel().astype(np.float32) for a in grid)
    found = order.tally(true, latent, **ties)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, expected)
    inside = ~np.isin(abs(true), edges)  # XLA's logarithm of an edge may round to either side
    host = order.tally(true[inside], latent[inside], **ties)
    device = order.tally(*map(jnp.asarray, (true[inside], latent[inside])), **ties)
    assert device.dtype == jnp.int32
    np.testing.assert_array_equal(host, device)


def test_a_summary_adds_the_cells_of_all_bins():
    cells = 2 ** np.arange(9).reshape(3, 3)
    counts = np.stack([cells, 512 * cells])
    row = order.Tally(2**0 + 2**8, 2**2 + 2**6, 2**3 + 2**5, 2**1 + 2**7, 2**4)
    tally = order.summary(counts)
    assert tally == tuple(513 * part for part in row)
    assert all(type(part) is int for part in tally)
    assert row.total == 2**9 - 1
    assert row.violations == 2**2 + 2**6 + 2**3 + 2**5
    assert row.strict_violations == 2**2 + 2**6 + 2**1 + 2**7
    assert row.ordered == 2**9 - 1 - (2**3 + 2**4 + 2**5)


def test_a_curve_has_a_point_for_each_bin():
    counts = np.zeros((order.BINS, 3, 3), int)
    counts[3], counts[-1, 0, 2] = 1, 7
    curve = order.curve(counts)
    assert curve["upper_edge"] == [*order.EDGES, 2.0]
    assert curve["triples"] == [0] * 3 + [9] + [0] * 39 + [7]
    assert curve["violations"] == [0] * 3 + [4] + [0] * 39 + [7]


def test_safe_is_for_dividing_and_top_for_scaling():
    z = np.array([[1e-30, -2.0, 0.5], [0.0, 0.0, 0.0], [1e-30, 0.0, 0.0]])
    np.testing.assert_array_equal(order.top(z), [[2.0], [0.0], [1e-30]])
    np.testing.assert_array_equal(order.safe(order.top(z)), [[2.0], [1.0], [1e-30]])
    np.testing.assert_allclose(order.unit(np.array([[3e-200, 4e-200]])), [[0.6, 0.8]], rtol=1e-15)
