"""The audit from outside: known answers, theorems A-C, faults that were planted."""

import decimal
import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aerec.nn import activations
from aerec.properties import (
    audit,
    bounds,
    encoder,
    intervals,
    lemmas,
    order,
    plots,
    rates,
    samplers,
    sampling,
    search,
    vacuity,
    witness,
    zero_search,
)
from aerec.properties.budget import Budget
from aerec.properties.journal import Journal
from aerec.properties.problem import pose
from aerec.properties.report import CERTIFIED, REFUTED, VACUOUS

N = 12
GAUSSIAN = samplers.gaussian(N)
ROTATION = np.linalg.qr(np.random.default_rng(0).normal(size=(N, N)))[0].astype(np.float32)
WEIGHT = np.random.default_rng(1).normal(size=(5, N)).astype(np.float32)
SMALL = {"budget": 2**15, "search_points": 2**14}


def verdicts(encode, domain=GAUSSIAN, **options):
    found = audit(encode, domain, jax.random.key(0), **{**SMALL, **options})
    return {name: finding.verdict for name, finding in found.properties.items()}, found


def is_violation(encode, w):
    """The witness again, in NumPy, with nothing of the library but the encoder's float64 codes."""
    x, u, v = encode.exact(np.stack([w.x, w.u, w.v]))
    x, u, v = (
        x / abs(x).max(),
        u / max(abs(u).max(), abs(v).max()),
        v / max(abs(u).max(), abs(v).max()),
    )
    assert w.x @ w.u >= w.x @ w.v
    return x @ u < x @ v


# Known answers


@pytest.mark.parametrize("lifted", [False, True])
def test_isometries_are_never_refuted(lifted):
    rotate = lambda x: ROTATION @ x  # noqa: E731
    encode = (lambda x: jnp.concatenate([jnp.ones(3), rotate(x)])) if lifted else rotate
    found, report = verdicts(encode)
    finding = report.properties["order"]
    assert found["order"].startswith("NOT REFUTED, rate <= ") and finding.rate == 0.0
    assert finding.interval[1] == pytest.approx(1 - 0.025 ** (1 / report.triples))
    assert found["dimension"] == (REFUTED if lifted else CERTIFIED)


def test_a_rotation_that_rounds_badly_is_not_refuted():
    found, _ = verdicts(lambda x: (ROTATION @ x + 1e6) - 1e6)
    assert found["order"].startswith("NOT REFUTED")


def test_pca_keeps_the_order_of_data_of_its_rank():
    draw = np.random.default_rng(2)
    basis = np.linalg.qr(draw.normal(size=(30, 4)))[0]
    users, items = (draw.normal(size=(k, 4)) @ basis.T for k in (60, 300))
    found, report = verdicts(
        lambda x: x @ basis.astype(np.float32), samplers.empirical(users, items)
    )
    assert report.properties["order"].rate == 0.0
    assert report.triples == 60 * 300 * 299 // 2
    assert found["order"] == CERTIFIED  # on these data
    assert report.per_user["tau_b"].min() > 0.999
    # the same encoder on all of R^30 is refuted: the domain decides
    assert verdicts(lambda x: x @ basis.astype(np.float32), samplers.gaussian(30))[0]["order"] == (
        REFUTED
    )


PAIRS = [(50, 40), (64, 8), (90, 70), (120, 12)]


def counted(encode, domain, key, *, budget, chunk=8):
    """The counts of an audit's sampling, without the rest of it."""
    posed = pose(encoder.wrap(encode, domain.dimension), domain)
    posed = posed._replace(true_ties=1e-6, latent_ties=2e-6)
    return sampling.count(
        posed, None, key, budget=Budget(budget), chunk=chunk, state=Journal(None, ""), progress=None
    ).counts  # fmt: skip


@pytest.mark.parametrize(("n", "m"), PAIRS)
def test_random_projections_lie_on_their_curve(n, m):
    basis = np.linalg.qr(np.random.default_rng(n + m).normal(size=(n, m)))[0].astype(np.float32)
    counts = counted(lambda x: x @ basis, samplers.gaussian(n), jax.random.key(m), budget=2**14)
    tally = order.summary(counts)
    low, high = intervals.clopper_pearson(tally.violations, tally.total, confidence=0.999)
    assert low <= rates.projection_baseline(n, m, asymptotic=False) <= high
    assert low <= rates.projection_baseline(n, m) <= high


def test_a_reversed_encoder_violates_all_but_the_ties():
    draw = np.random.default_rng(3)
    users, items = draw.integers(0, 3, (40, N)), -draw.integers(0, 3, (50, N))
    _, report = verdicts(jnp.abs, samplers.empirical(users, items))
    scores = users @ items.T
    tied = sum(((row[:, None] == row).sum() - 50) // 2 for row in scores)
    finding = report.properties["order"]
    assert finding.verdict == REFUTED
    assert finding.rate == 1 - tied / report.triples
    assert finding.skill == -1.0


COLLAPSED = {
    "constant": lambda x: jnp.ones(3) + 0 * x[0],
    "zero": lambda x: jnp.zeros(3),
    "near-constant": lambda x: 1 + 1e-7 * jnp.tanh(WEIGHT @ x),
    "saturated sigmoid": lambda x: jax.nn.sigmoid(WEIGHT @ x + 60),
    "dead relu": lambda x: jax.nn.relu(WEIGHT @ x - 1e4),
}


@pytest.mark.parametrize("name", COLLAPSED)
def test_a_collapsed_code_is_vacuous_and_not_good(name):
    found, report = verdicts(COLLAPSED[name])
    finding = report.properties["order"]
    assert found["order"] == VACUOUS
    assert finding.rate == 0.0 and finding.skill == 0.0
    assert report.vacuity.collapsed and report.vacuity.effective_rank == 0.0
    assert found["nonzero"] == (REFUTED if name in ("zero", "dead relu") else VACUOUS)


def test_a_refuted_encoder_carries_its_vacuity_too():
    _, report = verdicts(lambda x: 1 + 1e-3 * jnp.tanh(WEIGHT @ x))
    assert report.properties["order"].verdict == REFUTED
    assert 0 < report.vacuity.spread < 1e-2 and report.vacuity.from_constant < 1e-2


# Theorem A


@pytest.mark.parametrize(
    "name",
    [
        name if ":" not in name else pytest.param(name, marks=pytest.mark.slow)
        for name in activations.names()
    ],
)
def test_theorem_a_the_finite_witness_refutes_every_random_encoder(name):
    """100 of 100: one layer and two, with biases and without, of several shapes."""
    extra, compiled = activations.describe(name).extra, jax.jit(activations.get(name))

    def function(z):
        """Of as many rows as a multiple of 64, so that few shapes are compiled."""
        return np.asarray(compiled(np.pad(z, ((0, -len(z) % 64), (0, 0)))))[: len(z)]

    refuted = number = 0
    while refuted < 100:
        number += 1
        assert number < 400, "too many random encoders came out constant"
        draw = np.random.default_rng(number)
        n, m, hidden = ((6, 4, None), (6, 3, 5), (4, 2, None))[number % 3]
        w1 = draw.normal(size=(hidden or m, n))
        b1 = draw.normal(size=hidden or m) * (number % 2)
        w2 = draw.normal(size=(m, (hidden or 0) + extra)) / 2

        def encode(x, w1=w1, b1=b1, w2=w2, deep=hidden is not None):
            with jax.enable_x64(True), np.errstate(over="ignore", invalid="ignore"):
                z = function(x @ w1.T + b1)
                return function(z @ w2.T) if deep else z

        rows = encoder.Encoder(encode, encode, encode, n, m + extra, 2**-23, False)
        codes = rows.exact(np.random.default_rng(0).normal(size=(50, n)))
        if not np.isfinite(codes).all() or vacuity.measure(codes, codes, tolerance=1e-5).collapsed:
            continue  # exp(exp(x)) may overflow, relu may be dead
        found = witness.finite(pose(rows, samplers.gaussian(n)))
        assert found is not None, f"number {number}: no witness"
        assert is_violation(rows, found)
        refuted += 1


def test_theorem_a_ties_of_the_construction_are_exact_and_the_witness_strict():
    wrapped = encoder.wrap(lambda x: jax.nn.relu(WEIGHT @ x), N)
    found = witness.finite(pose(wrapped, GAUSSIAN))
    assert found.kind == "strict" and found.true_margin > 0 > found.latent_margin
    again = witness.finite(pose(wrapped, GAUSSIAN))
    np.testing.assert_array_equal(found.x, again.x)
    small = witness.shrink(pose(wrapped, GAUSSIAN), found)
    assert is_violation(wrapped, small)
    assert sum(map(np.count_nonzero, (small.x, small.u, small.v))) <= 9


def test_theorem_a_holds_in_a_wide_space_too():
    weight = jax.random.normal(jax.random.key(0), (20, 3000)) / 50
    wrapped = encoder.wrap(lambda x: jnp.tanh(weight @ x), 3000)
    found = witness.finite(pose(wrapped, samplers.gaussian(3000)))
    assert found is not None and is_violation(wrapped, found)


def test_a_step_encoder_is_refuted():
    assert verdicts(lambda x: jnp.sign(WEIGHT @ x))[0]["order"] == REFUTED


def test_eq_1_and_lemma_1():
    draw = np.random.default_rng(0).normal(size=(50, N))
    constant = lemmas.proposition_1(encoder.wrap(lambda x: jnp.ones(3) + 0 * x[0], N), draw)
    assert constant["residual"] == 0.0 and constant["norm_at_zero"] == pytest.approx(3**0.5)
    flat = lemmas.proposition_1(
        encoder.wrap(lambda x: jnp.concatenate([jnp.ones(1), WEIGHT @ x]), N), draw
    )
    assert flat["residual"] < 1e-12  # a lift of a linear map: the image is in its hyperplane
    bent = lemmas.proposition_1(encoder.wrap(lambda x: jax.nn.sigmoid(WEIGHT @ x), N), draw)
    assert bent["residual"] > 0.05
    rotated = lemmas.lemma_1(encoder.wrap(lambda x: ROTATION @ x, N))
    assert rotated["rank"] == N and rotated["largest_off_diagonal"] < 1e-6
    narrow = lemmas.lemma_1(encoder.wrap(lambda x: WEIGHT @ x, N))
    assert narrow["rank"] == 5 and narrow["largest_off_diagonal"] > 0.1


# Theorem B


@pytest.mark.parametrize("name", list(activations.CATALOGUE))
def test_theorem_b_a_lift_changes_no_margin_and_never_vanishes(name):
    plain, lifted = (
        encoder.wrap(lambda x, f=f: f(WEIGHT @ x), N)
        for f in map(activations.get, (name, f"lift:{name}"))
    )
    x, u, v = np.random.default_rng(0).normal(size=(3, 200, N))
    margins = [np.sum(e.exact(x) * (e.exact(u) - e.exact(v)), axis=1) for e in (plain, lifted)]
    np.testing.assert_allclose(margins[1], margins[0], rtol=1e-9, atol=1e-9)
    assert (lifted.exact(x)[:, 0] == activations.LIFT).all()
    if name not in ("tanh", "relu"):
        return
    assert zero_search.search(lifted, GAUSSIAN, jax.random.key(0)) is None
    verdict = audit(
        lambda x: activations.get(f"lift:{name}")(WEIGHT @ x), GAUSSIAN, jax.random.key(0),
        activation=activations.describe(f"lift:{name}"), **SMALL,
    ).properties["nonzero"]  # fmt: skip
    assert verdict.verdict == CERTIFIED and verdict.domain == f"R^{N}"


# Faults that were planted

FLIP = lambda x: x[::-1]  # noqa: E731
BOX = samplers.box(np.full(4, -1.0), np.full(4, 1.0))
FAULTS = {
    "a region of measure 1e-4": (
        lambda x: jnp.where(x[0] > 3.72, FLIP(x), x), GAUSSIAN),
    "a cell of measure 2e-5 in a box": (
        lambda x: jnp.where((abs(x - 0.5) < 0.07).all(), FLIP(x), x), BOX),
    "far from the origin": (
        lambda x: jnp.where(jnp.linalg.norm(x) > 300, FLIP(x), x), GAUSSIAN),
    "near the origin": (
        lambda x: jnp.where(jnp.linalg.norm(x) < 0.05, FLIP(x), x), GAUSSIAN),
    "everywhere but at the sampler's typical norm": (
        lambda x: jnp.where(abs(jnp.linalg.norm(x) - 3.5) < 3.4, x, FLIP(x)), GAUSSIAN),
    "a smooth bump": (
        lambda x: x + 0.1 * jnp.exp(-jnp.sum((x - 0.5) ** 2) / (2 * 0.05**2)) * FLIP(x), BOX),
    "anywhere but on binary vectors": (
        lambda x: x + 0.1 * jnp.sin(2 * jnp.pi * x), GAUSSIAN),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_rare_fault_is_found_within_the_default_budget(name):
    encode, domain = FAULTS[name]
    wrapped = encoder.wrap(encode, domain.dimension)
    found = search.find(pose(wrapped, domain), jax.random.key(7))
    assert found is not None and is_violation(wrapped, found)
    assert domain.contains(np.stack([found.x, found.u, found.v])).all()


def test_order_kept_on_binary_vectors_is_not_refuted_there():
    encode = lambda x: x + 0.1 * jnp.sin(2 * jnp.pi * x)  # noqa: E731
    assert verdicts(encode, samplers.binary(N))[0]["order"].startswith("NOT REFUTED")


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_scale_changes_no_verdict(scale):
    narrow = encoder.wrap(lambda x: scale * (WEIGHT @ x), N)
    assert is_violation(narrow, witness.finite(pose(narrow, GAUSSIAN)))
    assert verdicts(lambda x: scale * (ROTATION @ x))[0]["order"].startswith("NOT REFUTED")


def test_climbing_alone_refutes_on_binary_vectors_and_for_numpy_callables():
    wrapped = encoder.wrap(lambda x: np.tanh(WEIGHT.astype(float) @ np.asarray(x)), N)
    for domain in (samplers.binary(N), GAUSSIAN):
        posed = pose(wrapped, domain)
        triples = list(search.climb(posed, jax.random.key(0)))
        assert any(witness.recheck(posed, *t, source="climbing") is not None for t in triples)


def test_a_code_that_is_not_a_number_is_a_clear_error():
    with pytest.raises(ValueError, match=r"NaN or infinity for \d+ of .*Gaussian"):
        verdicts(jnp.log)
    with pytest.raises(ValueError, match="NaN or infinity"):
        verdicts(lambda x: np.log(np.asarray(x)))
    rare = lambda x: jnp.where(x[0] > 3, jnp.nan, x)  # noqa: E731
    with pytest.raises(ValueError, match="NaN or infinity"):
        verdicts(rare)


def test_a_pool_offers_broken_orders_before_broken_ties():
    draw = np.random.default_rng(0)
    true, seen = np.repeat([[0.0, 1.0, 2.0]], 20, axis=1), draw.random((1, 60))
    ((row, high, low),) = search._falls(true, seen, 1e-6)
    depth = max(seen[0, :20].max() - seen[0, 20:].min(), seen[0, :40].max() - seen[0, 40:].min())
    assert row == 0 and true[0, high] > true[0, low]
    assert seen[0, low] - seen[0, high] == pytest.approx(depth)
    ((row, high, low),) = search._falls(true, seen + true, 1e-6)
    assert true[0, high] == true[0, low] and seen[0, low] > seen[0, high]


def test_cosine_ranks_by_direction():
    stretch = lambda x: x * (1 + jnp.sum(x**2))  # noqa: E731
    assert verdicts(stretch)[0]["order"] == REFUTED
    found, _ = verdicts(stretch, truth="cosine", latent="cosine")
    assert found["order"].startswith("NOT REFUTED")


# Reproducible, resumable, written down


def test_counts_do_not_depend_on_chunks_or_callers_and_do_depend_on_the_key():
    encode = lambda x: jnp.tanh(WEIGHT @ x)  # noqa: E731
    counts = [
        counted(encode, GAUSSIAN, jax.random.key(s), budget=2**15, chunk=c)
        for s, c in ((0, 1), (0, 3), (1, 8))
    ]
    np.testing.assert_array_equal(counts[0], counts[1])
    assert (counts[0] != counts[2]).any() and counts[0].sum() == 2**15


def test_counts_are_the_same_on_four_devices(tmp_path):
    script = """
import sys
import warnings
import jax, jax.numpy as jnp, numpy as np
from aerec.properties import encoder, samplers, sampling
from aerec.properties.budget import Budget
from aerec.properties.journal import Journal
from aerec.properties.problem import pose
w = np.random.default_rng(1).normal(size=(5, 12)).astype(np.float32)
posed = pose(encoder.wrap(lambda x: jnp.tanh(w @ x), 12), samplers.gaussian(12))
totals = sampling.count(
    posed._replace(true_ties=1e-6, latent_ties=2e-6), None, jax.random.key(0),
    budget=Budget(5 * 4096), chunk=5, state=Journal(None, ""), progress=None)
np.save(sys.argv[1], totals.counts)
print(jax.device_count())
"""
    flags = "--xla_force_host_platform_device_count=4"
    there = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "counts.npy")], check=True, text=True,
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}, capture_output=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    here = counted(
        lambda x: jnp.tanh(WEIGHT @ x), GAUSSIAN, jax.random.key(0), budget=5 * 4096, chunk=5
    )
    assert (jax.device_count(), there.stdout) == (1, "4\n")
    np.testing.assert_array_equal(np.load(tmp_path / "counts.npy"), here)


@pytest.mark.parametrize("data", [False, True])
def test_an_audit_resumes_where_it_stopped(tmp_path, data):
    draw = np.random.default_rng(0)
    users = draw.normal(size=(30, N))
    domain = samplers.empirical(users, draw.normal(size=(40, N))) if data else GAUSSIAN
    encode = lambda x: jnp.tanh(WEIGHT @ x)  # noqa: E731
    key, state = jax.random.key(3), tmp_path / "state.json"
    options = {"search_points": 1024, "exhaustive": False}
    audit(encode, domain, jax.random.clone(key), budget=10_000, state=state, **options)
    resumed = audit(encode, domain, jax.random.clone(key), budget=200_000, state=state, **options)
    at_once = audit(encode, domain, jax.random.clone(key), budget=200_000, **options)
    np.testing.assert_array_equal(resumed.counts, at_once.counts)
    assert resumed.properties["order"].interval == at_once.properties["order"].interval
    with pytest.raises(ValueError, match="another encoder"):
        audit(lambda x: 2 * encode(x), domain, key, state=state, **options)


CUT_OFF = """
import os, pathlib, signal, sys
import jax, numpy as np
from aerec.properties import audit, journal, samplers

journal.PAUSE = 0.0  # keep every step
draw = np.random.default_rng(0)
weight = draw.normal(size=(3, 6))
users, items = draw.integers(0, 4, (300, 6)), draw.normal(size=(20, 6))
domains = {"data": samplers.empirical(users, items), "gaussian": samplers.gaussian(6)}

def run(domain, path, fatal):
    def encode(x):
        calls.append(len(x))
        if fatal and path.exists() and fatal in path.read_text():
            os.kill(os.getpid(), signal.SIGKILL)
        return np.tanh(x @ weight.T)

    calls = []
    found = audit(encode, domains[domain], jax.random.key(0), batched=True, budget=20_000,
                  search_points=2**12, chunk=1, state=path)
    return found, sum(calls)

if __name__ == "__main__":
    run(sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3])
"""


@pytest.mark.parametrize(("domain", "fatal"), [("data", "counted"), ("gaussian", "witness")])
def test_a_killed_audit_goes_on_with_the_same_result(tmp_path, domain, fatal):
    """Killed in the middle of the exhaustive count, and after the search for P2."""
    cut, whole = tmp_path / "cut.json", tmp_path / "whole.json"
    died = subprocess.run(
        [sys.executable, "-c", CUT_OFF, domain, str(cut), f'"{fatal}'],
        capture_output=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert died.returncode == -signal.SIGKILL, died.stderr
    parts = json.loads(cut.read_text())["parts"]
    assert "zero" not in parts
    if fatal == "counted":
        (part,) = (value for name, value in parts.items() if name.startswith("counted"))
        assert 0 < len(part[0]) < 300
    space = {"__name__": "here"}
    with mock.patch("aerec.properties.journal.PAUSE", 0.0):
        exec(CUT_OFF, space)
        resumed, few = space["run"](domain, cut, "")
        at_once, all_ = space["run"](domain, whole, "")
    assert resumed.to_dict() == at_once.to_dict() and few < all_
    for name, values in at_once.per_user.items():
        np.testing.assert_array_equal(resumed.per_user[name], values)


@pytest.mark.parametrize("bad", ["soon", "0s", 0, "-3", "1m", True])
def test_a_budget_is_triples_or_seconds(bad):
    with pytest.raises(ValueError, match="30s"):
        verdicts(lambda x: x, budget=bad)


def test_a_budget_of_seconds_ends():
    _, report = verdicts(lambda x: x[:3], budget="0.5s")
    assert report.triples >= 4096


def test_the_report_is_written_with_its_witnesses_and_pictures(tmp_path):
    encode = lambda x: jax.nn.relu(WEIGHT @ x)  # noqa: E731
    _, report = verdicts(encode, name="a relu layer")
    data = json.loads(report.save(tmp_path).read_text())
    assert set(data["properties"]) == {"dimension", "order", "nonzero", "ranking"}
    for finding in data["properties"].values():
        assert {"verdict", "domain", "rate", "interval", "skill", "witness"} <= set(finding)
    with np.load(tmp_path / "witness_order.npz") as saved:
        x, u, v = (saved[k] for k in "xuv")
        relu = lambda a: np.maximum(WEIGHT.astype(float) @ a, 0)  # noqa: E731
        assert x @ u >= x @ v and relu(x) @ relu(u) < relu(x) @ relu(v)
    with np.load(tmp_path / "witness_nonzero.npz") as saved:
        assert saved["x"].any() and not (np.maximum(WEIGHT @ saved["x"], 0) > 1e-6).any()
    text = (tmp_path / "audit.md").read_text()
    assert "REFUTED" in text and "a relu layer" in text and "true margin" in text
    assert not list(tmp_path.glob("*.partial"))
    made = plots.figures(report, tmp_path) + plots.comparison({"one": report}, tmp_path)
    assert all(path.stat().st_size > 5000 for path in made) and len(made) == 5


def test_data_audits_sparse_tables_and_numpy_callables():
    from scipy import sparse

    draw = np.random.default_rng(4)
    table = sparse.random(50, N, 0.4, "csr", random_state=draw)
    found, report = verdicts(
        lambda x: np.maximum(WEIGHT @ np.asarray(x), 0), samplers.empirical(table)
    )
    assert found["order"] == REFUTED and report.triples == 50 * N * (N - 1) // 2
    again = audit(
        lambda x: np.maximum(WEIGHT @ np.asarray(x), 0), samplers.empirical(table.toarray()),
        jax.random.key(0), **SMALL,
    )  # fmt: skip
    assert report.properties["order"].rate == again.properties["order"].rate


def test_certificates_need_a_network_and_say_where_they_hold():
    net = (bounds.Affine(WEIGHT.astype(float), np.ones(5), activations.describe("tanh")),)
    low, high = np.full(N, 0.5), np.full(N, 0.6)
    found, report = verdicts(lambda x: bounds.apply(net, x), samplers.box(low, high), network=net)
    assert found["nonzero"] == CERTIFIED and "box" in report.properties["nonzero"].domain
    assert verdicts(lambda x: bounds.apply(net, x), network=net)[0]["nonzero"] == REFUTED


@pytest.mark.parametrize("content", ["", "[1]", "{}", '"mark"', "\x00"])
def test_a_state_file_that_is_none_is_refused(tmp_path, content):
    state = tmp_path / "state.json"
    state.write_text(content)
    with pytest.raises(ValueError, match="is not an audit's state file"):
        Journal(state, "mark")
    assert state.read_text() == content


@pytest.mark.parametrize("encode", ["own", "numpy"])
def test_order_on_separated_boxes_is_certified_or_refuted(encode):
    """x likes the first box better: an encoder that keeps this is proven to, one that turns it
    round is refuted by a triple of these boxes, and without the layers nothing is proven."""
    x = np.array([1.0, 0.5, 0.0, 0.0])
    u, v = (np.full(4, 0.5), np.full(4, 0.6)), (np.full(4, -0.1), np.zeros(4))
    domain = samplers.separated(x, u, v)
    keeps = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    faults = {"keeps": keeps, "turns": keeps[:, [2, 3, 0, 1]] - keeps}
    for name, weight in faults.items():
        net = (bounds.Affine(weight, np.zeros(2), activations.describe("tanh")),)
        plain = {
            "own": lambda x, net=net: bounds.apply(net, x),
            "numpy": lambda x, weight=weight: np.tanh(weight @ np.asarray(x)),
        }[encode]
        found, report = verdicts(plain, domain, network=net)
        if name == "keeps":
            assert found["order"] == CERTIFIED and report.properties["order"].rate == 0
            assert verdicts(plain, domain)[0]["order"].startswith("NOT REFUTED")
        else:
            assert found["order"] == REFUTED
            seen = report.properties["order"].witness
            assert domain.admits(seen.x, seen.u, seen.v) and seen.true_margin > 0


def test_a_fault_in_a_corner_of_separated_boxes_is_found_by_descent():
    x = np.array([1.0, 0.0, 0.0])
    u, v = (np.full(3, 0.4), np.full(3, 0.6)), (np.full(3, -0.6), np.full(3, -0.4))
    corner = jnp.array([0.4, 0.6, 0.6])

    def encode(z):  # falls steeply towards one corner of the first box
        return jnp.stack([z[0] - 3 * jnp.exp(-30 * jnp.sum((z - corner) ** 2)), 0.1])

    domain = samplers.separated(x, u, v)
    found, report = verdicts(encode, domain)
    assert found["order"] == REFUTED
    assert report.properties["order"].witness.source == "descent in the boxes"
    with pytest.raises(ValueError, match="not cosines"):
        audit(encode, domain, jax.random.key(0), truth="cosine")


@pytest.mark.parametrize(
    ("x", "u", "v", "words"),
    [
        ([1.0, 0.0], ([0, 0], [1, 1]), ([0.5, 0], [2, 1]), "overlap along x"),
        ([1.0], ([0, 0], [1, 1]), ([-2, 0], [-1, 1]), "x has 1 coordinates"),
        ([1.0, 0.0], ([0, 0], [0, 1]), ([-2, 0], [-1, 1]), "a box needs"),
    ],
)
def test_boxes_that_are_not_separated_are_refused(x, u, v, words):
    with pytest.raises(ValueError, match=words):
        samplers.separated(x, u, v)


@pytest.mark.parametrize("name", ["ball", "hull"])
def test_ascent_stays_in_a_domain_that_ends(name):
    rows = np.random.default_rng(0).normal(size=(40, N))
    domain = {"ball": samplers.ball(N), "hull": samplers.hull(rows)}[name]
    wrapped = encoder.wrap(lambda x: jnp.tanh(jnp.asarray(WEIGHT) @ x), N)
    found = [
        witness.recheck(pose(wrapped, domain), *triple, source="gradient ascent")
        for triple in search.ascend(pose(wrapped, domain), jax.random.key(0))
    ]
    assert any(found)


def test_a_coarse_format_is_judged_by_its_codes():
    """Rounding a code to bfloat16 neither hides what a projection breaks nor makes a collapse."""
    projection = ROTATION[:4]
    rates_of = {}
    for name, dtype in {"float32": jnp.float32, "bfloat16": jnp.bfloat16}.items():
        found, report = verdicts(lambda x, d=dtype: (jnp.asarray(projection) @ x).astype(d))
        assert found["order"] == REFUTED
        rates_of[name] = report.properties["order"].rate
    assert rates_of["bfloat16"] == pytest.approx(rates_of["float32"], abs=0.05)
    found, _ = verdicts(lambda x: x.astype(jnp.bfloat16))
    assert found["order"].startswith("NOT REFUTED")
    found, _ = verdicts(lambda x: jnp.full(3, 1.7, jnp.bfloat16) + 0 * x[:3].astype(jnp.bfloat16))
    assert found["order"] == VACUOUS


def test_an_encoder_that_normalises_keeps_the_order_of_cosines():
    found, _ = verdicts(lambda x: x / jnp.linalg.norm(x), truth="cosine", latent="cosine")
    assert found["order"].startswith("NOT REFUTED")


def test_a_code_that_jumps_everywhere_is_not_called_rounding():
    def noise(x):
        return np.random.default_rng(abs(hash(np.asarray(x).tobytes()))).normal(size=3)

    _, report = verdicts(noise, budget=2**12, search_points=2**9)
    finding = report.properties["order"]
    assert finding.rate > 0.3
    assert finding.verdict == REFUTED or "f jumps everywhere" in finding.why


# What an encoder or a domain must not be able to hide


def test_the_order_of_cosines_is_exact():
    """Against 400 decimal digits: items whose cosines differ by 2^-40 or less, or not at all."""
    decimal.getcontext().prec = 400
    draw = np.random.default_rng(0)

    def cosine(x, u):
        x, u = ([decimal.Decimal(value) for value in z.tolist()] for z in (x, u))
        dot, size_x, size_u = (
            sum((a * b for a, b in zip(*pair, strict=True)), decimal.Decimal(0))
            for pair in ((x, u), (x, x), (u, u))
        )
        return dot / (size_x * size_u).sqrt() if size_x * size_u else decimal.Decimal(0)

    for power in (*range(20, 60, 4), 500):
        x, u = draw.integers(-9, 9, (2, 4)).astype(float)
        v = 3 * u + draw.integers(-9, 9, 4) * 2.0**-power
        for first, second in ((u, v), (v, u), (-u, v), (u, np.zeros(4)), (np.zeros(4), v)):
            gap = cosine(x, first) - cosine(x, second)
            gap = 0 if abs(gap) < decimal.Decimal(10) ** -390 else gap
            found = witness._exact_margin(x, first, second, "cosine")
            assert np.sign(found) == (gap > 0) - (gap < 0)
            assert found == pytest.approx(float(gap), abs=1e-15)


def test_cosines_that_nearly_tie_refute_nothing():
    """The first item is nearer to the user, by 2^-55, and so are the codes."""
    nearer = lambda x: jnp.stack([1.0 + 0 * x[0], jnp.where(x[2] == 0, 1.0, 0.5)])  # noqa: E731
    domain = samplers.empirical([[1, 1, 0.0]], [[1, 1, 0], [1, 1, 2.0**-27]])
    assert verdicts(nearer, domain, truth="cosine")[0]["order"].startswith("NOT REFUTED")
    farther = lambda x: jnp.stack([1.0 + 0 * x[0], jnp.where(x[2] == 0, 1.0, 1.5)])  # noqa: E731
    found, report = verdicts(farther, domain, truth="cosine")
    assert found["order"] == REFUTED and report.order.witness.kind == "strict"


@pytest.mark.parametrize("batched", [False, True])
def test_noise_that_is_drawn_while_jax_traces_is_noticed(batched):
    draw = np.random.default_rng()
    noisy = lambda x: x + 0.5 * draw.normal(size=3).astype(np.float32)  # noqa: E731
    with pytest.raises(ValueError, match="not a function"):
        audit(noisy, samplers.gaussian(3), jax.random.key(0), batched=batched, **SMALL)


def test_a_witness_is_traced_anew():
    """In float32 a function, which keeps the order; in float64 it moves with every trace."""
    traced = []

    def changing(x):
        traced.append(x.dtype)
        return x if x.dtype == jnp.float32 else x + len(traced)

    with pytest.raises(ValueError, match="not a function"):
        audit(changing, samplers.gaussian(4), jax.random.key(0), **SMALL)


def test_a_constant_coordinate_hides_nothing_in_data():
    """Theorem B: counts, ties included, are those of the code without the constant."""
    draw = np.random.default_rng(5)
    domain = samplers.empirical(draw.normal(size=(30, N)), draw.normal(size=(40, N)))
    for exhaustive in (True, False):
        tallies = []
        for constant in (0.0, 1.0, 1e3):
            lifted = lambda x, c=constant: jnp.append(1e-4 * jnp.tanh(WEIGHT @ x), c)  # noqa: E731
            found, report = verdicts(lifted, domain, exhaustive=exhaustive)
            assert found["order"] == REFUTED
            details = report.order.details
            tallies.append([details[k] for k in ("concordant", "reversed", "flattened", "tied")])
        assert details["constant_coordinates"] == 1
        assert "float32 scores lose margins below" in report.order.why
        np.testing.assert_array_equal(tallies[0], tallies[1])
        np.testing.assert_array_equal(tallies[0], tallies[2])


def test_a_code_that_is_constant_but_for_rare_points_is_searched_near_them():
    """All counted triples tie, and the verdict still is no excuse; far away, nothing is claimed."""
    domain = samplers.gaussian(6)
    found, report = verdicts(lambda x: 1.0 * (x[:1] > 3.2), domain)
    assert report.order.rate == 0 and report.vacuity.collapsed
    assert found["order"] == REFUTED and "constant in effect" in report.order.why
    assert verdicts(lambda x: 1.0 * (x[:1] > 400.0), domain)[0]["order"] == VACUOUS


def test_warnings_of_numpy_do_not_leak():
    halves = lambda x: np.exp(2 * np.asarray(x)).astype(np.float16)[:2]  # noqa: E731
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        domain = samplers.box(np.zeros(3), np.ones(3))
        audit(halves, domain, jax.random.key(0), budget=256, search_points=256)
        audit(lambda x: np.asarray(x, np.float16), samplers.gaussian(3), jax.random.key(0),
              budget=256, search_points=2**13)  # fmt: skip
