"""One battery for every model of the registry: a new line in `MODELS` is covered untouched."""

import dataclasses
import functools
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aerec import configuration, models
from aerec.core import Facts, Table
from aerec.errors import BadInput
from aerec.models import MODELS
from aerec.nn import activations
from aerec.properties import bounds
from aerec.runs import artefact, encoding

U, N = 12, 23  # N is like no other size in a model, so that its axes can be told
VARIANTS = {  # settings under which a model reads more
    "autorec-features": ("autorec", {"features": "content", "size": 3}),
    "multvae-features": ("multvae", {"features": "content", "size": 3}),
}
NAMES = sorted([*MODELS, *VARIANTS])
SMALL = {"hidden": (8,), "latent": 4}  # where a model has such settings; the rest are its defaults


@functools.cache
def build(name):
    base, given = VARIANTS.get(name, (name, {}))
    fields = {field.name for field in dataclasses.fields(MODELS[base].Config)}
    small = {setting: value for setting, value in SMALL.items() if setting in fields} | given
    return models.build(base, small, Facts(U, N)), small


TRAINED = [name for name in NAMES if build(name)[0].loss is not None]
SOLVED = [name for name in NAMES if name not in TRAINED]


def table(*, ratings=False):
    """Random rows; the first is empty, the second lists every column."""
    rng = np.random.default_rng(0)
    listed = rng.random((U, N)) < 0.3
    listed[0], listed[1] = False, True
    row, column = np.nonzero(listed)
    values = rng.integers(1, 6, len(row)) if ratings else np.ones(len(row))
    return Table.from_entries(row, column, values, num_rows=U, num_columns=N)


@functools.cache
def begin(name):
    return jax.jit(build(name)[0].init)


@functools.cache
def prepared(name):
    """(model, params, table): solved, or at a random point with every leaf away from zero."""
    model, _ = build(name)
    train = table(ratings=model.traits.task == "rating")
    if model.solve is not None:
        return model, model.solve(train), train
    rng = np.random.default_rng(1)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(np.asarray(leaf) + rng.normal(size=leaf.shape) / 10, leaf.dtype),
        begin(name)(jax.random.key(0)),
    )
    return model, params, train


def compiled(model):
    """(params, x) -> (code, scores, loss or None) as one program, in NumPy: compiling a model's
    operations one by one takes far longer."""

    @jax.jit
    def run(params, x):
        loss = model.loss and model.loss(params, x, jax.random.key(2), jnp.int32(5))
        return model.encode(params, x), model.score(params, x), loss

    return lambda *args: jax.device_get(run(*args))


@functools.cache
def read(name):
    return compiled(build(name)[0])


gather = jax.jit(Table.gather, static_argnums=2)


def batch(train, *, extra=0, padding_rows=0):
    index = np.append(np.arange(U), np.full(padding_rows, U)).astype(np.int32)
    return gather(train, index, len(train.columns) + extra)


@pytest.mark.parametrize("name", NAMES)
def test_is_trained_or_solved_and_says_its_task(name):
    model, _ = build(name)
    assert (model.loss is None) != (model.solve is None)
    assert model.traits.task in ("rating", "ranking")
    module = MODELS[VARIANTS.get(name, (name,))[0]]
    assert dataclasses.is_dataclass(module.Config)
    assert "Departures" in module.__doc__ or name in ("popularity", "bias")


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_finite_on_empty_and_full_rows(name):
    model, params, train = prepared(name)
    z, y, loss = read(name)(params, batch(train))
    assert z.ndim == 2 and z.shape[0] == U
    chex.assert_shape(y, (U, N))
    chex.assert_tree_all_finite((z, y))
    if model.loss is not None:
        total, weight = loss
        chex.assert_shape([total, weight], (U,))
        chex.assert_tree_all_finite((total, weight))
        assert total[0] == 0 and weight[0] == 0, "an empty row adds nothing to the objective"


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_queries_times_item_codes_where_it_says_so(name):
    model, params, train = prepared(name)
    given = {model.queries is None, model.item_codes is None, model.item_bias is None}
    assert len(given) == 1, "all three or none"
    if model.queries is None:
        return

    @jax.jit
    def parts(params, x):
        return model.queries(params, x), model.item_codes(params), model.item_bias(params)

    x = batch(train)
    queries, codes, bias = (np.asarray(part, float) for part in parts(params, x))
    chex.assert_shape([codes, bias], [(N, codes.shape[1]), (N,)])
    scores = np.asarray(read(name)(params, x)[1], float)
    chex.assert_trees_all_close(scores, queries @ codes.T + bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_towers_differ_by_the_differences_of_scores(name):
    """<f(x), g(e_i) - g(e_j)> = y_i - y_j, all that ranks; g is linear."""
    model, params, train = prepared(name)
    pair = encoding.towers(artefact.Artefact(model, params, {}, None))
    assert (pair is None) == (model.queries is None)
    if pair is None:
        return
    x = batch(train).replace(index=jnp.full(U, -1))  # as a dense block, of no row trained on
    rows = np.eye(N + 1, N, dtype=np.float32)
    rows[N, :2] = 1  # a vector that is not a single item
    users, items = jax.device_get(jax.jit(lambda x: (pair[0](x.dense()), pair[1](rows)))(x))
    margins = np.diff(users.astype(float) @ items[:N].astype(float).T, axis=1)
    scores = np.asarray(read(name)(params, x)[1], float)
    chex.assert_trees_all_close(margins, np.diff(scores, axis=1), rtol=1e-3, atol=2e-5)
    chex.assert_trees_all_close(items[N], items[0] + items[1], rtol=1e-5, atol=1e-6)


def test_most_models_rank_by_a_dot_product():
    none = {"cdae", "dae", "elsa", "deeprec", "rbm", "sparse_ease"}
    assert {name for name in NAMES if build(name)[0].queries is None} == none


def same_as_its_layers(model, params):
    """Dense rows of any sign, zeros among them, through the encoder and through its layers."""
    rng = np.random.default_rng(7)
    x = (rng.normal(size=(9, N)) * (rng.random((9, N)) < 0.7)).astype(np.float32)
    network = [bounds.Affine(*layer) for layer in model.layers(params)]
    assert all(weight.shape == (*bias.shape, weight.shape[1]) for weight, bias, _ in network)
    encode = jax.jit(lambda params, x: (model.encode(params, x), bounds.apply(network, x)))
    chex.assert_trees_all_close(*encode(params, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in NAMES if build(name)[0].layers is not None])
def test_an_encoder_is_its_layers_where_it_says_so(name):
    same_as_its_layers(*prepared(name)[:2])


def test_models_with_layers():
    """The others scale rows to length 1, read them in order, or solve for the code."""
    with_layers = {name for name in NAMES if build(name)[0].layers is not None}
    assert with_layers == {
        "autorec", "cdae", "dae", "deeprec", "ease", "elsa", "itemknn", "mdae", "vae",
    }  # fmt: skip
    assert models.build("autorec", {"centre": True}, Facts(U, N)).layers is None


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("autorec", {"hidden": (8, 5, 8), "activation": "lift:relu", "latent_activation": "elu"}),
        ("deeprec", {"hidden": (6, 5), "tied": True, "latent_activation": "tanh"}),
        ("mdae", {"depth": 2, "latent_activation": "lift:elu"}),
        ("vae", {"hidden": (6, 5), "latent": 3, "activation": "lift:elu",
                 "latent_activation": "shift:tanh"}),
        ("vae", {"hidden": (), "latent": 3, "latent_activation": "relu"}),
    ],
)  # fmt: skip
def test_layers_of_deep_encoders_with_added_coordinates(name, given):
    model = models.build(name, given, Facts(U, N))
    rng = np.random.default_rng(8)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    same_as_its_layers(
        model,
        jax.tree.map(lambda s: jnp.asarray(rng.normal(size=s.shape) / 3, jnp.float32), shapes),
    )


def test_the_network_of_a_run_bounds_its_codes():
    model, params, _ = prepared("vae")
    network = encoding.network(model, params)
    assert {part.dtype for layer in network for part in layer[:2]} == {np.dtype(np.float64)}
    low = np.linspace(0.2, 0.6, N)
    lower, upper = bounds.interval(network, low, low + 0.01)
    code = np.asarray(model.encode(params, low[None].astype(np.float32) + 0.005))[0]
    assert (lower - 1e-5 <= code).all() and (code <= upper + 1e-5).all()
    assert (upper - lower < 0.5).all()
    model, params, _ = prepared("multvae")
    assert encoding.network(model, params) is None


@pytest.mark.parametrize("name", SOLVED)
def test_solve_fills_the_shapes_of_init(name):
    model, params, _ = prepared(name)
    chex.assert_trees_all_equal_shapes_and_dtypes(
        params, jax.eval_shape(model.init, jax.random.key(0))
    )


@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_nothing(name):
    """Nor the loss: element i of what is drawn is the same whatever number of them is drawn."""
    _, params, train = prepared(name)
    padded = read(name)(params, batch(train, extra=17, padding_rows=3))
    plain = read(name)(params, batch(train))
    first = jax.tree.map(lambda leaf: leaf[:U], padded)
    chex.assert_trees_all_close(first[:2], plain[:2], atol=1e-5)
    if padded[2] is not None:
        chex.assert_trees_all_close(first[2], plain[2], rtol=1e-5)
        total, weight = padded[2]
        assert not total[U:].any() and not weight[U:].any()


@pytest.mark.parametrize("name", NAMES)
def test_rows_and_their_dense_block_score_alike(name):
    """Each row lists its columns in ascending order, as a dense one does."""
    model, params, train = prepared(name)
    x = batch(train).replace(index=jnp.full(U, -1))  # as a dense block, of no row trained on
    dense = jax.jit(lambda params, x: (model.encode(params, x), model.score(params, x)))
    got = jax.device_get(dense(params, x.dense()))
    chex.assert_trees_all_close(got, read(name)(params, x)[:2], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_jit_equals_eager(name):
    model, params, train = prepared(name)
    x = batch(train)
    _, score, loss = read(name)(params, x)
    chex.assert_trees_all_close(score, np.asarray(model.score(params, x)), atol=1e-5, rtol=1e-5)
    if model.loss is not None:
        eager = model.loss(params, x, jax.random.key(2), jnp.int32(5))
        chex.assert_trees_all_close(loss, jax.device_get(eager), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_renaming_the_columns_renames_the_scores(name):
    model, params, train = prepared(name)
    renamed = np.random.default_rng(5).permutation(N)  # column c becomes renamed[c]
    row, column, value = train.entries()
    other = Table.from_entries(row, renamed[column], value, num_rows=U, num_columns=N)

    def rename(leaf):
        for axis in [axis for axis, size in enumerate(leaf.shape) if size == N]:
            leaf = np.take(np.asarray(leaf), np.argsort(renamed), axis=axis)
        return leaf

    moved = model.solve(other) if model.solve is not None else jax.tree.map(rename, params)
    got, want = read(name)(moved, batch(other))[1], read(name)(params, batch(train))[1]
    chex.assert_trees_all_close(got[:, renamed], want, atol=1e-4)


@functools.cache
def slopes(name):
    """(params, seed, step) -> (mean loss, gradient) in float64, as one program."""
    model, _, train = prepared(name)
    x = batch(train)
    x = x.replace(values=np.asarray(x.values, np.float64))

    @jax.jit
    def run(x, params, seed, step):
        def objective(params):
            total, weight = model.loss(params, x, jax.random.key(seed), step)
            return total.sum() / weight.sum()

        return jax.value_and_grad(objective)(params)

    def in_float64(params, seed, step=0):
        with jax.enable_x64(True):
            return jax.device_get(run(x, params, np.uint32(seed), np.int32(step)))

    return in_float64


@pytest.mark.parametrize("name", TRAINED)
def test_loss_falls(name):
    """In 60 updates by Adam."""
    run, start = slopes(name), begin(name)(jax.random.key(6))
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), start)
    mean = square = jax.tree.map(np.zeros_like, params)

    def mean_loss(params):
        return np.mean([run(params, seed)[0] for seed in range(20)])

    before = mean_loss(params)
    for n in range(1, 61):
        _, gradient = run(params, 100 + n)
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, gradient)
        square = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g**2, square, gradient)
        rate = 1e-2 * (1 - 0.999**n) ** 0.5 / (1 - 0.9**n)
        params = jax.tree.map(
            lambda p, m, s, rate=rate: p - rate * m / (np.sqrt(s) + 1e-8), params, mean, square
        )
    assert mean_loss(params) < 0.97 * before


@pytest.mark.parametrize("name", TRAINED)
def test_gradient_equals_finite_differences(name):
    """In float64, along a random direction."""
    _, params, _ = prepared(name)
    rng = np.random.default_rng(2)
    direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), params)

    def moved(by):
        there = jax.tree.map(lambda p, d: np.asarray(p, float) + by * d, params, direction)
        return slopes(name)(there, 8, 3)

    (above, _), (below, _), (_, gradient) = moved(1e-6), moved(-1e-6), moved(0)
    along = jax.tree.map(lambda g, d: float(np.sum(g * d)), gradient, direction)
    slope = sum(jax.tree.leaves(along))
    np.testing.assert_allclose((above - below) / 2e-6, slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_restored_scores_alike(name, tmp_path):
    _, params, train = prepared(name)
    base, given = VARIANTS.get(name, (name,))[0], build(name)[1]
    config = {"model": base, "set": given, "scale": None, "shape": [U, N], "seeds": [0]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    stacked = jax.tree.map(lambda leaf: np.asarray(leaf)[None], params)
    names = artefact.Vocabulary(np.arange(N), None, np.arange(U).astype(str))
    artefact.save(tmp_path, stacked, names)
    loaded, x = artefact.load(tmp_path), batch(train)
    got = compiled(loaded.model)(jax.tree.map(jnp.asarray, jax.device_get(loaded.params)), x)
    chex.assert_trees_all_equal(got, read(name)(params, x))
    assert loaded.vocabulary.titles is None
    assert loaded.vocabulary.item_ids.tolist() == list(range(N))


ACTIVATIONS = [
    (name, setting)
    for name in TRAINED
    if name in MODELS
    for setting, kind in configuration.kinds(MODELS[name].Config).items()
    if kind in (activations.Name, activations.Plain)
]


@pytest.mark.parametrize(("name", "setting"), ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(8,), (8, 6, 8), ()])
def test_an_activation_that_adds_a_coordinate(name, setting, hidden):
    """It is refused where the settings are built, or every function has room for it."""
    given = {n: v for n, v in build(name)[1].items() if n != "hidden"}
    if "hidden" in configuration.kinds(MODELS[name].Config):
        given["hidden"] = hidden
    try:
        config = models.configure(name, {**given, setting: "lift:tanh"})
    except BadInput as error:
        assert "coordinate" in str(error) or not hidden
        return
    assert setting != "output_activation"
    model = models.build(name, configuration.plain(config), Facts(U, N))
    x = batch(table(ratings=model.traits.task == "rating"))
    params = jax.eval_shape(model.init, jax.random.key(0))
    assert jax.eval_shape(model.score, params, x).shape == x.shape
    assert jax.eval_shape(model.encode, params, x).ndim == 2
    total, _ = jax.eval_shape(model.loss, params, x, jax.random.key(0), jnp.int32(0))
    assert total.shape == x.shape[:1]
    if model.queries is not None:
        width = jax.eval_shape(model.item_codes, params).shape[1]
        assert jax.eval_shape(model.queries, params, x).shape == (x.shape[0], width)


def test_sizes_of_numpys_are_sizes_and_fractions_are_not():
    latent = models.configure("multvae", {"latent": np.int64(4), "hidden": (np.int32(8),)})
    assert latent == models.configure("multvae", {"latent": 4, "hidden": (8,)})
    assert type(latent.latent) is int and type(latent.hidden[0]) is int
    model = models.build("multvae", SMALL, Facts(np.int64(U), np.int64(N)))
    shape = jax.eval_shape(model.score, jax.eval_shape(model.init, jax.random.key(0)),
                           jnp.zeros((2, N))).shape  # fmt: skip
    assert shape == (2, N)
    with pytest.raises(BadInput, match=r"num_columns is a whole number, not 23\.0"):
        models.build("multvae", SMALL, Facts(U, float(N)))
    with pytest.raises(BadInput, match=r"latent is a whole number, not 4\.0"):
        models.configure("multvae", {"latent": 4.0})
    entries = {"row": [0], "column": [1], "value": [1.0]}
    assert type(Table.from_entries(**entries, num_rows=np.int64(2), num_columns=np.int64(3))
                .num_columns) is int  # fmt: skip
    with pytest.raises(ValueError, match=r"num_columns is a whole number, not 3\.0"):
        Table.from_entries(**entries, num_rows=2, num_columns=3.0)
