"""Encoders whose order is known: the verdict, whatever the sampling seed.

They are written for rows of NumPy or JAX (`xp`); without JAX nothing is compiled for them.
"""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aerec.properties import audit, samplers, zero_search
from aerec.properties.domain import Data
from aerec.properties.report import CERTIFIED, REFUTED, VACUOUS

N = 6
DRAW = np.random.default_rng(0)
W = DRAW.normal(size=(3, N))
Q = np.linalg.qr(DRAW.normal(size=(N, N)))[0]
BASIS = np.linalg.qr(DRAW.normal(size=(N, 3)))[0]
GAUSSIAN, BINARY, SPHERE = samplers.gaussian(N), samplers.binary(N), samplers.sphere(N)
CUBE = samplers.box(np.zeros(N), np.ones(N))
USERS, ITEMS = DRAW.normal(size=(40, N)), DRAW.normal(size=(60, N))
RANK_3 = samplers.empirical(USERS @ BASIS @ BASIS.T, ITEMS @ BASIS @ BASIS.T)
ONE_LARGE = samplers.empirical(USERS, np.vstack([ITEMS, 40 * ITEMS[:1]]))
TABLE, ROW = samplers.empirical(USERS, ITEMS), np.float32(USERS[7])
COSINES = {"truth": "cosine", "latent": "cosine"}


def ones(x, xp):
    return xp.ones_like(x[:, :1])


def beside(constant, code):
    return lambda x, xp: xp.concatenate([constant * ones(x, xp), code(x, xp)], axis=1)


def layer(activation, weight=W, bias=0.0):
    return lambda x, xp: activation(x @ xp.asarray(weight, x.dtype).T + bias, xp)


def where(condition, one, other):
    return lambda x, xp: xp.where(condition(x), one(x, xp), other(x, xp))


linear, same = layer(lambda z, xp: z), lambda x, xp: x
rotated = layer(lambda z, xp: z, Q)
relu, sigmoid = lambda z, xp: xp.maximum(z, 0), lambda z, xp: 1 / (1 + xp.exp(-z))
tanh = lambda z, xp: xp.tanh(z)  # noqa: E731
rare = lambda bound: lambda x: x[:, :1] > bound  # noqa: E731
constant = lambda value: lambda x, xp: value + 0 * x[:, :3]  # noqa: E731

KEEPS = {  # the order is kept, and the code has not collapsed
    "identity": same,
    "rotation": rotated,
    "permutation": lambda x, xp: x[:, ::-1],
    "negative": lambda x, xp: -x,
    "times 2^60": lambda x, xp: rotated(x, xp) * 2.0**60,
    "times 2^-60": lambda x, xp: rotated(x, xp) * 2.0**-60,
    "padded": lambda x, xp: xp.concatenate([x, 0 * x[:, :2]], axis=1),
    "zero in front": beside(0.0, same),
    "twice": lambda x, xp: xp.concatenate([x, x], axis=1),
    "lift": beside(1.0, rotated),
    "large lift": beside(1e3, rotated),
    "lift of a small code": beside(1.0, lambda x, xp: 1e-4 * x),
    "lift of a tiny code": beside(-2.0, lambda x, xp: 1e-6 * x),
    "rounds badly": lambda x, xp: (rotated(x, xp) + 1e6) - 1e6,
    "float32": lambda x, xp: rotated(x.astype(xp.float32), xp),
    "float16": lambda x, xp: x.astype(xp.float16),
    "bfloat16": lambda x, xp: x.astype(jnp.bfloat16),
    "float16 and back": lambda x, xp: x.astype(xp.float16).astype(xp.float32),
    "on a sphere": (rotated, SPHERE),
    "in a box": (beside(0.1, rotated), CUBE),
    "cosines": (lambda x, xp: 7 * x / xp.linalg.norm(x, axis=1, keepdims=True), GAUSSIAN, COSINES),
    "cosines at any norm": (lambda x, xp: x * (1 + xp.sum(x * x, axis=1, keepdims=True)),
                            GAUSSIAN, COSINES),
    "PCA of data of its rank": (layer(lambda z, xp: z, BASIS.T), RANK_3),
    "halves on binary vectors": (lambda x, xp: 0.5 * x, BINARY),
    "bent off the binary vectors": (lambda x, xp: x + 0.1 * xp.sin(2 * np.pi * x), BINARY),
}  # fmt: skip
COLLAPSED = {
    "one": constant(1.0),
    "a tenth": constant(0.1),
    "zero": constant(0.0),
    "1e20": constant(1e20),
    "in bfloat16": lambda x, xp: constant(1.7)(x, xp).astype(jnp.bfloat16),
    "one but for rounding": lambda x, xp: 1 + 1e-8 * xp.tanh(linear(x, xp)),
    "a saturated sigmoid": layer(sigmoid, bias=60.0),
    "a saturated tanh": layer(tanh, bias=-60.0),
    "a dead relu": layer(relu, bias=-1e4),
    "(1, prod x) on binary vectors": (  # keeps the order, and almost never shows it
        beside(1.0, lambda x, xp: xp.prod(x, axis=1, keepdims=True)),
        samplers.binary(N, density=0.1)),
    "one corner of a box": (
        beside(1.0, lambda x, xp: 1.0 * (x == 1).all(axis=1, keepdims=True)), CUBE),
}  # fmt: skip
BREAKS = {
    "linear": linear,
    "relu": layer(relu),
    "tanh": layer(tanh),
    "sigmoid": layer(sigmoid, bias=0.5),
    "abs": layer(lambda z, xp: abs(z)),
    "elu": layer(lambda z, xp: xp.where(z > 0, z, xp.expm1(xp.minimum(z, 0)))),
    "softplus": layer(lambda z, xp: xp.logaddexp(z, 0)),
    "sign": layer(lambda z, xp: xp.sign(z)),
    "tanh of a rotation": layer(tanh, Q),
    "quantised": lambda x, xp: xp.round(2 * x) / 2,
    "moved": lambda x, xp: x + 1e-3,
    "stretched": lambda x, xp: x * xp.asarray([[1.1, 1, 1, 1, 1, 1]], x.dtype),
    "longer": lambda x, xp: x * (1 + xp.sum(x * x, axis=1, keepdims=True)),
    "PCA on all of space": layer(lambda z, xp: z, BASIS.T),
    "relu of data": (layer(relu), RANK_3),
    "parity": (lambda x, xp: xp.sum(x, axis=1, keepdims=True) % 2, BINARY),
    # codes of very different sizes
    "spikes": lambda x, xp: xp.concatenate([x[:, :2], 1e9 * (x[:, 2:3] > 2.9)], axis=1),
    "a rare step": lambda x, xp: 1.0 * (x[:, :1] > 3.2),
    "rare offsets": where(rare(3.0), lambda x, xp: linear(x, xp) + 1e6, linear),
    "heavy tails": layer(lambda z, xp: xp.sinh(3 * z)),
    "Cauchy tails": layer(lambda z, xp: xp.tan(z)),
    "coordinates of all sizes": lambda x, xp: linear(x, xp) * xp.asarray([[1e-6, 1, 1e6]], x.dtype),
    "a rare step on a constant": where(rare(3.0), constant(2.0), constant(1.0)),
    "a rare giant on a constant": where(rare(3.0), constant(1e9), constant(1.0)),
    "tiny and giant": where(
        rare(2.5), lambda x, xp: 1e15 * linear(x, xp), lambda x, xp: 1e-15 * linear(x, xp)),
    "one giant item": (
        where(lambda x: (x * x).sum(axis=1, keepdims=True) > 900,
              lambda x, xp: 1e9 * linear(x, xp), linear), ONE_LARGE),
    "one giant item on a constant": (
        where(lambda x: (x * x).sum(axis=1, keepdims=True) > 900,
              constant(1e9), lambda x, xp: 1 + 0.01 * linear(x, xp)), ONE_LARGE),
    "one row of a table": (
        where(lambda x: (x == ROW).all(axis=1, keepdims=True), lambda x, xp: -x, same), TABLE),
    "lift of a tiny layer": beside(1.0, lambda x, xp: 1e-5 * xp.tanh(linear(x, xp))),
    "two lifts, one of a layer": beside(5.0, beside(-1e3, layer(relu))),
}  # fmt: skip
KNOWN = {"keeps": KEEPS, "collapsed": COLLAPSED, "breaks": BREAKS}
ALL = [(kind, name) for kind, encoders in KNOWN.items() for name in encoders]


def verdict_of(kind, name, seed, xp, **options):
    entry = KNOWN[kind][name]
    encode, domain, similarity = (
        (*entry, {})[:3] if isinstance(entry, tuple) else (entry, GAUSSIAN, {})
    )
    rows = (lambda x: encode(np.asarray(x), np)) if xp is np else (lambda x: encode(x, jnp))
    with mock.patch.object(zero_search, "search", return_value=None):  # this is about order
        found = audit(
            rows, domain, jax.random.key(seed), batched=True, **similarity, **options
        ).order
    counted = found.details["reversed"] + found.details["broken"]
    if found.verdict == CERTIFIED:  # by the count of all triples of data
        assert isinstance(domain, Data) and not counted
    assert not (found.verdict == VACUOUS and counted)
    return found.verdict


def check(kind, name, verdict):
    if kind == "keeps":
        assert verdict.startswith("NOT REFUTED") or verdict == CERTIFIED
    else:
        assert verdict == {"collapsed": VACUOUS, "breaks": REFUTED}[kind]


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_known_encoders_have_the_known_verdict(kind, name):
    for seed in (0, 1):
        verdict = verdict_of(kind, name, seed, np, budget=2**11, search_points=2**10)
        check(kind, name, verdict)


@pytest.mark.slow
@pytest.mark.parametrize("xp", [np, jnp])
@pytest.mark.parametrize(("kind", "name"), ALL)
def test_no_verdict_depends_on_the_seed(kind, name, xp):
    for seed in range(20 if xp is np else 2):  # JAX compiles each of them
        verdict = verdict_of(kind, name, seed, xp, budget=2**14, search_points=2**13)
        check(kind, name, verdict)
