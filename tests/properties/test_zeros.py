"""Zeros (P3), constant rankings (P3'), and what may refute or certify them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aerec.nn import activations
from aerec.properties import (
    audit,
    bounds,
    crossing,
    declared,
    encoder,
    evidence,
    lemmas,
    rankings,
    samplers,
    zero_search,
    zeros,
)
from aerec.properties.problem import pose
from aerec.properties.report import CERTIFIED, FLOATING, REFUTED, VACUOUS

N = 12
GAUSSIAN = samplers.gaussian(N)
WEIGHT = np.random.default_rng(1).normal(size=(5, N)).astype(np.float32)
ROTATION = np.linalg.qr(np.random.default_rng(0).normal(size=(N, N)))[0].astype(np.float32)
SMALL = {"budget": 2**12, "search_points": 2**9}


@pytest.fixture(autouse=True)
def no_search_for_p2(monkeypatch):
    """These tests are not about P2, whose search takes most of an audit's time."""
    monkeypatch.setattr(evidence, "_search", lambda *args, **options: None)


def audited(encode, domain=GAUSSIAN, seed=0, **options):
    return audit(encode, domain, jax.random.key(seed), **{**SMALL, **options})


# Theorem C


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", list(activations.CATALOGUE))
def test_theorem_c_one_layer_is_decided(name, bias):
    entry = activations.describe(name)
    shift = np.random.default_rng(3).normal(size=5) * bias
    region = "negative" if name in ("relu", "relu6") else "point"
    x = lemmas.one_layer(WEIGHT, shift, region=region)
    assert x.any()
    with jax.enable_x64(True):
        code = np.asarray(entry.function(jnp.asarray(WEIGHT.astype(float) @ x + shift)))
    assert (abs(code).max() < 1e-12) == entry.vanishes


def test_theorem_c_when_there_is_no_zero():
    assert lemmas.one_layer(np.eye(3), np.zeros(3)) is None  # only x = 0
    tall = np.array([[1.0], [-1.0]])
    assert lemmas.one_layer(tall, np.array([1.0, 1.0])) is None  # inconsistent
    assert lemmas.one_layer(tall, np.array([1.0, 1.0]), region="negative") is None
    inside = lemmas.one_layer(tall, np.array([-1.0, -1.0]), region="negative")
    assert inside.any() and (tall @ inside <= 1.0).all()


@pytest.mark.parametrize("name", ["tanh", "relu", "swish", "gelu", "elu", "abs", "leaky_relu"])
def test_theorem_c_deep_zeros_are_found(name):
    w2 = np.random.default_rng(5).normal(size=(3, 5)).astype(np.float32)
    function = activations.get(name)
    wrapped = encoder.wrap(lambda x: function(w2 @ function(WEIGHT @ x + 0.3)), N)
    found = zero_search.search(wrapped, GAUSSIAN, jax.random.key(0))
    assert found is not None and found.kind != "underflow" and found.x.any()
    size = np.linalg.norm(wrapped.exact(found.x[None]))
    assert size <= 1e-9


def test_zeros_at_one_point_are_found_and_at_the_origin_alone_are_not():
    point = np.random.default_rng(6).normal(size=N).astype(np.float32)
    for encode in (lambda x: x - point, lambda x: jnp.sum((x - point) ** 2) * jnp.ones(2)):
        found = zero_search.search(encoder.wrap(encode, N), GAUSSIAN, jax.random.key(1))
        np.testing.assert_allclose(found.x, point, rtol=1e-4)
    rotate = encoder.wrap(lambda x: ROTATION @ x, N)
    assert zero_search.search(rotate, GAUSSIAN, jax.random.key(2)) is None


def test_a_zero_is_given_at_the_size_of_the_domain_where_there_is_one():
    """Without biases the zeros are a subspace: one near 0 would say little, as f(0) = 0."""
    for weight in (WEIGHT, 1e-3 * WEIGHT):
        found = zero_search.search(
            encoder.wrap(lambda x, w=weight: jnp.tanh(w @ x), N), GAUSSIAN, jax.random.key(3)
        )
        assert np.linalg.norm(found.x) > 0.8
    cube = encoder.wrap(lambda x: x**3, N)  # small near 0 and zero there alone
    assert zero_search.search(cube, GAUSSIAN, jax.random.key(4)) is None


POINT = np.array([0.6, -0.8, 0.0, 0.0])
HOST = {  # in NumPy, which JAX cannot trace: encoder, whether it has zeros in the box
    "kink": (lambda x: [float(x[0]), float(x[1]) + abs(float(x[2]))], True),
    "one point": (lambda x: np.asarray(x) - POINT, True),
    "distance": (lambda x: [np.linalg.norm(np.asarray(x) - POINT)], True),
    "float32": (lambda x: np.tanh(WEIGHT[:2, :4] @ np.asarray(x, np.float32)), True),
    "cube": (lambda x: np.asarray(x) ** 3, False),
    "positive": (lambda x: [1 / (1 + np.exp(-float(x[0])))], False),
    "sign": (lambda x: [np.sign(float(x[0])) + 0.5], False),
}


@pytest.mark.parametrize("name", HOST)
def test_zeros_of_numpy_callables_are_found_inside_the_domain(name):
    encode, vanishes = HOST[name]
    wrapped = encoder.wrap(encode, 4)
    for domain in (samplers.sphere(4), samplers.box(np.full(4, -1.0), np.full(4, 1.0))):
        found = zero_search.search(wrapped, domain, jax.random.key(5))
        if vanishes:
            code = np.asarray(encode(found.x))
            assert domain.contains(found.x[None])[0] and np.linalg.norm(found.x) > 0.1
            assert abs(code).max() < (1e-6 if name == "float32" else 1e-9)
        else:
            assert found is None


def test_a_float32_sigmoid_is_zero_from_minus_88_on():
    """Below the smallest normal number: XLA flushes what NumPy still holds, down to -103."""
    low = np.array([-87.0, -88.0, -103.0, -104.0], np.float32)
    with np.errstate(under="ignore"):
        assert (np.exp(low) > 0).tolist() == [True, True, True, False]
    if jax.default_backend() == "cpu":
        assert (np.asarray(jax.nn.sigmoid(low)) > 0).tolist() == [True, False, False, False]


def test_a_census_counts_zeros_and_subnormals():
    counted = zeros.census(np.array([[0, 0], [1e-40, 0], [3, 4]], np.float32))
    assert (counted.zero, counted.subnormal, counted.dead) == (1, 1, ())
    assert zeros.census(np.array([[0.0, 1.0]])).dead == (0,)


# Zeros in floating point

F, W = 4, np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32)
FEW = samplers.gaussian(F)
W2 = np.random.default_rng(2).normal(size=(2, 2)).astype(np.float32)
relu, sigmoid = jax.nn.relu, jax.nn.sigmoid
ZEROS = {  # encoders that vanish at some x != 0
    "three squares of relu": lambda x: relu(relu(relu(W @ x) ** 2) ** 2) ** 2,
    "a power of 16": lambda x: relu(W @ x) ** 16,
    "a power of 24, with a bias": lambda x: relu(W @ x + 1) ** 24,
    "a tiny factor": lambda x: 1e-30 * relu(W @ x) ** 8,
    "rounded to float32": lambda x: (relu(W @ x) ** 6).astype(jnp.float32),
    "zero wherever it is drawn": lambda x: relu(W @ x - 1e4),
    "a step": lambda x: (x[:2] > 0).astype(jnp.float32),
    "two layers": lambda x: relu(W2 @ relu(W @ x) - 0.3) ** 4,
    "far from the origin": lambda x: jnp.where(jnp.linalg.norm(x) > 300, 0 * x, x),
    "a product": lambda x: relu(x[:1]) * relu(x[1:2]) * relu(x[2:3]),
    "a constant": lambda x: jnp.zeros(2),
    "numpy": lambda x: np.maximum(W @ np.asarray(x), 0) ** 8,
}
UNDERFLOWS = {  # encoders that vanish nowhere but in floating point, or that look like these
    "exp(-1/t)": lambda x: jnp.exp(-1 / relu(W @ x)),
    "a sigmoid": lambda x: sigmoid(2000 * x[:1]),
    "the cube of a sigmoid": lambda x: sigmoid(500 * x[:2]) ** 3,
    "a sigmoid as steep as a step": lambda x: sigmoid(1e30 * (x[:2] - 0.5)),
    "a sigmoid, zero wherever it is drawn": lambda x: sigmoid(W @ x - 1e4),
    "a Gaussian bump": lambda x: jnp.exp(-1e4 * jnp.sum(x**2))[None],
    "a bump, zero everywhere": lambda x: jnp.exp(-1e6 - jnp.sum(x**2))[None],
    "a double exponential": lambda x: jnp.exp(-jnp.exp(9 * x[:2])),
    "erfc": lambda x: jax.scipy.special.erfc(50 * x[:2]),
    "absorbed by 1": lambda x: jnp.log(1 + jnp.exp(1000 * x[:2])),
    "absorbed by -1": lambda x: 1 + jnp.tanh(1000 * x[:2]),
    "numpy": lambda x: np.exp(-np.maximum(2000 * np.asarray(x)[:2], -10)),
}
SMALL_CODES = {  # encoders that come within 1e-9 of zero and do not reach it
    "abs": lambda x: abs(W @ x) + 1e-10,
    "a square": lambda x: (W @ x) ** 2 + 1e-12,
    "a root": lambda x: jnp.sqrt((W @ x) ** 2 + 1e-22),
    "a distance": lambda x: jnp.sum((x - 0.5) ** 2)[None] + 1e-11,
    "a jump across zero": lambda x: W @ x + jnp.where(W @ x >= 0, 1e-10, -1e-10),
    "one coordinate of two": lambda x: jnp.stack([W[0] @ x, 1e-11]),
    "a floor": lambda x: jnp.maximum(abs(W @ x), 1e-10),
    "cosine": lambda x: 1 - jnp.cos(W @ x) + 1e-11,
    "one of two touches": lambda x: jnp.stack([W[0] @ x, abs(W[1] @ x) + 1e-11]),
    "shift:abs": lambda x: activations.get("shift:abs")(1e7 * (W @ x)),
    "numpy": lambda x: abs(W.astype(float) @ np.asarray(x)) + 1e-10,
}
CHEAP = ("three squares of relu", "a step", "exp(-1/t)", "a sigmoid", "abs", "one of two touches")
KINDS = {"zeros": (ZEROS, zeros.PROVEN), "underflows": (UNDERFLOWS, ("underflow", "undecided")),
         "small codes": (SMALL_CODES, ("near",))}  # fmt: skip
CASES = [
    pytest.param(
        group, name, seeds, marks=() if seeds == 2 and name in CHEAP else pytest.mark.slow
    )
    for group, (encoders, _) in KINDS.items()
    for name in encoders
    for seeds in (2, 20)
    if seeds == 20 or name in CHEAP
]


@pytest.mark.parametrize(("group", "name", "seeds"), CASES)
def test_zeros_underflows_and_small_codes_are_told_apart_whatever_the_seed(group, name, seeds):
    encoders, kinds = KINDS[group]
    wrapped = encoder.wrap(encoders[name], F)
    for seed in range(seeds):
        found = zero_search.search(wrapped, FEW, jax.random.key(seed))
        assert found is not None and found.kind in kinds, (seed, found)
        size = abs(wrapped.exact(found.x[None])).max()
        assert (size == 0) == (found.norm == 0)


def test_a_product_of_binary_coordinates_vanishes():
    domain, encode = samplers.binary(N), lambda x: jnp.prod(x)[None]
    for seed in range(5):
        found = zero_search.search(encoder.wrap(encode, N), domain, jax.random.key(seed))
        assert found.kind == "exact" and found.x.prod() == 0
    assert audited(encode, domain).nonzero.verdict == REFUTED


COUNTED = {  # encoder, verdict
    "a thin slab": (lambda x: jnp.where(abs(x[0] - 3.2) < 0.1, 0 * x, x), REFUTED),
    "an underflow": (lambda x: sigmoid(2000 * x[:1]), FLOATING),
    "an underflow of float32": (lambda x: sigmoid(30 * x[:1] - 60), FLOATING),
}


@pytest.mark.parametrize(
    "name", ["a thin slab", *(pytest.param(k, marks=pytest.mark.slow) for k in list(COUNTED)[1:])]
)
def test_a_zero_that_was_counted_is_never_denied(name):
    encode, verdict = COUNTED[name]
    found = audited(encode, FEW, budget=2**14).nonzero
    assert found.details["zero_codes"] > 0 and found.verdict == verdict
    assert found.rate == found.details["zero_codes"] / 2**14


def test_the_order_of_a_zero_is_measured_and_not_its_distance():
    """A zero of order p at the edge of a plateau, seen by floats that end at 1e-308."""
    draw = np.random.default_rng(0)
    for order, kind in ((1, "exact"), (3.5, "exact"), (30, "exact"), (1000, "underflow")):
        wrapped = encoder.wrap(lambda x, p=order: np.maximum(np.asarray(x)[:1] - 1, 0) ** p, 2)
        x, away = np.array([0.3, draw.normal()]), np.array([1.9, draw.normal()])
        assert zeros.approach(wrapped, x, away, 1.0) == kind


# Zeros of known layers

KNOWN = {  # layers with an approximate root, and whether a zero is proven there
    "tanh": ([(W, 0.3, "tanh")], True),
    "two layers": ([(WEIGHT[:, :4], 0.3, "gelu"), (WEIGHT[:3, :5], 0.1, "leaky_relu")], True),
    "a kink at the zero": ([(W, 0.0, "leaky_relu")], True),
    "as many as the dimension": ([(WEIGHT[:4, :4], 0.3, "identity")], True),
    "abs": ([(W, 0.3, "abs")], False),  # touches 0, which only a float that hits it proves
    "a small gap": ([(1e7 * W, 0.3, "shift:abs")], False),
    "inconsistent": (
        [(np.vstack([W, W.sum(axis=0, dtype=float)]), [0.0, 0.0, 1e-10], "identity")], False),
}


def layers_of(name):
    return [
        bounds.Affine(np.asarray(w, float), np.broadcast_to(b, len(w)), activations.describe(a))
        for w, b, a in KNOWN[name][0]
    ]


@pytest.mark.parametrize("name", KNOWN)
def test_zeros_of_known_layers_are_proven(name):
    net, vanishes = layers_of(name), KNOWN[name][1]
    wrapped = encoder.wrap(lambda x: bounds.apply(net, x), F)
    found = zero_search.search(wrapped, FEW, jax.random.key(0), network=net)
    assert (found.kind == "crossing") == vanishes and found.norm < 1e-9
    assert vanishes or found.kind == "near" or found.norm == 0
    if vanishes:  # from there Newton's method, in float64, ends in the box
        assert 0 < found.reach < 1e-7 * np.linalg.norm(found.x)
        slopes = (wrapped.exact(found.x + 1e-7 * np.eye(F)) - wrapped.exact(found.x[None])) / 1e-7
        step = np.linalg.pinv(slopes.T) @ wrapped.exact(found.x[None])[0]
        assert abs(step).max() <= found.reach
        alone = zero_search.search(wrapped, FEW, jax.random.key(0))
        assert alone.reach is None and (alone.kind == "root" or alone.norm == 0)


def test_a_linear_map_of_a_cube_is_proven_to_vanish_if_the_diagonal_dominates():
    """Of A y + c, the least of coordinate i on its face is |A_ii| - sum |A_ij| - |c_i|."""
    draw, proven = np.random.default_rng(0), 0
    for number in range(60):
        way, x = draw.normal(size=(4, 3)), 100 * draw.normal(size=4)
        a = np.eye(3) + draw.normal(size=(3, 3)) / 4
        weight, c = a @ np.linalg.pinv(way), draw.normal(size=3) / 8
        net = [bounds.Affine(weight, c - weight @ x, activations.describe("identity"))]
        others = abs(a).sum(axis=1) - abs(np.diag(a))
        expected = bool((np.diag(a) > others + abs(c)).all())
        assert crossing._vanishes(net, FEW, x, way) == expected, number
        proven += expected
    assert 10 < proven < 50


def test_a_zero_is_proven_in_the_domain_and_away_from_0():
    eye = [bounds.Affine(np.eye(3), -np.array([0.5, 0.25, 0.0]), activations.describe("identity"))]
    x, way = np.array([0.5, 0.25, 0.0]), 2.0**-10 * np.eye(3)
    assert crossing._vanishes(eye, samplers.gaussian(3), x, way)
    assert not crossing._vanishes(eye, samplers.gaussian(3), x, 600 * way)  # 0 may be the zero
    for low, inside in ((-1e-3, True), (-9e-4, False)):
        assert crossing._vanishes(eye, samplers.box([low] * 3, [1] * 3), x, way) == inside
    assert not crossing._vanishes(eye, samplers.ball(3), x, way)  # not decided
    huge = [bounds.Affine(1e4 * np.eye(3), np.zeros(3), activations.describe("exp"))]
    assert not crossing._vanishes(huge, samplers.gaussian(3), x, way)  # exp overflows


# Certificates


@pytest.mark.slow
def test_a_small_code_does_not_beat_a_certificate():
    name = "shift:abs"
    found = audited(SMALL_CODES[name], FEW, activation=activations.describe(name)).nonzero
    assert found.verdict == CERTIFIED and found.details["smallest_zero"] < 1e-9


@pytest.mark.slow
def test_a_sign_change_does_not_beat_a_certificate():
    """The float error of an encoder may cross 0 where its activation, on paper, does not."""
    encode = lambda x: sigmoid(10 * x[:1]) - 1e-9  # noqa: E731
    assert audited(encode, FEW).nonzero.verdict == REFUTED
    assert audited(encode, FEW, activation=SIGMOID).nonzero.verdict == CERTIFIED


TANH, SIGMOID = activations.describe("tanh"), activations.describe("sigmoid")
NET = (bounds.Affine(W.astype(float), np.full(2, 0.3), TANH),)
WRONG = {  # an encoder, and what is declared of it
    "other weights": (lambda x: jnp.tanh(W @ x), {"network": NET}),
    "other order": (lambda x: bounds.apply(NET, x)[::-1], {"network": NET}),
    "a factor": (lambda x: 1.001 * bounds.apply(NET, x), {"network": NET}),
    "other widths": (lambda x: bounds.apply(NET, x)[:1], {"network": NET}),
    "no activation": (lambda x: W @ x + 0.3, {"network": NET}),
    "two statements": (lambda x: bounds.apply(NET, x), {"network": NET, "activation": SIGMOID}),
    "above the range": (lambda x: relu(W @ x), {"activation": SIGMOID}),
    "below the range": (lambda x: jnp.tanh(W @ x), {"activation": SIGMOID}),
    "no shift": (lambda x: relu(W @ x), {"activation": activations.describe("shift:relu")}),
    "no lift": (lambda x: W @ x, {"activation": activations.describe("lift:identity")}),
    "another lift": (
        lambda x: jnp.concatenate([jnp.full(1, 2.0), jnp.tanh(W @ x)]),
        {"activation": activations.describe("lift:tanh")},
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_declaration_of_another_encoder_is_refused(name):
    encode, wrong = WRONG[name]
    wrapped = encoder.wrap(encode, F)
    for seed in range(20):
        points = np.asarray(FEW.points(jax.random.key(seed), 64))
        with pytest.raises(ValueError, match=r"network|range of"):
            declared.check(wrapped, points, **wrong)


def test_declarations_within_rounding_are_accepted_in_any_format():
    points = np.asarray(FEW.points(jax.random.key(0), 64))
    for dtype in (jnp.float32, jnp.bfloat16):
        encode = lambda x, d=dtype: bounds.apply(NET, x).astype(d)  # noqa: E731
        declared.check(encoder.wrap(encode, F), points, network=NET)
    declared.check(encoder.wrap(lambda x: sigmoid(W @ x), F), points, activation=SIGMOID)
    with pytest.raises(ValueError, match=r"the code is outside .* the first is \["):
        audited(lambda x: relu(W @ x), FEW, activation=SIGMOID)


@pytest.mark.parametrize(
    ("encode", "verdict"),
    [
        (lambda x: jnp.where(x[0] > 2.2, 0.0, sigmoid(W @ x)), FLOATING),
        pytest.param(
            lambda x: sigmoid(W @ x) * jnp.clip(2.2 - x[0], 0, 1), REFUTED, marks=pytest.mark.slow
        ),
        pytest.param(lambda x: sigmoid(2000 * x[:1]), CERTIFIED, marks=pytest.mark.slow),
    ],
)
def test_counted_zeros_are_certified_only_if_they_are_approached_like_underflows(encode, verdict):
    found = audited(encode, FEW, activation=SIGMOID).nonzero
    assert found.details["zero_codes"] > 0 and found.verdict == verdict
    assert ("underflows" in found.why) == (verdict == CERTIFIED)


def test_a_tiny_code_of_data_is_not_certified_silently():
    users = np.random.default_rng(0).integers(1, 3, (30, F))
    users[7] = 9
    domain = samplers.empirical(users)
    tiny = lambda x: x * jnp.where(x.sum() > 20, 1e-30, 1.0)  # noqa: E731
    found = audited(tiny, domain).nonzero
    assert found.verdict.startswith("NEAR ZERO, ratio ") and (found.witness.x == 9).all()
    plain = audited(lambda x: x, domain).nonzero
    ratio = users.max(axis=1).min() / np.median(users.max(axis=1))
    assert plain.verdict == CERTIFIED and f"the smallest has {ratio:.2g} of" in plain.why


# Rankings


def flat_by_loops(users, codes, items):
    """Users whose scores are all equal while their true scores are not."""
    count = ranked = 0
    for user, code in zip(users, codes, strict=True):
        if len({user[i] for i in range(len(user))}) > 1:
            ranked += 1
            count += len({float(code @ item) for item in items}) == 1
    return count, ranked


def test_flat_users_are_counted_whatever_lifts_them():
    draw = np.random.default_rng(3)
    users = draw.integers(0, 2, (80, F)).astype(float)
    domain, eye = samplers.empirical(users), np.eye(F)
    for lift in (0.0, 1.0):

        def encode(x, lift=lift):
            return jnp.concatenate([jnp.full(1, lift), x * (x.sum() < 3)])

        codes, items = (np.array([encode(row) for row in rows]) for rows in (users, eye))
        found = audited(encode, domain)
        flat, ranked = flat_by_loops(users, codes, items)
        assert (found.ranking.details["flat"], found.ranking.details["ranked"]) == (flat, ranked)
        assert found.ranking.verdict == REFUTED and found.ranking.rate == flat / ranked > 0
        assert found.ranking.witness.x.sum() == 3 and found.ranking.witness.spread == 0
        assert found.nonzero.verdict == (CERTIFIED if lift else REFUTED)
    sampled = audited(encode, domain, exhaustive=False).ranking
    assert (sampled.verdict, sampled.rate) == (REFUTED, found.ranking.rate)
    plain = audited(lambda x: x, domain).ranking
    assert plain.verdict == CERTIFIED and plain.details["flat"] == 0


@pytest.mark.parametrize(
    "name", ["tanh", *(pytest.param(k, marks=pytest.mark.slow) for k in ("relu", "softmax"))]
)
def test_a_lift_saves_p3_and_not_the_rankings(name):
    lift = None if name == "softmax" else activations.describe(f"lift:{name}")
    net = [bounds.Affine(WEIGHT[:3].astype(float), np.full(3, 0.3), lift)]

    def lifted(x):
        return bounds.apply(net, x) if lift else jax.nn.softmax(WEIGHT[:3] @ x + 0.3)

    found = audited(lifted, network=net if name == "tanh" else None)
    assert found.nonzero.verdict.startswith("CERTIFIED" if name == "tanh" else "NOT REFUTED")
    assert found.ranking.verdict == REFUTED
    assert ("bounds of the layers" in found.ranking.why) == (name == "tanh")
    codes = encoder.wrap(lifted, N).exact(np.stack([found.ranking.witness.x, *ROTATION]))
    assert np.ptp(codes[1:] @ codes[0]) < 1e-5 < np.ptp(codes[1:] @ codes[1])
    assert found.ranking.details["span"] == (2 if name == "softmax" else 3)


def ranked(encode, items=None, domain=FEW):
    f, n = encoder.wrap(encode, domain.dimension), domain.dimension
    posed = pose(f, domain, items=None if items is None else encoder.wrap(items, n))
    k_zero, k_rank = jax.random.split(jax.random.key(0))
    zero = None if items else zero_search.search(f, domain, k_zero)
    return rankings.of_domain(posed, k_rank, zero)


def test_rankings_of_a_rotation_and_of_a_constant():
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(F, F)))[0].astype(np.float32)
    found = ranked(lambda x: jnp.append(turn @ x, 1.0))
    assert (found.flat, found.span, found.example) == (0, F, None)
    assert ranked(lambda x: jnp.ones(2)).span == 0
    assert audited(lambda x: jnp.ones(2), FEW).ranking.verdict == VACUOUS


def test_two_towers_have_zeros_and_rankings_of_their_own():
    dead, alive = (lambda x: relu(W @ x)), (lambda x: sigmoid(W @ x))
    found = audited(alive, FEW, items=dead)
    assert found.nonzero.verdict == REFUTED and found.ranking.verdict.startswith("NOT REFUTED")
    assert ranked(dead, alive).example.kind == "exact"
    # the items differ in one direction only, to which users can be orthogonal
    line = ranked(lambda x: jnp.stack([W[0] @ x, 1.0]), lambda x: jnp.stack([x[0], 1.0]))
    assert line.span == 1 and line.example.kind == "crossing"


def test_the_user_of_separated_boxes_ranks_them_or_not():
    x, low = np.array([1.0, 0.5, 0.0, 0.0]), np.full(4, 0.5)
    domain = samplers.separated(x, (low, low + 0.1), (low - 0.6, low - 0.5))
    for encode, flat in ((lambda z: z, 0), (lambda z: jnp.append(z * (z[0] != 1), 1.0), 1)):
        found = ranked(encode, domain=domain)
        assert (found.flat, found.of, found.complete) == (flat, 1, True)
        assert (found.example is None) == (not flat)
