"""Steps, scores, evaluations, counts and bounds against NumPy: the numbers of the CPU backend.

Everything is compiled as in use, in float32, with 1e32 written to memory before each call. The
references are the papers' equations in float64; dropout, noise and samples are drawn with the same
keys. Under XLA's default options (see `aerec.xla`) the counts of an encoder here are wrong, those
of models, evaluations and bounds are right in JAX 0.10.2 and 0.12; these tests are to keep it so.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aerec import models
from aerec.core import Facts, Table
from aerec.evaluation import ranking, rating
from aerec.models import MODELS
from aerec.nn import activations, layers
from aerec.properties import bounds, counting, encoder, samplers, sampling
from aerec.properties.budget import Budget
from aerec.properties.journal import Journal
from aerec.properties.problem import pose
from aerec.properties.scores import score_rows
from aerec.training.step import State as State
from aerec.training.step import make_step

pytestmark = pytest.mark.usefixtures("optimised")

U, N, H, K = 32, 300, 64, 20
WIDTHS = {"hidden": (H,), "latent": K, "embedding": 24, "recurrent": 20}


def on_dirty_memory(function, *arguments):
    """What the function returns when the memory it is given holds 1e32."""
    sizes = (2**10, 2**12, 2**14, U * N, N * H, N * N)
    junk = [np.full(size, 1e32, np.float32) for size in sizes for _ in range(4)]
    del junk
    return jax.block_until_ready(function(*arguments))


def build(name, given, num_rows=U):
    return models.build(name, given, Facts(num_rows, N))


def table_of(x, seed=0):
    """The table of the cells that are not zero, each row in random order; row and column too."""
    row, column = np.nonzero(x)
    shuffled = np.random.default_rng(seed).permutation(len(row))
    shuffled = shuffled[np.argsort(row[shuffled], kind="stable")]
    row, column = row[shuffled], column[shuffled]
    table = Table.from_entries(row, column, x[row, column], num_rows=len(x), num_columns=N)
    return table, row, column


@functools.cache
def matrix(task="ranking", rows=U):
    """x [rows, N] of clicks or ratings, 8% listed; the first row lists nothing."""
    rng = np.random.default_rng(0)
    x = (rng.random((rows, N)) < 0.08) * rng.integers(1, 6, (rows, N)).astype(float)
    x[0] = 0
    return x if task == "rating" else np.sign(x)


def batch(table):
    return table.gather(jnp.arange(table.num_rows), len(table.columns) + 7)


def close(given, expected, within=1e-5):
    """Equal but for float32 rounding, `within` of the largest."""
    np.testing.assert_allclose(given, expected, rtol=0, atol=within * np.abs(expected).max())


# ------------------------------------------------------------------ what the equations are made of


def sigmoid(t):
    return 1 / (1 + np.exp(-t))


def softplus(t):
    return np.logaddexp(0, t)


def log_softmax(y):
    return y - np.logaddexp.reduce(y, axis=-1, keepdims=True)


def standardised(y):
    apart = y - y.mean(1, keepdims=True)
    return apart / np.maximum(apart.std(1, keepdims=True), 1e-300)


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)


def kl(mean, log_variance):
    return (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(1) / 2


def affine(layer, h):
    return h @ layer[0] + layer[1]


def stack(p, *parts):
    """[(kernel, bias), ...] of the encoder, the decoder or both, first layer to last."""
    leaves = [
        leaf
        for part in parts
        for path, leaf in jax.tree.leaves_with_path(p)
        if part in jax.tree_util.keystr(path)
    ]
    return list(zip(leaves[1::2], leaves[::2], strict=True))


def network(of, h, activation, last=lambda y: y):
    for layer in of[:-1]:
        h = activation(affine(layer, h))
    return last(affine(of[-1], h))


def kept(key, rate, shape=()):
    """The factors of dropout: of an array of that shape, or of the listed cells of x."""
    table, row, column = table_of(matrix())
    drawn = jax.random.bernoulli(key, 1 - rate, shape or batch(table).values.shape)
    drawn = np.asarray(drawn) / (1 - rate)
    if shape:
        return drawn
    factors = np.zeros((U, N))
    factors[row, column] = drawn[: len(row)]
    return factors


def normal(key, *shape):
    return np.asarray(jax.random.normal(key, shape), float)


# ------------- models that are trained: (key, step, start) -> formula; formula(params) -> (y, total
# [U], weight [U]), y the scores; `start` are the parameters that the step is taken from


def autorec(*_):
    r = matrix("rating")

    def formula(p):
        y = network(stack(p, "encoder", "decoder"), r, sigmoid)
        return y, ((r > 0) * (r - y) ** 2).sum(1), (r > 0).sum(1)

    return formula


def deeprec(key, *_):
    r = matrix("rating")
    of_code = kept(jax.random.split(key)[1], 0.65, (U, H))

    def selu(t):
        return 1.0507009873554805 * np.where(t > 0, t, 1.6732632423543772 * np.expm1(t))

    def formula(p):
        z = network(stack(p, "encoder"), r, selu, selu)
        y, trained = (network(stack(p, "decoder"), z, selu, selu) for z in (z, z * of_code))
        return y, ((r > 0) * (r - trained) ** 2).sum(1), (r > 0).sum(1)

    return formula


def multdae(key, *_):
    x, of_row = matrix(), kept(key, 0.5)

    def formula(p):
        layers = stack(p, "encoder", "decoder")
        y, trained = (network(layers, h, np.tanh) for h in (unit(x), unit(x) * of_row))
        return y, -(x * log_softmax(trained)).sum(1), x.any(1)

    return formula


def feature_ae(key, *_):
    x, of_row = matrix(), kept(key, 0.5)

    def formula(p):
        users, items, z = (
            network(stack(p, "encoder"), h, np.tanh, sigmoid)
            for h in (unit(x), np.eye(N), unit(x) * of_row)
        )
        trained = network(stack(p, "decoder"), z, np.tanh)
        return users @ items.T, -(x * log_softmax(trained)).sum(1), x.any(1)

    return formula


def factor_ae(key, _, start):
    """Spectral vectors are parameters here; the items of a step are drawn."""
    x, (draw, _) = matrix(), jax.random.split(key)
    draws = np.asarray(jax.random.randint(draw, (U, -(-N // U)), 0, N))

    def formula(p):
        f, net = p["features"], p["network"]
        users = x @ (f["weights"][:, None] * f["items"]) / f["lengths"][0]
        items = f["items"] / f["lengths"][1]
        (w, b), (k, c) = stack(net, "encoder_0", "decoder_0")
        code, back = lambda v: v @ w + b, lambda v: (v @ w + b) @ k + c
        y = back(users) @ k.T @ code(items).T
        error = ((users - back(users)) ** 2).sum(1)
        drawn = ((items[draws] - back(items[draws])) ** 2).sum(2).mean(1)
        total, weight = error + N / U * drawn, x.any(1) * (1 + N / U)
        return y, total * x.any(1), weight

    return formula


def multvae(key, step, _):
    x, (of_row, of_code) = matrix(), jax.random.split(key)
    of_row, noise, beta = kept(of_row, 0.5), normal(of_code, U, K), step / 10_000

    def formula(p):
        def posterior(h):
            return np.split(network(stack(p, "encoder"), h, np.tanh), 2, axis=1)

        mean, log_variance = posterior(unit(x) * of_row)
        drawn = mean + np.exp(log_variance / 2) * noise
        y, trained = (
            network(stack(p, "decoder"), z, np.tanh) for z in (posterior(unit(x))[0], drawn)
        )
        total = -(x * log_softmax(trained)).sum(1) + beta * kl(mean, log_variance)
        return y, total, x.any(1)

    return formula


def ease_vae(key, step, start):
    deep, x = multvae(key, step, start), matrix()

    def formula(p):
        y, total, weight = deep(p["deep"])
        linear = x @ p["linear"]["weights"]
        return 0.3 * standardised(linear) + 0.7 * standardised(y), total, weight

    return formula


def recvae(key, *_):
    x, (of_row, of_code) = matrix(), jax.random.split(key)
    of_row, noise = kept(of_row, 0.5), normal(of_code, U, K)

    def posterior(p, h):
        p, before = p["params"], 0.0
        for level in range(sum(name.startswith("LayerNorm") for name in p)):
            layer, norm = p[f"Layer_{level}"], p[f"LayerNorm_{level}"]
            h = h @ layer["kernel"] + layer["bias"] + before
            h = h * sigmoid(h)
            h = (h - h.mean(1, keepdims=True)) / np.sqrt(h.var(1, keepdims=True) + 0.1)
            h = h * norm["scale"] + norm["bias"]
            before = before + h
        return [h @ p[f"Layer_{at}"]["kernel"] + p[f"Layer_{at}"]["bias"]
                for at in (level + 1, level + 2)]  # fmt: skip

    def density(z, mean, log_variance):
        return np.exp(-((z - mean) ** 2) / np.exp(log_variance) / 2 - log_variance / 2)

    def formula(p):
        mean, log_variance = posterior(p["encoder"], unit(x) * of_row)
        old, z = posterior(p["prior"], unit(x)), mean + np.exp(log_variance / 2) * noise
        prior = 0.15 * density(z, 0, 0) + 0.75 * density(z, *old) + 0.1 * density(z, 0, 10)
        apart = (np.log(density(z, mean, log_variance)) - np.log(prior)).sum(1)
        y, trained = (
            code @ p["decoder"]["kernel"] + p["decoder"]["bias"]
            for code in (posterior(p["encoder"], unit(x))[0], z)
        )
        return y, -(x * log_softmax(trained)).sum(1) + 0.005 * x.sum(1) * apart, x.any(1)

    return formula


def vae(key, *_):
    x, noise = matrix(), normal(jax.random.split(key)[1], U, K)

    def formula(p):
        mean, log_variance = np.split(network(stack(p, "encoder"), x, np.tanh), 2, axis=1)
        drawn = mean + np.exp(log_variance / 2) * noise
        y, trained = (network(stack(p, "decoder"), z, np.tanh) for z in (mean, drawn))
        return y, ((x - trained) ** 2).sum(1) / 2 + kl(mean, log_variance), x.any(1)

    return formula


def sdae(key, step, start):
    """1000 updates of pre-training, half of them of the lower layer; then the whole stack."""
    x, of_row, of_layer = matrix(), kept(key, 0.5), kept(jax.random.clone(key), 0.5, (U, H))
    below = sigmoid(affine(stack(start, "encoder")[0], unit(x)))  # no gradient goes there

    def formula(p):
        (first, second), (back_second, back_first) = stack(p, "encoder"), stack(p, "decoder")

        def whole(h):
            return network([first, second, back_second, back_first], h, sigmoid)

        def cross_entropy(y):
            return (softplus(y) - x * y).sum(1)

        if step < 500:
            total = cross_entropy(network([first, back_first], unit(x) * of_row, sigmoid))
        elif step < 1000:
            again = network([second, back_second], below * of_layer, sigmoid, sigmoid)
            total = ((again - below) ** 2).sum(1)
        else:
            total = cross_entropy(whole(unit(x) * of_row))
        return whole(unit(x)), total, x.any(1)

    return formula


def cdae(key, *_):
    """Of the sampled loss: how often each cell is read."""
    x, (table, row, _) = matrix(), table_of(matrix())
    of_row, of_sample = jax.random.split(key)
    of_row = kept(of_row, 0.5)
    size = (len(batch(table).row), 5)
    drawn = np.asarray(jax.random.randint(of_sample, size, 0, N, jnp.int32))[: len(row)]
    read = np.zeros((U, N))
    np.add.at(read, (row[:, None], drawn), 1)
    read = np.where(x > 0, 1, read)

    def formula(p):
        def decode(h):
            z = sigmoid(h @ p["encoder"] + p.get("nodes", 0) + p["latent_bias"])
            return z @ p["decoder"].T + p["output_bias"]

        y = decode(x * of_row)
        return sigmoid(decode(x)), (read * (softplus(y) - x * y)).sum(1), x.any(1)

    return formula


def elsa(*_):
    x = matrix()

    def formula(p):
        a = unit(p["kernel"])
        y = x @ a @ a.T - x
        return y, ((unit(x) - unit(y)) ** 2).sum(1), x.any(1)

    return formula


def rbm(key, _, start):
    """The ratings after a round are drawn at the parameters that the step is taken from."""
    r = matrix("rating")
    table, row, column = table_of(r)
    hidden_key, visible_key = jax.random.split(jax.random.split(key, 1)[0])

    def inputs(p, v):
        return np.tensordot(v, p["kernel"] + p["rated"][:, None], 2) + p["hidden_bias"]

    def energy(p, v):
        return -(v * (p["bias"] + p["level_bias"])).sum((1, 2)) - softplus(inputs(p, v)).sum(1)

    data, drawn = np.zeros((2, U, N, 5))
    data[row, column, r[row, column].astype(int) - 1] = 1
    on = np.asarray(jax.random.bernoulli(hidden_key, sigmoid(inputs(start, data)), (U, K)))
    logits = (start["kernel"][column] @ on[row][:, :, None])[:, :, 0]
    logits += start["bias"][column] + start["level_bias"]
    logits += np.asarray(jax.random.gumbel(visible_key, (len(batch(table).row), 5)))[: len(row)]
    drawn[row, column, logits.argmax(1)] = 1

    def formula(p):
        logits = np.tensordot(sigmoid(inputs(p, data)), p["kernel"], (1, 2))
        y = np.exp(log_softmax(logits + p["bias"] + p["level_bias"])) @ np.arange(1, 6)
        return y, energy(p, data) - energy(p, drawn), r.any(1)

    return formula


def timesvdpp(*_):
    """Entry by entry; the time of each is its place."""
    r = matrix("rating")
    _, row, column = table_of(r)
    seen, value, n = r > 0, r[row, column], (r > 0).sum(1)
    place = np.arange(len(row)) - (np.cumsum(n) - n)[row]

    def part(of, t, parts):
        return np.clip(np.floor((t - of["first"]) * of["rate"]), 0, parts - 1).astype(int)

    def formula(p):
        users, items, clock = p["users"], p["items"], p["clock"]
        own = {name: clock[name][row] for name in ("mean", "scale", "first", "rate")}
        implicit = seen @ items["implicit"] / np.sqrt(np.maximum(n, 1))[:, None]

        def rating(u, i, dev, session, bin):
            """At times with these dev_u, [M, 1], and parts."""
            base = p["mean"] + users["bias"][u] + dev * users["drift"][u]
            base += users["sessions"][u, session][:, None]
            base += (1 + users["item_scale"][u]) * (items["bias"] + items["bins"])[i, bin][:, None]
            code = users["factors"][u] + implicit[u] + dev * users["factor_drift"][u]
            return base[:, 0] + (code * items["factors"][i]).sum(1)

        def dev(of, t):
            away = t - of["mean"]
            return (np.sign(away) * np.abs(away) ** 0.4 * of["scale"])[:, None]

        y = rating(row, column, dev(own, place), part(own, place, 8), part(clock["all"], place, 30))
        squares = [sum((leaf**2).sum(1) for leaf in side.values()) for side in (users, items)]
        total = np.bincount(row, (value - y) ** 2 + 2 * squares[1][column], U)
        total += 2 * n**0.4 * squares[0]
        last = clock["last"]
        at, session, bins = dev(clock, last), part(clock, last, 8), part(clock["all"], last, 30)
        u, i = np.indices((U, N)).reshape(2, -1)
        return rating(u, i, at[u], session[u], bins[u]).reshape(U, N), total, n

    return formula


def rrn(key, *_):
    """Part by part; the time of an entry is its place, and each row is solved by itself."""
    r = matrix("rating")
    table, row, column = table_of(r)
    value, n = r[row, column], (r > 0).sum(1)
    place = np.arange(len(row)) - (np.cumsum(n) - n)[row]
    size = len(batch(table).row), WIDTHS["recurrent"]
    drops = [kept(own, 0.3, size)[: len(row)] for own in jax.random.split(key)]

    def before(net, read):
        """The states before each part and at the end, [T + 1, M, H]."""
        h = c = np.zeros((len(read), len(net["kernel"])))
        found = [h]
        for t in range(read.shape[1]):
            x = np.hstack([read[:, t], np.full((len(read), 1), t / read.shape[1])])
            i, f, g, o = np.split(x @ net["input"] + net["bias"] + h @ net["kernel"], 4, axis=1)
            c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            found.append(h)
        return np.stack(found)

    def formula(p):
        f, clock, read = p["factors"], p["clock"], p["read"]
        parts, nets = read["users"].shape[1], (p["users"], p["items"])
        bins = np.floor((place - clock["first"]) * clock["rate"])
        bins = np.clip(bins, 0, parts - 1).astype(int)
        h = before(nets[0], read["users"]), before(nets[1], read["items"])

        def mapped(states):
            return [
                state @ net["map"] + net["offset"] for state, net in zip(states, nets, strict=True)
            ]

        own, other = mapped([h[0][bins, row] * drops[0], h[1][bins, column] * drops[1]])
        left, right = f["past"][row, bins], f["folds"][row % 4, column]
        y = f["mean"] + left[:, 0] + right[:, 0] + (left[:, 1:] * right[:, 1:]).sum(1)
        y += own[:, 8] + other[:, 8] + (own[:, :8] * other[:, :8]).sum(1)
        weight = 1 - 0.7 * read["users"][row, bins, -1]
        total = np.bincount(row, weight * (value - y) ** 2, U)

        around, q = f["mean"] + f["items"][:, 0], f["items"].copy()
        q[:, 0] = 1
        z = np.zeros((U, q.shape[1]))
        for u in range(U):
            seen = r[u] > 0
            system = q[seen].T @ q[seen] + 4 * max(n[u], 1) ** 0.4 * np.eye(q.shape[1])
            z[u] = np.linalg.solve(system, q[seen].T @ (r[u] - around)[seen])
        own, other = mapped([h[0][-1], h[1][-1]])
        score = around + z @ q.T + own[:, 8:] + other[:, 8] + own[:, :8] @ other[:, :8].T
        return score, total, n

    return formula


def histories():
    """[U, L] columns in order, N past the end, and the lengths."""
    _, row, column = table_of(matrix())
    counts = np.bincount(row, minlength=U)
    items = np.full((U, counts.max()), N)
    items[row, np.arange(len(row)) - (np.cumsum(counts) - counts)[row]] = column
    return items, counts


def gru(inputs, net):
    """The states after each step, [U, L, H]; inputs [U, L, 3H]."""
    h, after = np.zeros((len(inputs), len(net["kernel"]))), []
    for a in inputs.swapaxes(0, 1):
        (ar, az, an), (gr, gz, gn) = np.split(a, 3, axis=1), np.split(h @ net["kernel"], 3, axis=1)
        z = sigmoid(az + gz)
        h = (1 - z) * np.tanh(an + sigmoid(ar + gr) * (gn + net["bias"])) + z * h
        after.append(h)
    return np.stack(after, axis=1)


def states(p, items):
    vectors = np.vstack([p["items"], np.zeros((1, p["items"].shape[1]))])
    return gru(vectors[items] @ p["input_kernel"] + p["input_bias"], p)


def sequential(p, h, noise):
    """(logits at the mean, logits at a draw, KL) of states h [., H]."""
    mean, log_variance = np.split(network(stack(p, "encoder"), h, np.tanh), 2, axis=1)
    drawn = mean + np.exp(log_variance / 2) * noise
    hidden = (network(stack(p, "decoder"), z, np.tanh, np.tanh) for z in (mean, drawn))
    at_mean, at_draw = (h @ p["output_kernel"] + p["output_bias"] for h in hidden)
    return at_mean, at_draw, kl(mean, log_variance)


def svae(key, step, _):
    (items, counts), beta = histories(), min(0.02, step / 10_000)
    row = np.repeat(np.arange(U), counts)
    place = np.concatenate([np.arange(n) for n in counts])
    noise = normal(jax.random.split(key, 3)[2], len(batch(table_of(matrix())[0]).row), K)
    follows = np.zeros((len(row), N + 1))  # is the column one of the four after the entry?
    for ahead in range(1, 5):
        there = place + ahead < counts[row]
        follows[there, items[row[there], place[there] + ahead]] = 1
    follows = follows[:, :N]
    per_row = functools.partial(np.bincount, row, minlength=U)

    def formula(p):
        p = p["params"]
        h = states(p, items)
        _, logits, divergence = sequential(p, h[row, place], noise[: len(row)])
        total = (follows * -log_softmax(logits)).sum(1) + beta * divergence * follows.any(1)
        last = np.where(counts[:, None] > 0, h[np.arange(U), counts - 1], 0)
        return sequential(p, last, 0)[0], per_row(total), per_row(follows.any(1))

    return formula


def rvae(key, step, _):
    (items, counts), beta = histories(), min(0.2, step / 2000)
    x, noise = matrix(), normal(jax.random.split(key)[1], U, K)

    def formula(p):
        p = p["params"]
        last = np.where(counts[:, None] > 0, states(p, items)[np.arange(U), counts - 1], 0)
        y, trained, divergence = sequential(p, last, noise)
        return y, -(x * log_softmax(trained)).sum(1) + beta * divergence, x.any(1)

    return formula


TRAINED = {
    "autorec": autorec, "cdae": cdae, "dae": cdae, "deeprec": deeprec, "ease_vae": ease_vae,
    "elsa": elsa, "factor_ae": factor_ae, "feature_ae": feature_ae, "multdae": multdae,
    "multvae": multvae, "rbm": rbm, "recvae": recvae, "rrn": rrn, "rvae": rvae, "sdae": sdae,
    "svae": svae,
    "timesvdpp": timesvdpp, "vae": vae,
}  # fmt: skip
STATED = {  # where the formula has other settings than the defaults
    "cdae": {"negatives": 5},
    "dae": {"negatives": 5},
    "ease_vae": {"weight": 0.3, "dropout": 0.5, "beta": 0.2, "anneal_steps": 10_000},
    "factor_ae": {"hidden": ()},
    "feature_ae": {"latent_activation": "sigmoid", "dropout": 0.5, "tied": False},
    "multdae": {"dropout": 0.5},
    "multvae": {"dropout": 0.5, "beta": 0.2, "anneal_steps": 10_000},
    "rrn": {
        "bins": 5, "folds": 4, "newcomers": 0.3, "dropout": 0.3, "dynamic": 8, "factors_l2": 4.0,
        "power": 0.4,
    },
    "sdae": {"activation": "sigmoid", "likelihood": "logistic"},
    "timesvdpp": {"sessions": 8, "l2": 2.0, "power": 0.4},
    "vae": {"dropout": 0.0, "beta": 1.0},
}


@functools.cache
def compiled(name):
    """Parameters as large as those of a start, the biases too; the step; the scores."""
    fields = MODELS[name].Config.__dataclass_fields__
    widths = {key: width for key, width in WIDTHS.items() if key in fields}
    model = build(name, {**widths, **STATED.get(name, {})})
    rng = np.random.default_rng(4)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) * (2 / sum(leaf.shape)) ** 0.5, "f4"),
        jax.eval_shape(model.init, jax.random.key(0)),
    )
    keep = optax.GradientTransformation(  # the gradient itself
        lambda params: params,
        lambda gradient, state, params: (jax.tree.map(jnp.zeros_like, params), gradient),
    )
    update = make_step(model, keep)

    @jax.jit
    def step(params, number, table, key):
        state, loss = update(State(params, params, number), batch(table), key, 1.0)
        return loss, state.opt_state

    return params, step, jax.jit(lambda params, table: model.score(params, batch(table)))


@pytest.mark.parametrize(
    ("name", "step"), [*((name, 1000) for name in TRAINED), ("sdae", 100), ("sdae", 600)]
)
def test_a_step_and_scores(name, step):
    """The gradient along two random directions in each array of parameters."""
    params, update, score = compiled(name)
    table = table_of(matrix(models.traits(name, {}).task))[0]
    loss, gradient = on_dirty_memory(update, params, jnp.int32(step), table, jax.random.key(1))
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    formula = TRAINED[name](jax.random.fold_in(jax.random.key(1), step), step, p)

    def objective(leaves):
        _, total, weight = formula(jax.tree.unflatten(treedef, leaves))
        return total[weight > 0].sum() / weight.sum()  # of an empty row nothing counts

    leaves, treedef = jax.tree.flatten(p)
    np.testing.assert_allclose(loss, objective(leaves), rtol=1e-5)
    rng = np.random.default_rng(2)
    for i, slope in enumerate(jax.tree.leaves(gradient)):
        slope = np.asarray(slope, np.float64)
        for _ in range(2):
            way = rng.normal(size=slope.shape)
            ends = [
                objective([*leaves[:i], leaves[i] + by * way, *leaves[i + 1 :]])
                for by in (1e-5, -1e-5)
            ]
            expected = (ends[0] - ends[1]) / 2e-5
            assert abs((slope * way).sum() - expected) <= 1e-5 * np.linalg.norm(slope) + 1e-8
    close(on_dirty_memory(score, params, table), formula(p)[0])


# ------------------------------------------------------ models in closed form: x -> (params, score)


def popularity(x):
    return {"counts": x.sum(0)}, np.tile(x.sum(0), (len(x), 1))


def bias(r):
    seen, mean = r > 0, r[r > 0].mean()
    columns = (seen * (r - mean)).sum(0) / (10 + seen.sum(0))
    rows = (seen * (r - mean - columns)).sum(1) / (15 + seen.sum(1))
    return {"mean": mean, "columns": columns}, mean + columns + rows[:, None]


def ease(x):
    inverse = np.linalg.inv(x.T @ x + 20 * np.eye(N))
    weights = np.eye(N) - inverse / np.diag(inverse)
    return {"weights": weights}, x @ weights


def blend(x):
    solved = [popularity(x), ease(x)]
    score = sum(standardised(y) / 2 for _, y in solved)
    return {"members": [params for params, _ in solved], "weights": np.full(2, 0.5)}, score


def itemknn(x):
    products = x.T @ x
    length = np.sqrt(np.diag(products))
    cosine = products / (np.outer(length, length) + 10)
    np.fill_diagonal(cosine, 0)
    least = np.sort(cosine, axis=0)[-20]
    weights = np.where(cosine >= least - 1e-9, cosine, 0)
    return {"weights": weights}, x @ weights


def sparse_ease(x, k=20, l2=20.0):
    """Each item regressed on the k of the largest cosine, one by one."""
    products = x.T @ x
    length = np.sqrt(np.diag(products))
    items, weights, score = np.zeros((N, k), int), np.zeros((N, k)), np.zeros_like(x)
    for i in range(N):
        cosine = products[i] / (length * length[i])
        cosine[i] = -np.inf
        near = np.sort(np.argsort(-np.round(cosine, 9), kind="stable")[:k])
        assert products[i, near].all()
        system = x[:, near].T @ x[:, near] + l2 * np.eye(k)
        items[i], weights[i] = near, np.linalg.solve(system, x[:, near].T @ x[:, i])
        score[:, i] = x[:, near] @ weights[i]
    return {"items": items, "weights": weights}, score


def mdae(x):
    """Two layers, each E[P] E[Q]^-1 with the ridge's share of E[Q] as the docstring has it."""
    h, params = x, []
    for _ in range(2):
        both = np.hstack([h, np.ones((len(h), 1))])
        s, q = both.T @ both, np.append(np.full(N, 0.5), 1)
        ridge = np.diag(np.append(np.full(N, 10.0), 0))
        noisy = np.outer(q, q) * (s + ridge) + np.diag(q * (1 - q) * np.diag(s))
        layer = np.linalg.solve(noisy, q[:, None] * s)[:, :N]
        params.append({"kernel": layer[:N], "bias": layer[N]})
        score = both @ layer
        h = np.tanh(score)
    return tuple(params), score


def alternating(x, width, half, deviation=0.1):
    """The columns' factors for the rows' fixed start, and the rows' for these."""
    columns = half(x.T, deviation * normal(jax.random.key(0), len(x), width))
    return columns, half(x, columns)


def ials(x):
    def half(x, fixed):
        """The normal equations with weights x + .2 and a penalty .05 (n + .2 M)."""
        system = ((x + 0.2)[:, :, None] * fixed).transpose(0, 2, 1) @ fixed
        system += 0.05 * (x.sum(1) + 0.2 * len(fixed))[:, None, None] * np.eye(K)
        return np.linalg.solve(system, (x @ fixed)[:, :, None])[:, :, 0]

    items, users = alternating(x, K, half, deviation=0.1 / K**0.5)
    return {"items": items}, users @ items.T


def pmf(r, biases=1):
    mean = r[r > 0].mean()

    def half(r, fixed):
        seen, left = r > 0, r - mean - fixed[:, :biases].sum(1)
        features = np.hstack([np.ones((len(fixed), biases)), fixed[:, biases:]])
        penalty = 2 * np.maximum(seen.sum(1), 1) ** 0.4
        system = (seen[:, :, None] * features).transpose(0, 2, 1) @ features
        system += penalty[:, None, None] * np.eye(biases + K)
        return np.linalg.solve(system, ((seen * left) @ features)[:, :, None])[:, :, 0]

    items, users = alternating(r, biases + K, half)
    score = mean + users[:, biases:] @ items[:, biases:].T
    score += items[:, :biases].sum(1) + users[:, :biases].sum(1, keepdims=True)
    return {"mean": mean, "items": items}, score


SOLVED = {
    "bias": (bias, {}),
    "blend": (blend, {"members": '[["popularity", {}], ["ease", {"l2": 20, "dropout": 0}]]'}),
    "ease": (ease, {"l2": 20.0, "dropout": 0.0}),
    "ials": (ials, {"latent": K, "l2": 0.05, "alpha0": 0.2, "sweeps": 1, "steps": 40}),
    "itemknn": (itemknn, {"neighbours": 20, "shrinkage": 10.0}),
    "mdae": (mdae, {"depth": 2, "corruption": 0.5, "l2": 10.0}),
    "pmf": (pmf, {"latent": K, "sweeps": 1}),
    "popularity": (popularity, {}),
    "sparse_ease": (sparse_ease, {"neighbours": 20, "l2": 20.0, "dropout": 0.0}),
}
PLAIN = functools.partial(pmf, biases=0), {"latent": K, "sweeps": 1, "biases": False}


@pytest.mark.parametrize(
    ("name", "formula", "given"), [*((name, *of) for name, of in SOLVED.items()), ("pmf", *PLAIN)]
)
def test_a_closed_form_and_its_scores(name, formula, given):
    x = matrix(models.traits(name, {}).task, 200)
    table = table_of(x)[0]
    model = build(name, given, 200)
    expected, y = formula(x)
    params = on_dirty_memory(model.solve, table)
    jax.tree.map(functools.partial(close, within=1e-4), params, expected)
    score = jax.jit(lambda params, table: model.score(params, batch(table)))
    close(on_dirty_memory(score, params, table), y, within=1e-4)


def test_every_model_is_here():
    assert not TRAINED.keys() & SOLVED.keys() and TRAINED.keys() | SOLVED.keys() == MODELS.keys()


def test_sparse_batches_are_multiplied_by_gathering():
    """Both ways around the dense block, and their derivatives: below `GATHER_BELOW` and
    `CELLS_BELOW`."""
    rng = np.random.default_rng(3)
    columns, kernel, z = (
        rng.integers(0, 3000, (U, 2)),
        rng.normal(size=(3000, H)),
        rng.normal(size=(U, H)),
    )
    bias, out = rng.normal(size=3000), rng.normal(size=(U, H))
    columns[:, 1] = (columns[:, 0] + 1 + columns[:, 1] % 2999) % 3000
    row = np.repeat(np.arange(U), 2)
    table = Table.from_entries(row, columns.ravel(), np.ones(2 * U), num_rows=U, num_columns=3000)

    def read(kernel, z, bias):
        x = batch(table)
        assert x.columns.size < layers.GATHER_BELOW * U * 3000
        logits = layers.affine_at(z, kernel, bias, row=x.row, columns=x.columns[:, None])[:, 0]
        return jnp.sum(x.sum(logits**2)) + jnp.sum((layers.product(x, kernel) * out) ** 2)

    arrays = [jnp.asarray(a, jnp.float32) for a in (kernel, z, bias)]
    value, slopes = on_dirty_memory(jax.jit(jax.value_and_grad(read, (0, 1, 2))), *arrays)
    logits = (z[row] * kernel[columns.ravel()]).sum(1) + bias[columns.ravel()]
    product = kernel[columns].sum(1)
    np.testing.assert_allclose(value, (logits**2).sum() + ((product * out) ** 2).sum(), rtol=1e-5)
    of_kernel = np.zeros_like(kernel)
    both = 2 * logits[:, None] * z[row] + (2 * product * out**2)[row]
    np.add.at(of_kernel, columns.ravel(), both)
    of_z = (2 * logits[:, None] * kernel[columns.ravel()]).reshape(U, 2, H).sum(1)
    of_bias = np.zeros(3000)
    np.add.at(of_bias, columns.ravel(), 2 * logits)
    for slope, expected in zip(slopes, (of_kernel, of_z, of_bias), strict=True):
        close(slope, expected)


# ------------------------------------------------------------------------------------- evaluation


class Heldout(NamedTuple):
    input: Table
    target: Table
    rows: jax.Array


def heldout(x):
    """Input and target tables, and both as [U, N]: a third of the cells is the target."""
    target = x * (np.random.default_rng(5).random(x.shape) < 1 / 3)
    tables = table_of(x - target)[0], table_of(target)[0]
    return Heldout(*tables, jnp.arange(len(x))), x - target, target


def test_ranking_figures():
    """EASE's scores with integer weights, so that float32 holds them and their ties exactly."""
    parts, x, target = heldout(matrix())
    weights = np.random.default_rng(6).integers(-99, 100, (N, N)).astype(float)
    params = {"weights": jnp.asarray(weights, jnp.float32)}
    run = ranking.evaluator(build("ease", {}), ks=(5, 50), train=parts.input)
    figures = on_dirty_memory(run, params, parts).figures
    scores = np.where(x > 0, -np.inf, x @ weights)
    place = np.argsort(np.random.default_rng(0).permutation(N))  # of columns that tie
    lists = np.array([np.lexsort((place, -row)) for row in scores])[target.any(1)]
    hits = np.take_along_axis(target[target.any(1)], lists, axis=1)
    held, bits = target.sum(1)[target.any(1)], np.log2(U / np.maximum(x.sum(0), 1))
    discount = 1 / np.log2(np.arange(N) + 2)
    for k in (5, 50):
        top, rank = hits[:, :k], np.arange(1, k + 1)
        ideal = np.array([discount[: min(k, int(n))].sum() for n in held])
        counts = np.sort(np.bincount(lists[:, :k].ravel(), minlength=N))
        per_row = {
            "precision": top.mean(1),
            "recall": top.sum(1) / np.minimum(k, held),
            "recall_all": top.sum(1) / held,
            "ndcg": top @ discount[:k] / ideal,
            "map": (top * np.cumsum(top, 1) / rank).sum(1) / held,
            "mrr": (top / rank).max(1),
            "hit": top.max(1),
            "novelty": bits[lists[:, :k]].mean(1),
        }
        for name, values in per_row.items():
            error = values.std(ddof=1) / math.sqrt(len(values))
            assert figures[f"{name}@{k}"] == pytest.approx(values.mean(), rel=1e-5)
            assert figures[f"{name}@{k}_se"] == pytest.approx(error, rel=1e-5)
        popular = np.argsort(-x.sum(0), kind="stable")[: N // 5]
        rare = target[target.any(1)].copy()
        rare[:, popular] = 0
        gained = np.take_along_axis(rare, lists[:, :k], axis=1) @ discount[:k]
        ideal = np.array([discount[: min(k, int(n))].sum() for n in rare.sum(1)])
        tail = (gained / np.where(ideal > 0, ideal, np.nan))[rare.any(1)].mean()
        assert figures[f"tail_ndcg@{k}"] == pytest.approx(tail, rel=1e-5)
        lorenz = (2 * np.arange(1, N + 1) - N - 1) @ counts / (counts.sum() * (N - 1))
        assert figures[f"gini@{k}"] == pytest.approx(lorenz, rel=1e-6)
        assert figures[f"coverage@{k}"] == pytest.approx((counts > 0).mean(), rel=1e-6)


def test_rating_figures():
    """AutoRec's scores, spread over more than the scale."""
    parts, x, target = heldout(matrix("rating"))
    model = build("autorec", {"hidden": (H,)})
    shapes, rng = jax.eval_shape(model.init, jax.random.key(0)), np.random.default_rng(7)
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) / 2, "f4"), shapes)
    run = rating.evaluator(model, scale=(1, 5), train=parts.input)
    figures = on_dirty_memory(run, params, parts).figures
    p = jax.tree.map(lambda leaf: np.asarray(leaf, float), params)
    y = network(stack(p, "encoder", "decoder"), x, sigmoid)
    y = np.where(x.any(1)[:, None] & x.any(0), y, 3)
    held = target > 0
    assert (y[held] > 5).any() and (y[held] < 1).any()
    for suffix, error in (("_unclipped", y - target), ("", np.clip(y, 1, 5) - target)):
        squares = held * error**2
        rmse = math.sqrt(squares.sum() / held.sum())
        assert figures[f"rmse{suffix}"] == pytest.approx(rmse, rel=1e-5)
        assert figures[f"mae{suffix}"] == pytest.approx(np.abs(error[held]).mean(), rel=1e-5)
        rows, n = held.any(1), held.any(1).sum()
        left = (squares - rmse**2 * held).sum(1)[rows]
        error = math.sqrt(n / (n - 1) * (left**2).sum()) / held.sum() / (2 * rmse)
        assert figures[f"rmse{suffix}_se"] == pytest.approx(error, rel=1e-4)


# ------------------------------------------------------------------------------ counts and bounds

WEIGHT = np.random.default_rng(8).normal(size=(K, 100)).astype(np.float32) / 10


def products(x, xp):
    """Wrong in every audit under XLA's default options: 2 (row sums)^2 of x as 8 rows of 8."""
    x = x.reshape(*x.shape[:-1], 8, 8)
    return xp.sum((x @ xp.full_like(x, 2.0)) * x, axis=-1)


ENCODERS = {"tanh": (100, lambda x, xp: xp.tanh(x @ WEIGHT.T)), "products": (64, products)}


def signs(true, latent, reach):
    """[3, 3] counts of margins by their signs, true then latent; and how many margins lie within
    rounding of a threshold, so that float32 may count them elsewhere."""
    near = [np.abs(np.abs(m) - r) < 1e-5 for m, r in zip((true, latent), reach, strict=True)]
    sure = ~(near[0] | near[1])
    place = [(m > r) * 1 - (m < -r) + 1 for m, r in zip((true, latent), reach, strict=True)]
    counts = np.zeros((3, 3), int)
    np.add.at(counts, tuple(at[sure] for at in place), 1)
    return counts, (~sure).sum()


def same_counts(given, sure, unsure):
    more = np.asarray(given) - sure
    assert (more >= 0).all() and more.sum() == unsure and unsure < 0.01 * sure.sum()


@pytest.mark.parametrize("name", ENCODERS)
def test_the_count_of_sampled_triples(name):
    n, function = ENCODERS[name]
    wrapped = encoder.wrap(lambda x: function(x, jnp), n)
    domain, key, size = samplers.gaussian(n), jax.random.key(10), 4096
    posed = pose(wrapped, domain)._replace(true_ties=0.01, latent_ties=0.02)
    run = functools.partial(
        sampling.count, posed, None, jax.random.clone(key), budget=Budget(size), chunk=1,
        state=Journal(None, ""), progress=None,
    )  # fmt: skip
    counted = on_dirty_memory(run).counts.sum(axis=0)
    drawn = domain.triples(jax.random.fold_in(key, 0), size)
    triple = [np.asarray(part, np.float64) for part in drawn]
    margins = []
    for x, u, v in (triple, [function(part, np) for part in triple]):
        longest = np.maximum(np.linalg.norm(u, axis=1), np.linalg.norm(v, axis=1))
        margins.append((x * (u - v)).sum(1) / (np.linalg.norm(x, axis=1) * longest))
    same_counts(counted, *signs(*margins, (0.01, 0.02)))


@pytest.mark.parametrize(("name", "on_device"), [("tanh", False), ("products", True)])
def test_the_exhaustive_count(name, on_device):
    """Of 31 users and 250 items, pair by pair."""
    n, function = ENCODERS[name]
    rng = np.random.default_rng(11)
    x, items = (rng.normal(size=(rows, n)).astype(np.float32) for rows in (31, 250))
    wrapped = encoder.wrap(lambda x: function(x, jnp), n)
    scores = on_dirty_memory(score_rows, pose(wrapped, samplers.empirical(x, items)))
    count = counting.counter(1e-3, 2e-3, on_device=on_device)
    tally = counting.each_user(
        lambda true, latent: np.array(count(true, latent)),
        lambda index: on_dirty_memory(scores.rows, index), np.arange(len(x)), block=16,
    )  # fmt: skip
    users, others = (function(part.astype(float), np) for part in (x, items))
    true, latent = unit(x) @ items.T, unit(users) @ others.T
    pairs = np.triu_indices(250, 1)
    for user, (t, z) in enumerate(zip(true, latent, strict=True)):
        margins = [(s[pairs[0]] - s[pairs[1]]) / np.abs(s).max() for s in (t, z)]
        counts, unsure = signs(*margins, (1e-3, 2e-3))
        sure = [
            counts[0, 0] + counts[2, 2], counts[0, 2] + counts[2, 0], counts[1, 0] + counts[1, 2],
            counts[0, 1] + counts[2, 1], counts[1, 1],
        ]  # fmt: skip
        same_counts([part[user] for part in tally], np.array(sure), unsure)


def test_bounds_of_boxes():
    """Of one layer the ends are known; of two, they hold and are no wider than interval arithmetic;
    the network they are of is the one in NumPy."""
    rng = np.random.default_rng(12)
    tanh, squash = activations.describe("tanh"), activations.describe("sigmoid")
    weights = [
        (rng.normal(size=(H, N)) / 17, rng.normal(size=H)),
        (rng.normal(size=(K, H)) / 8, rng.normal(size=K)),
    ]
    net = [bounds.Affine(*w, a) for w, a in zip(weights, (tanh, squash), strict=True)]
    functions = [np.tanh, sigmoid]
    low = rng.normal(size=N) - 0.05
    high = low + 0.1
    ends, points = (low, high), rng.uniform(low, high, size=(500, N))
    points[:100] = np.where(rng.random((100, N)) < 0.5, low, high)
    for depth, ((weight, bias), function) in enumerate(zip(weights, functions, strict=True), 1):
        centre, reach = (ends[0] + ends[1]) / 2, (ends[1] - ends[0]) / 2
        middle, spread = weight @ centre + bias, np.abs(weight) @ reach
        ends = function(middle - spread), function(middle + spread)
        points = function(points @ weight.T + bias)
        lower, upper = on_dirty_memory(bounds.interval, net[:depth], low, high)
        assert (lower <= points.min(0)).all() and (points.max(0) <= upper).all()
        assert (lower >= ends[0] - 1e-9).all() and (upper <= ends[1] + 1e-9).all()
        if depth == 1:
            np.testing.assert_allclose((lower, upper), ends, rtol=0, atol=1e-9)
    x = matrix()
    codes = on_dirty_memory(jax.jit(functools.partial(bounds.apply, net)), jnp.asarray(x, "f4"))
    h = x
    for (weight, bias), function in zip(weights, functions, strict=True):
        h = function(h @ weight.T + bias)
    close(codes, h)
