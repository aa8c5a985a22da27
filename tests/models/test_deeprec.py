"""DeepRec against its paper's formulas in NumPy float64, its table of sizes, its data."""

import math
import re
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aerec import models
from aerec.core import Facts, Table
from aerec.data import protocols, readers
from aerec.errors import BadInput
from aerec.nn import activations, losses
from experiments.configs import deeprec_netflix

U, N = 7, 9


def build(name, given, num_rows=U, num_columns=N):
    """The model, its functions compiled whole: one by one their operations take far longer."""
    model = models.build(name, given, Facts(num_rows, num_columns))
    functions = {"init": model.init, "encode": model.encode, "score": model.score}
    functions |= {"loss": model.loss} if model.loss else {}
    return model._replace(**{part: jax.jit(function) for part, function in functions.items()})


@pytest.mark.parametrize(
    ("hidden", "tied", "parameters"),
    [
        ((128,), False, 4_566_504),
        ((128,) * 2, False, 4_599_528),
        ((128,) * 3, False, 4_632_552),
        ((128,) * 4, False, 4_665_576),
        ((128,) * 5, False, 4_698_600),
        ((128,) * 6, False, 4_731_624),
        ((256,), False, 9_115_240),
        ((128,), True, 17_768 * 128 + 128 + 17_768),
        ((128, 64), True, 17_768 * 128 + 128 * 64 + 128 + 64 + 128 + 17_768),
    ],
)
def test_the_paper_counts_as_many_parameters(hidden, tied, parameters):
    model = build("deeprec", {"hidden": hidden, "tied": tied}, 1, 17_768)
    leaves = jax.tree.leaves(jax.eval_shape(model.init, jax.random.key(0)))
    assert sum(math.prod(leaf.shape) for leaf in leaves) == parameters


def test_it_starts_from_xavier():
    """Uniform on +- sqrt(6 / (in + out)), biases zero."""
    model = build("deeprec", {"hidden": (60,)}, 1, 90)
    params = model.init(jax.random.key(0))["params"]
    for name, shape in (("encoder_0", (90, 60)), ("decoder_0", (60, 90))):
        kernel = np.asarray(params[name]["kernel"])
        assert kernel.shape == shape and not np.any(params[name]["bias"])
        limit = math.sqrt(6 / 150)
        assert 0.99 * limit < np.abs(kernel).max() <= limit
        assert abs(kernel.std() - limit / math.sqrt(3)) < 0.02 * limit


def ratings(seed=0):
    """r [U, N] with zeros where missing, row 0 empty; its mask; its rows with padding."""
    rng = np.random.default_rng(seed)
    listed = rng.random((U, N)) < 0.5
    listed[0] = False
    r = np.where(listed, rng.integers(1, 6, (U, N)), 0).astype(float)
    row, column = np.nonzero(listed)
    table = Table.from_entries(row, column, r[row, column], num_rows=U, num_columns=N)
    gather = jax.jit(Table.gather, static_argnums=2)
    return r, listed, gather(table, jnp.arange(U + 2), len(row) + 3)


def selu(t):
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return scale * np.where(t > 0, t, alpha * (np.exp(np.minimum(t, 0)) - 1))


def mmse(p, r, listed, *, tied):
    """The masked squared error of n,6,3,6,n over a batch, every layer activated."""
    h = r
    for j in range(2):
        h = selu(h @ p[f"encoder_{j}"]["kernel"] + p[f"encoder_{j}"]["bias"])
    for j in range(2):
        if tied:
            h = selu(h @ p[f"encoder_{1 - j}"]["kernel"].T + p[f"bias_{j}"])
        else:
            h = selu(h @ p[f"decoder_{j}"]["kernel"] + p[f"decoder_{j}"]["bias"])
    return (listed * (r - h) ** 2).sum() / listed.sum()


@pytest.mark.parametrize("tied", [False, True])
def test_its_loss_is_equation_1_and_so_is_the_gradient(tied):
    r, listed, x = ratings()
    model = build("deeprec", {"hidden": (6, 3), "tied": tied, "dropout": 0.0}, U, N)
    rng = np.random.default_rng(1)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(leaf + rng.normal(size=leaf.shape) / 5, jnp.float32),
        jax.device_get(model.init(jax.random.key(0))),
    )

    def loss(params):
        total, weight = model.loss(params, x, jax.random.key(1), jnp.int32(0))
        return total.sum() / weight.sum()

    leaves, treedef = jax.tree.flatten(params["params"])
    leaves = [np.asarray(leaf, float) for leaf in leaves]
    want = jax.tree.map(np.zeros_like, leaves)
    for leaf, slope in zip(leaves, want, strict=True):
        for place in np.ndindex(leaf.shape):
            there, ends = leaf[place], []
            for moved in (there + 1e-6, there - 1e-6):
                leaf[place] = moved
                ends.append(mmse(jax.tree.unflatten(treedef, leaves), r, listed, tied=tied))
            leaf[place], slope[place] = there, (ends[0] - ends[1]) / 2e-6
    value, slopes = jax.jit(jax.value_and_grad(loss))(params)
    expected = mmse(jax.tree.unflatten(treedef, leaves), r, listed, tied=tied)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for got, slope in zip(jax.tree.leaves(slopes["params"]), want, strict=True):
        np.testing.assert_allclose(got, slope, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "scale", "activated"),
    [
        ("selu", (1, 5), True),
        ("elu", (1, 5), True),
        ("leaky_relu", (1, 5), True),
        ("relu", (1, 5), True),
        ("relu6", (1, 5), True),
        ("relu6", (1, 10), False),
        ("relu", (-10, 10), False),
        ("swish", (0.5, 5), True),
        ("tanh", (1, 5), False),
        ("sigmoid", (1, 5), False),
        ("sigmoid", (0, 1), True),
        ("lift:selu", (1, 5), False),
    ],
)
def test_the_last_layer_is_linear_where_the_range_is_too_small(name, scale, activated):
    def output(**given):
        """What the last layer makes of -0.7: all of its kernel is zero."""
        given |= {"hidden": (4,), "activation": name}
        model = models.build("deeprec", given, Facts(U, N, scale=scale))
        shapes = jax.eval_shape(model.init, jax.random.key(0))
        params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
        params["params"]["decoder_0"]["bias"] += np.float32(-0.7)
        return np.asarray(model.score(params, ratings()[2]))[1, 2]

    want = activations.get(name)(jnp.array([-0.7]))[0] if activated else -0.7
    chex.assert_trees_all_close(output(), jnp.float32(want))
    chex.assert_trees_all_close(output(output_activation="tanh"), jnp.tanh(jnp.float32(-0.7)))
    chex.assert_trees_all_close(output(output_activation="identity"), jnp.float32(-0.7))


def trained_output(**given):
    """f(x) in training, [400, 5], of a net that sums a row of ones into one code and copies it."""
    given |= {"hidden": (5, 1), "activation": "identity", "refeeds": 0}
    model = models.build("deeprec", given, Facts(400, 5))
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    params = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes)
    layers = params["params"]
    layers["encoder_0"]["kernel"] = layers["decoder_1"]["kernel"] = jnp.eye(5)
    for layer in layers.values():
        layer["bias"] = jnp.zeros_like(layer["bias"])
    with mock.patch.object(losses, "squared_error", lambda y, x: y):
        y = jax.jit(model.loss)(params, jnp.ones((400, 5)), jax.random.key(1), 0)
    return np.asarray(y)


def test_dropout_is_of_the_code_or_everywhere_and_noise_of_the_input():
    def whole_rows(y):
        return (y == y[:, :1]).all()

    code = trained_output(dropout=0.75)
    assert whole_rows(code) and set(np.unique(code)) == {0, 5 * 4}
    assert abs((code[:, 0] > 0).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 400)

    noisy = trained_output(dropout=0.0, corruption=0.5)  # of five ones each is dropped or doubled
    assert whole_rows(noisy) and set(np.unique(noisy)) == {0, 2, 4, 6, 8, 10}
    assert abs(noisy[:, 0].mean() - 5) < 4 * 2 * np.sqrt(5 / 4) / np.sqrt(400)

    everywhere = trained_output(dropout=0.5, dropout_everywhere=True)  # before, in, after the code
    assert not whole_rows(everywhere)
    assert set(np.unique(everywhere)) == {8.0 * ones for ones in range(6)}
    assert abs((everywhere > 0).mean() - 0.5 * 0.5 * (1 - 0.5**5)) < 0.05


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"hidden": "()"}, "hidden is empty"),
        ({"output_activation": "lift:selu"}, "adds a coordinate, and there is no room for one"),
        ({"tied": True, "latent_activation": "lift:tanh"}, "a layer of a tied model has no room"),
        ({"activation": "seluu"}, "nearest: selu"),
        ({"corruption": 1.0}, "corruption is at least 0 and below 1"),
        ({"refeeds": -1}, "refeeds is at least 0"),
    ],
)
def test_settings_that_make_no_model(given, says):
    with pytest.raises(BadInput, match=says):
        build("deeprec", given, U, N)


def pairs(split, table):
    """{(raw user, raw film)} of a table."""
    row, column, _ = table.entries()
    return set(zip(split.user_ids[row].tolist(), split.item_ids[column].tolist(), strict=True))


def test_the_windows_of_netflix(tmp_path):
    """Each protocol of the recipe on random files: what is trained on, held out and dropped."""
    rng = np.random.default_rng(0)
    days = np.arange("1999-11-11", "2006-02-01", dtype="datetime64[D]")
    day = {}
    for film in range(1, 31):
        rated = {user: rng.choice(days) for user in range(1, 61) if rng.random() < 0.7}
        lines = [f"{user},{rng.integers(1, 6)},{date}" for user, date in rated.items()]
        (tmp_path / f"mv_{film:07}.txt").write_text("\n".join([f"{film}:", *lines]) + "\n")
        day |= {(user, film): str(date) for user, date in rated.items()}
    ratings = readers.read(tmp_path, "netflix", log=lambda text: None)
    texts = [deeprec_netflix.RECIPE["protocol"]]
    texts += re.findall(r"--protocol=(\S+)", deeprec_netflix.__doc__)
    windows = [
        ("2005-09-01", "2005-12-01", "2006-01-01"),
        ("2005-06-01", "2005-12-01", "2006-01-01"),
        ("2004-06-01", "2005-06-01", "2005-07-01"),
        ("1999-12-01", "2005-12-01", "2006-01-01"),
    ]
    for text, (start, cut, end) in zip(texts, windows, strict=True):
        split = protocols.parse(text).split(ratings, seed=0)
        train = {pair for pair, date in day.items() if start <= date < cut}
        held = {pair for pair, date in day.items() if cut <= date < end}
        users, films = {user for user, _ in train}, {film for _, film in train}
        known = {(user, film) for user, film in held if user in users and film in films}
        valid, test = (pairs(split, part.target) for part in (split.valid, split.test))
        assert pairs(split, split.train) == train
        assert valid | test == known and not valid & test
        assert abs(len(valid) - len(test)) <= 1
        told = [int(note.split()[0]) for note in split.notes if "unseen in training" in note]
        assert sum(told) == len(held) - len(known)
        if start == "2005-09-01":  # the shortest: some do not occur in it
            assert "users unseen in training" in " ".join(split.notes)
