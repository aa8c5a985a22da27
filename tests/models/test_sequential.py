"""SVAE, RVAE and their GRU against the papers' formulas in NumPy float64."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from aerec import models
from aerec.core import Facts, Table
from aerec.errors import BadInput
from aerec.nn import recurrent, softmax

N = 11
HISTORIES = [[3, 1, 7, 0, 10, 2], [], [5], [9, 4], [8, 6, 2, 1, 0]]
SMALL = {"embedding": 4, "recurrent": 3, "hidden": (5,), "latent": 2, "anneal_steps": 10}


def table(histories=HISTORIES):
    row = np.repeat(np.arange(len(histories)), [len(h) for h in histories])
    column = np.concatenate([np.array(h, int) for h in histories])
    return Table.from_entries(
        row, column, np.ones(len(row)), num_rows=len(histories), num_columns=N
    )


def rows(histories=HISTORIES, longest=None):
    t = table(histories)
    gather = jax.jit(Table.gather, static_argnums=(2, 3))
    return gather(t, jnp.arange(len(histories)), len(t.columns) + 2, longest)


def build(name, given, num_rows=5, num_columns=N):
    """The model, its functions compiled whole: one by one their operations take far longer."""
    model = models.build(name, given, Facts(num_rows, num_columns))
    functions = {"init": model.init, "encode": model.encode, "score": model.score}
    functions |= {"loss": model.loss} if model.loss else {}
    return model._replace(**{part: jax.jit(function) for part, function in functions.items()})


def moved(params, seed=1):
    leaves, treedef = jax.tree.flatten(params)
    rng = np.random.default_rng(seed)
    leaves = [np.asarray(leaf) + rng.normal(size=leaf.shape) / 2 for leaf in leaves]
    return jax.tree.unflatten(treedef, [jnp.asarray(leaf, jnp.float32) for leaf in leaves])


def without_noise(params):
    """A posterior of almost no variance, whose code is its mean."""
    last = params["params"]["encoder"]["Layer_1"]
    kernel, bias = np.array(last["kernel"]), np.array(last["bias"])
    kernel[:, SMALL["latent"] :], bias[SMALL["latent"] :] = 0, -40
    last["kernel"], last["bias"] = jnp.asarray(kernel), jnp.asarray(bias)
    return params


def sigmoid(t):
    return 1 / (1 + np.exp(-t))


def numpy_states(p, history):
    """h_1 ... h_T [T, H] by the loop."""
    h, states = np.zeros(len(p["kernel"])), []
    for item in history:
        a = p["items"][item] @ p["input_kernel"] + p["input_bias"]
        (ar, az, an), (gr, gz, gn) = np.split(a, 3), np.split(h @ p["kernel"], 3)
        z = sigmoid(az + gz)
        n = np.tanh(an + sigmoid(ar + gr) * (gn + p["bias"]))
        h = (1 - z) * n + z * h
        states.append(h)
    return np.array(states).reshape(len(history), len(h))


def numpy_net(p, states):
    """(mean, log-variance, log-softmax at the mean, logits) of states [T, H]."""

    def affine(of, h):
        return h @ of["kernel"] + of["bias"]

    hidden = np.tanh(affine(p["encoder"]["Layer_0"], states))
    mean, log_variance = np.split(affine(p["encoder"]["Layer_1"], hidden), 2, axis=1)
    hidden = np.tanh(affine(p["decoder"]["Layer_0"], mean))
    logits = hidden @ p["output_kernel"] + p["output_bias"]
    log_pi = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return mean, log_variance, log_pi, logits


def kl(mean, log_variance):
    return 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(1)


def svae_in_numpy(p, histories, ahead, beta):
    """The paper's objective of each history, and the steps it sums over."""
    totals, weights = [], []
    for history in histories:
        mean, log_variance, log_pi, _ = numpy_net(p, numpy_states(p, history))
        steps = range(len(history) - 1)
        likelihood = sum(log_pi[t, j] for t in steps for j in history[t + 1 : t + 1 + ahead])
        totals.append(-likelihood + beta * kl(mean, log_variance)[: len(steps)].sum())
        weights.append(len(steps))
    return np.array(totals), np.array(weights)


def rvae_in_numpy(p, histories, beta):
    totals = []
    for history in histories:
        mean, log_variance, log_pi, _ = numpy_net(p, numpy_states(p, history)[-1:])
        totals.append(-log_pi[:, history].sum() + beta * kl(mean, log_variance).sum())
    return np.array(totals), np.array([len(history) > 0 for history in histories])


def doubles(params):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params["params"])


@pytest.mark.parametrize("ahead", [1, 4])
def test_svae_is_its_objective(ahead):
    model = build("svae", {**SMALL, "ahead": ahead, "beta": 0.3, "l2": 0.0}, 5, N)
    params = without_noise(moved(model.init(jax.random.key(0))))
    for step, beta in ((0, 0.0), (2, 0.2), (50, 0.3)):
        got = model.loss(params, rows(), jax.random.key(1), jnp.int32(step))
        want = svae_in_numpy(doubles(params), HISTORIES, ahead, beta)
        chex.assert_trees_all_close(tuple(map(np.asarray, got)), want, rtol=2e-4, atol=1e-5)


def test_rvae_is_its_objective():
    model = build("rvae", {**SMALL, "beta": 0.3, "l2": 0.0}, 5, N)
    params = without_noise(moved(model.init(jax.random.key(0))))
    for step, beta in ((0, 0.0), (2, 0.2), (50, 0.3)):
        got = model.loss(params, rows(), jax.random.key(1), jnp.int32(step))
        want = rvae_in_numpy(doubles(params), HISTORIES, beta)
        chex.assert_trees_all_close(tuple(map(np.asarray, got)), want, rtol=2e-4, atol=1e-5)


def test_a_share_of_the_steps_is_scored_without_bias():
    def mean_loss(scored, keys):
        model = build("svae", {**SMALL, "beta": 0.3, "scored": scored}, 5, N)
        params = without_noise(moved(model.init(jax.random.key(0))))
        losses = jax.jit(jax.vmap(lambda key: model.loss(params, x, key, 10)))(keys)
        total, weight = map(np.asarray, losses)
        return total.sum(1) / weight.sum(1), weight.sum(1)

    x, keys = rows(), jax.random.split(jax.random.key(1), 4000)
    (whole,), (steps,) = mean_loss(1.0, jax.random.split(jax.random.key(2), 1))
    assert steps == 5 + 1 + 4
    drawn, count = mean_loss(0.35, keys)  # of the ten steps four
    np.testing.assert_allclose(count, 10, rtol=1e-6)
    deviation = drawn.std() / np.sqrt(len(keys))
    assert deviation > 0 and abs(drawn.mean() - whole) < 4 * deviation


@pytest.mark.parametrize("name", ["svae", "rvae"])
def test_the_gradient_is_that_of_the_formula(name):
    """Along random directions, against central differences of the NumPy objective."""
    model = build(name, {**SMALL, "beta": 0.3, "l2": 0.0}, 5, N)
    params = without_noise(moved(model.init(jax.random.key(0))))

    formula = {
        "svae": lambda p: svae_in_numpy(p, HISTORIES, 4, 0.3),
        "rvae": lambda p: rvae_in_numpy(p, HISTORIES, 0.3),
    }[name]

    def moved_along(way, by):
        total, weight = formula(jax.tree.map(lambda a, d: a + by * d, p, way))
        return total.sum() / weight.sum()

    def ours(params):
        total, weight = model.loss(params, rows(), jax.random.key(1), jnp.int32(50))
        return total.sum() / weight.sum()

    gradient, p = jax.jit(jax.grad(ours))(params)["params"], doubles(params)
    rng = np.random.default_rng(2)
    for _ in range(5):
        way = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), p)
        want = (moved_along(way, 1e-5) - moved_along(way, -1e-5)) / 2e-5
        products = jax.tree.map(lambda g, d: (np.asarray(g, float) * d).sum(), gradient, way)
        chex.assert_trees_all_close(sum(jax.tree.leaves(products)), want, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["svae", "rvae"])
def test_scores_come_after_the_last_item(name):
    model = build(name, SMALL, 5, N)
    params = moved(model.init(jax.random.key(0)))
    p = doubles(params)
    states = [np.vstack([np.zeros((1, 3)), numpy_states(p, history)])[-1:] for history in HISTORIES]
    mean, _, _, logits = numpy_net(p, np.concatenate(states))
    got = model.encode(params, rows()), model.score(params, rows())
    chex.assert_trees_all_close(tuple(map(np.asarray, got)), (mean, logits), rtol=1e-4, atol=1e-5)


def test_only_the_last_items_of_a_long_history_are_read():
    model = build("svae", {**SMALL, "max_length": 3}, 5, N)
    params = moved(model.init(jax.random.key(0)))
    cut = rows([history[-3:] for history in HISTORIES])
    chex.assert_trees_all_close(model.score(params, rows()), model.score(params, cut), atol=1e-6)
    params = without_noise(params)
    got, want = (model.loss(params, x, jax.random.key(1), jnp.int32(9)) for x in (rows(), cut))
    chex.assert_trees_all_close(got, want, rtol=1e-5)


def test_a_bound_on_the_rows_changes_nothing():
    """`longest` is what sequences are padded to: the tight bound and the loose one agree."""
    model = build("svae", SMALL, 5, N)
    params = moved(model.init(jax.random.key(0)))
    loose, tight = rows(), rows(longest=6)
    assert loose.longest == N and tight.longest == 6
    chex.assert_trees_all_close(model.score(params, tight), model.score(params, loose), atol=1e-6)
    got, want = (model.loss(params, x, jax.random.key(1), jnp.int32(9)) for x in (tight, loose))
    chex.assert_trees_all_close(got, want, rtol=1e-5)


@pytest.mark.parametrize("name", ["svae", "rvae"])
def test_the_order_of_a_history_is_read(name):
    model = build(name, SMALL, 5, N)
    params = moved(model.init(jax.random.key(0)))
    there, back = ([[3, 1, 7]], [[7, 1, 3]])
    scores = [model.score(params, rows(history)) for history in (there, back)]
    assert np.abs(scores[0] - scores[1]).max() > 1e-2


def test_the_noise_of_every_step_has_deviation_exp_half_the_log_variance():
    """A linear decoder shows z - mean: with k = 1 and two items the loss of a step is
    log(1 + exp(-w z)) or with +w z, whose mean over z is compared with a quadrature's."""
    given = {**SMALL, "hidden": (), "latent": 1, "ahead": 1, "beta": 0.0}
    model = build("svae", given, 1, 2)
    params = jax.tree.map(jnp.zeros_like, model.init(jax.random.key(0)))
    p = params["params"]
    p["encoder"]["Layer_0"]["bias"] = jnp.array([0.4, 2 * np.log(1.7)])
    p["output_kernel"] = jnp.array([[1.0, -1.0]])
    t = Table.from_entries([0, 0], [0, 1], [1.0, 1.0], num_rows=1, num_columns=2)
    x = t.gather(jnp.arange(1), 2)
    keys = jax.random.split(jax.random.key(2), 4000)
    totals = jax.jit(jax.vmap(lambda key: model.loss(params, x, key, jnp.int32(0))[0][0]))(keys)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    want = (weights * np.log1p(np.exp(2 * (0.4 + 1.7 * nodes)))).sum() / np.sqrt(2 * np.pi)
    assert abs(totals.mean() - want) < 4 * np.std(totals) / np.sqrt(4000)


def test_the_gru_is_flax_s():
    cell = nn.GRUCell(6)
    inputs = jnp.asarray(np.random.default_rng(0).normal(size=(7, 4, 5)), jnp.float32)
    variables = moved(cell.init(jax.random.key(0), jnp.zeros((4, 6)), inputs[0]))
    p = variables["params"]
    input_kernel = jnp.concatenate([p[f"i{gate}"]["kernel"] for gate in "rzn"], axis=1)
    input_bias = jnp.concatenate([p[f"i{gate}"]["bias"] for gate in "rzn"])
    kernel = jnp.concatenate([p[f"h{gate}"]["kernel"] for gate in "rzn"], axis=1)
    h, want = jnp.zeros((4, 6)), []
    for t in range(7):
        h, _ = cell.apply(variables, h, inputs[t])
        want.append(h)
    a = inputs @ input_kernel + input_bias[None, None]
    entries = jnp.arange(28).reshape(7, 4)
    got = recurrent.gru(a.reshape(28, 18), entries, kernel, p["hn"]["bias"])
    chex.assert_trees_all_close(got, jnp.stack(want), atol=1e-5)


def test_the_derivative_of_the_gru_is_written_out_right():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        table, kernel, bias = (jnp.asarray(rng.normal(size=s)) for s in ((5, 12), (4, 12), (4,)))
        entries = jnp.asarray(rng.integers(0, 5, (6, 3)))  # some are read several times
        states = jax.jit(lambda table, *p: recurrent.gru(table, entries, *p))
        check_grads(states, (table, kernel, bias), order=1, modes=["rev"], eps=1e-6)


def test_states_after_the_last_entry_of_rows_of_all_lengths():
    """Rows that stop before and after the steps at which fewer go on, in no order."""
    rng = np.random.default_rng(0)
    counts = np.array([3, 150, 0, 64, 65, 9, 1])
    shapes = ((20, 12), (4, 12), (4,))
    table, kernel, bias = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes)
    entries = jnp.asarray(rng.integers(0, 20, (150, 7)))
    states = np.asarray(recurrent.gru(table, entries, kernel, bias))
    want = [states[n - 1, i] if n else np.zeros(4) for i, n in enumerate(counts)]
    for capacity in (int(counts.sum()), 1000):
        got = recurrent.last(table, entries, jnp.asarray(counts), kernel, bias, capacity=capacity)
        chex.assert_trees_all_close(np.asarray(got), np.array(want, np.float32), atol=1e-5)


@pytest.mark.parametrize("cotangent", ["even", "uneven"])
def test_the_sliced_softmax_is_the_formula_and_its_gradient(cotangent):
    """Of more entries than a slice has, some without a target, in float64."""
    rng = np.random.default_rng(0)
    entries, num_columns = softmax.SLICE + 90, 6
    hidden, kernel, bias = (rng.normal(size=s) for s in ((entries, 3), (3, num_columns), (6,)))
    targets = np.array([rng.permutation(num_columns + 2)[:2] for _ in range(entries)])
    targets = np.sort(np.minimum(targets, num_columns))  # 6: none
    targets[-40:] = num_columns
    g = np.full(entries, 0.3) if cotangent == "even" else rng.normal(size=entries)
    logits = hidden @ kernel + bias
    pi = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    hot = sum(np.eye(num_columns + 1)[targets[:, j]] for j in range(2))[:, :num_columns]
    by_logits = g[:, None] * (hot.sum(1, keepdims=True) * pi - hot)
    with jax.enable_x64(True):
        value, back = jax.vjp(
            lambda *a: softmax.multinomial(*a, jnp.asarray(targets)),
            *(jnp.asarray(a) for a in (hidden, kernel, bias)),
        )
        got = value, *back(jnp.asarray(g))
        want = -(hot * np.log(pi)).sum(1), by_logits @ kernel.T, hidden.T @ by_logits
        want += (by_logits.sum(0),)
        chex.assert_trees_all_close(tuple(map(np.asarray, got)), want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("wrong", [{"ahead": 0}, {"max_length": 0}, {"recurrent": 0}])
def test_bad_settings_are_refused(wrong):
    with pytest.raises(BadInput, match=f"{next(iter(wrong))} is at least 1"):
        build("svae", wrong, 5, N)
