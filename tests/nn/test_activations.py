"""The catalogue says the truth about every activation in it."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aerec import models
from aerec.core import Facts, Table
from aerec.nn import activations
from aerec.runs import encoding

GRID = np.linspace(-40.0, 40.0, 160_001)
KNOWN = (
    *("identity", "sigmoid", "tanh", "relu", "relu6", "elu", "selu", "leaky_relu"),
    *("softplus", "exp", "swish", "gelu", "abs"),
)


def on_grid(function, grid=GRID):
    with jax.enable_x64(True):
        return np.asarray(function(jnp.asarray(grid)), np.float64)


def test_the_promised_names_are_there():
    assert set(KNOWN) <= set(activations.CATALOGUE)


@pytest.mark.parametrize("name", [n for n in activations.names() if not n.startswith("lift:")])
def test_range_sign_and_value_at_zero(name):
    entry = activations.describe(name)
    values = on_grid(entry.function)
    assert entry.low <= values.min() + 1e-12 and values.max() <= entry.high + 1e-12
    if np.isfinite(entry.low):
        assert values.min() == pytest.approx(entry.low, abs=0.03)
    np.testing.assert_allclose(on_grid(entry.function, np.zeros(1)), entry.at_zero, atol=1e-12)
    expected = "positive" if not entry.vanishes else "both" if values.min() < 0 else "non-negative"
    assert entry.sign == expected
    assert entry.vanishes == (entry.at_zero == 0.0)


@pytest.mark.parametrize("name", list(activations.CATALOGUE))
def test_monotone_kinks_and_curvature(name):
    entry = activations.CATALOGUE[name]
    values = on_grid(entry.function)
    assert entry.monotone == bool((np.diff(values) >= -1e-12).all())
    step = GRID[1] - GRID[0]
    second = np.abs(np.diff(values, 2)) / step**2
    smooth = np.ones(len(second), bool)
    for kink in entry.kinks:
        smooth &= np.abs(GRID[1:-1] - kink) > 2 * step
    if np.isfinite(entry.curvature):
        assert second[smooth].max() <= entry.curvature + 1e-5
    slopes = np.diff(values)[np.abs(GRID[1:] - 0.0) < 3 * step] / step
    assert (np.ptp(slopes) > 1e-3) == (0.0 in entry.kinks) or entry.curvature > 0


@pytest.mark.parametrize("name", activations.names())
def test_acts_on_the_last_axis(name):
    z = jax.random.normal(jax.random.key(0), (3, 2, 5))
    out = activations.get(name)(z)
    chex.assert_shape(out, (3, 2, 5 + activations.describe(name).extra))
    chex.assert_trees_all_close(out[1, 0], activations.get(name)(z[1, 0]), rtol=1e-6)
    assert out.dtype == z.dtype


def test_lift_adds_a_constant_to_every_dot_product():
    a, b = jax.random.normal(jax.random.key(1), (2, 7))
    plain, lifted = activations.get("relu"), activations.get("lift:relu")
    difference = lifted(a) @ lifted(b) - plain(a) @ plain(b)
    assert difference == pytest.approx(activations.LIFT**2, abs=1e-6)
    assert lifted(jnp.full((3,), -5.0)).tolist() == [activations.LIFT, 0.0, 0.0, 0.0]


def test_shifts_are_the_documented_ones():
    z = jnp.linspace(-3.0, 3.0, 7)
    eps = activations.SHIFT
    chex.assert_trees_all_close(activations.get("shift:tanh")(z), jnp.tanh(z) + 1 + eps, atol=1e-6)
    chex.assert_trees_all_close(activations.get("shift:relu")(z), jax.nn.relu(z) + eps)
    chex.assert_trees_all_close(activations.get("shift:elu")(z), jax.nn.elu(z) + 1)
    chex.assert_trees_all_close(activations.get("shift:abs")(z), jnp.abs(z) + eps)
    assert activations.get("shift:gelu")(jnp.linspace(-5.0, 5.0, 10_001)).min() > 0


@pytest.mark.parametrize("bad", ["sigmod", "lift:tahn", "Relu", "lift:", "squash:tanh", ""])
def test_an_unknown_name_is_answered_with_the_nearest(bad):
    with pytest.raises(ValueError, match=r"unknown activation .*nearest"):
        activations.get(bad)


def test_the_nearest_name_is_named_and_a_useless_shift_refused():
    with pytest.raises(ValueError, match="sigmoid"):
        activations.get("sigmod")
    with pytest.raises(ValueError, match="lift:identity"):
        activations.get("shift:identity")


def test_a_function_of_your_own():
    z = jnp.linspace(-3.0, 3.0, 7)
    own = activations.describe("jax.numpy:arctan")
    chex.assert_trees_all_equal(own.function(z), jnp.arctan(z))
    lifted = activations.get("lift:jax.numpy:arctan")(z)
    chex.assert_trees_all_equal(lifted, jnp.append(activations.LIFT, jnp.arctan(z)))
    for bad, message in (
        ("jax.numpy:arctam", "AttributeError"),
        ("nowhere:tanh", r"ModuleNotFoundError.*nearest: .*tanh"),
        ("jax.numpy:sum", r"not elementwise: \[2, 3\] becomes \[\]"),
        ("shift:jax.numpy:arctan", "unbounded below"),
        ("lift:lift:tanh", "unknown activation"),
    ):
        with pytest.raises(ValueError, match=message):
            activations.get(bad)


def test_no_certificate_rests_on_a_function_of_your_own():
    given = {"hidden": (4,), "latent": 2}
    for activation, known in (("tanh", True), ("jax.numpy:arctan", False)):
        own = {**given, "activation": activation, "latent_activation": activation}
        model = models.build("vae", own, Facts(3, 5))
        params = model.init(jax.random.key(0))
        assert (encoding.network(model, params) is not None) == known
        assert (encoding.last_activation(own) is not None) == known
        assert model.encode(params, jnp.ones((1, 5))).shape == (1, 2)


def test_sigmoid_vanishes_in_float32_though_not_in_mathematics():
    assert jax.nn.sigmoid(jnp.float32(-104.0)) == 0.0
    assert not activations.CATALOGUE["sigmoid"].vanishes


def coded():
    """Models whose code is a layer of units that an activation may follow."""
    for name, module in models.MODELS.items():
        fields = {field.name for field in dataclasses.fields(module.Config)}
        if fields & {"hidden", "activation"}:
            yield name, fields


@pytest.mark.parametrize("name", ["lift:tanh", "shift:relu"])
@pytest.mark.parametrize(("model", "fields"), list(coded()))
def test_every_code_takes_a_lift_and_a_shift_and_is_never_zero(model, fields, name):
    small = {"hidden": (6,), "latent": 4, "tied": False, "latent_activation": name}
    built = models.build(model, {k: v for k, v in small.items() if k in fields}, Facts(9, 13))
    rng = np.random.default_rng(0)
    row, column = np.nonzero(rng.random((9, 13)) < 0.4)
    table = Table.from_entries(row, column, np.ones(len(row)), num_rows=9, num_columns=13)
    params = built.solve(table) if built.solve else jax.jit(built.init)(jax.random.key(0))
    x = table.gather(jnp.arange(9), len(row))

    @jax.jit
    def run(params, x):
        def total(params):
            return built.loss(params, x, jax.random.key(1), jnp.int32(3))[0].sum()

        slopes = jax.grad(total)(params) if built.loss else None
        return built.encode(params, x), built.score(params, x), slopes

    code, score, slopes = run(params, x)
    away = activations.LIFT if name.startswith("lift") else activations.SHIFT
    assert (abs(np.asarray(code)).max(axis=1) >= 0.999 * away).all()
    chex.assert_shape(score, (9, 13))
    chex.assert_tree_all_finite(slopes)
