"""Callables of every kind as encoders."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aerec.properties import audit, encoder, samplers


def test_encoders_of_every_kind_are_wrapped():
    weight = np.random.default_rng(0).normal(size=(3, 5))
    x = np.random.default_rng(1).normal(size=(7, 5))
    ways = {
        "jax": encoder.wrap(lambda z: jnp.asarray(weight, z.dtype) @ z, 5),
        "rows": encoder.wrap(lambda z: z @ jnp.asarray(weight, z.dtype).T, 5, batched=True),
        "numpy": encoder.wrap(lambda z: weight @ np.asarray(z), 5),
        "numpy rows": encoder.wrap(lambda z: np.asarray(z) @ weight.T, 5, batched=True),
        "pytree": encoder.wrap(
            lambda t: {"z": jnp.asarray(weight) @ jnp.concatenate([t["a"], t["b"]])},
            {"a": np.zeros(2), "b": np.zeros(3)},
        ),
    }  # fmt: skip
    for name, wrapped in ways.items():
        assert (wrapped.n, wrapped.m) == (5, 3)
        assert wrapped.traceable == (not name.startswith("numpy"))
        np.testing.assert_allclose(
            wrapped.native(x.astype(np.float32)), x @ weight.T, rtol=1e-4, atol=1e-5
        )
        tight = 1e-6 if name == "pytree" else 1e-12
        np.testing.assert_allclose(wrapped.exact(x), x @ weight.T, rtol=tight, atol=tight)


def test_an_encoder_that_draws_random_numbers_is_refused():
    draw = np.random.default_rng(0)
    with pytest.raises(ValueError, match="not a function"):
        encoder.wrap(lambda z: np.asarray(z) + draw.normal(size=4), 4)


def test_captured_arrays_of_numpy_are_to_be_converted():
    """Should JAX learn to lower them in both precisions, the codes are right instead."""
    bias, x = np.ones(3), np.random.default_rng(0).normal(size=(4, 5))
    plain = encoder.wrap(lambda row: row[:3] + bias, 5)
    plain.native(np.float32(x))
    try:
        np.testing.assert_allclose(plain.exact(x), x[:, :3] + bias)
    except encoder.Failed as error:
        assert "Write `jnp.asarray(array)`" in str(error)
    converted = encoder.wrap(lambda row: row[:3] + jnp.asarray(bias), 5)
    converted.native(np.float32(x))
    np.testing.assert_allclose(converted.exact(x), x[:, :3] + bias)


@pytest.mark.parametrize("xp", [np, jnp])
def test_a_code_that_depends_on_the_number_of_rows_is_refused(xp):
    def centred(rows):
        rows = xp.asarray(rows)
        return rows - rows.mean(axis=0, keepdims=True) if len(rows) > 64 else rows

    with pytest.raises(ValueError, match="or on their number"):
        audit(centred, samplers.gaussian(4), jax.random.key(0), batched=True)


@pytest.mark.parametrize(
    "dtype", ["float8_e4m3fn", "float8_e5m2", "bfloat16", "float16", "float32", "float64"]
)
def test_the_precision_is_that_of_the_codes(dtype):
    """A number rounded to p bits changes by half of 2^(1 - p) at most, and sometimes by as much."""
    host = encoder.wrap(lambda x: np.asarray(x).astype(jnp.dtype(dtype)), 4)
    x = 1.0 + np.random.default_rng(0).random((100, 4))  # one binade
    wrong = abs(host.exact(x) - x).max()
    if dtype == "float64":
        assert wrong == 0 and host.eps == 2**-52
    else:
        assert 0.4 * host.eps < wrong <= 0.5 * host.eps
        traced = encoder.wrap(lambda x: x.astype(dtype), 4)
        assert traced.traceable and traced.eps == host.eps
        assert np.asarray(traced.native(jnp.float32(x))).dtype == np.float32
        np.testing.assert_array_equal(traced.exact(x), host.exact(x))


def test_codes_that_fit_a_coarser_format_have_its_precision():
    codes = np.random.default_rng(0).normal(size=(100, 3))
    for dtype in (jnp.bfloat16, np.float16, np.float32, np.float64):
        narrow = codes.astype(dtype).astype(float)
        assert encoder.resolution(narrow, *encoder.COARSE) == float(jnp.finfo(dtype).eps)
    for unit in (1.0, 0.125, 2.0**-80):  # counts and dyadic fractions are exact
        assert encoder.resolution(np.rint(9 * codes) * unit, *encoder.COARSE) == 2.0**-52


WEIGHT = np.random.default_rng(0).normal(size=(3, 5))


def in_place(x):
    y = np.zeros(2)
    y[0] = x[0]
    return y


def strict(x):
    if not isinstance(x, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(x).__name__})")
    return WEIGHT @ x


@pytest.mark.parametrize(
    ("encode", "why"),
    [
        (lambda x: WEIGHT @ np.asarray(x), "TracerArrayConversionError"),
        (lambda x: x if x[0] > 0 else -x, "TracerBoolConversionError"),
        (lambda x: np.array([math.tanh(v) for v in x]), "ConcretizationTypeError"),
        (lambda x: x[x > 0].sum(), "NonConcreteBooleanIndexError"),
        (lambda x: np.ones(3)[: int(x[0] > 0) + 1].sum(), "ConcretizationTypeError"),
        (in_place, "ValueError: setting an array element"),
        (strict, "TypeError: expected np.ndarray"),
    ],
)
def test_what_jax_cannot_trace_is_called_with_numbers_and_says_why(encode, why):
    wrapped = encoder.wrap(encode, 5)
    assert not wrapped.traceable
    assert why in wrapped.untraced
    x = np.linspace(-1, 2, 5)
    np.testing.assert_array_equal(wrapped.exact(x[None])[0], np.ravel(encode(x)))


def raising(x):
    raise TypeError("my mistake\nand more of it")


@pytest.mark.parametrize(
    ("encode", "batched", "said"),
    [
        (raising, False, r"called on shape \(5,\), the encoder raised TypeError: my mistake$"),
        (raising, True, r"called on shape \([12], 5\), the encoder raised TypeError: my mistake$"),
        (lambda x: {}["a"], False, r"shape \(5,\), the encoder raised KeyError: 'a'$"),
        (lambda x: jnp.ones((4, 4)) @ x, False, r"the encoder raised TypeError: dot_general"),
        (lambda x: np.ones((4, 4)) @ np.array(x), False, r"the encoder raised ValueError: matmul"),
    ],
)
def test_an_error_of_the_encoders_own_is_raised_with_the_shape(encode, batched, said):
    with pytest.raises(encoder.Failed, match=said) as caught:
        encoder.wrap(encode, 5, batched=batched)
    assert caught.value.__cause__ is not None


def test_an_error_that_only_float64_meets():
    def encode(x):
        if x.dtype == jnp.float64:
            raise TypeError("half precision only")
        return x

    wrapped = encoder.wrap(encode, 5)
    with pytest.raises(encoder.Failed, match="half precision only"):
        wrapped.exact(np.ones((2, 5)))


def test_the_dimension_is_a_whole_number():
    assert encoder.wrap(lambda z: z, np.int64(5)).n == 5
    for wrong in (5.0, np.float32(5), 0, -1, True):
        with pytest.raises(ValueError, match="the dimension is"):
            encoder.wrap(lambda z: z, wrong)
