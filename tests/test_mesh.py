"""A mesh of devices: the results of one device, and what each device has of them."""

import os
import pathlib
import subprocess
import sys

import jax
import pytest

from aerec import mesh
from aerec.errors import BadInput

ROOT = pathlib.Path(__file__).parents[1]

ON_EIGHT = """
import functools, math, pathlib, re, sys
from unittest import mock
import aerec, chex, jax, jax.numpy as jnp, numpy as np
from aerec import mesh, models
from aerec.core import Facts, Model, Table, Traits
from aerec.data.splits import Heldout
from aerec.evaluation import ranking
from aerec.host_table import HostTable
from aerec.models import ease
from aerec.nn import conjugate, layers, losses
from aerec.runs.checkpoints import Checkpoints
from aerec.training import loop
from aerec.training.settings import Settings

# By default several accelerators are divided by rows, and the devices of a CPU are not used.
assert mesh.chosen() is None
with mock.patch.object(jax, "default_backend", lambda: "gpu"):
    assert dict(mesh.chosen().shape) == {"data": 8, "model": 1}

U, N, B = 38, 29, 13  # multiples of no axis
rng = np.random.default_rng(0)

def table(share):
    row, column = np.nonzero(rng.random((U, N)) < share)
    return Table.from_entries(row, column, np.ones(len(row)), num_rows=U, num_columns=N)

train, held = table(0.3), Heldout(table(0.2), table(0.2), np.arange(U, dtype=np.int32))
on_disk = HostTable(
    train.indptr, train.columns, train.values, np.arange(U), np.arange(N), train.column_counts(),
    train.lengths(), -np.inf,
)

def init(key):
    kernels = jax.random.normal(key, (2, N, 4)) / 4
    return {"in": kernels[0], "out": kernels[1].T, "bias": jnp.zeros(N)}

def encode(params, x):
    return jnp.tanh(layers.product(x, params["in"]))

def score(params, x):
    return encode(params, x) @ params["out"] + params["bias"][None]

def loss(params, x, key, step):
    dropout_key, noise_key = jax.random.split(key)
    z = encode(params, layers.dropout(dropout_key, x, 0.5))
    before = jnp.concatenate([z[1:2], z])[: len(z)]
    z += jax.random.normal(noise_key, z.shape) + before
    y = z @ params["out"] + params["bias"][None]
    return losses.by_row(losses.multinomial(y, x), x)

model = Model(Traits("ranking", l2=0.5), init, encode, score, loss)
programs = []
compile = jax.stages.Lowered.compile

def watched(lowered, *args, **given):
    programs.append(compile(lowered, *args, **given))
    return programs[-1]

jax.stages.Lowered.compile = watched

def fit(over, epochs=2, folder=None, seeds=(0,), train=train):
    settings = Settings(epochs=epochs, batch_size=B, learning_rate=0.01)
    checkpoints = folder and Checkpoints(pathlib.Path(sys.argv[1]) / folder, seconds=0)
    with mesh.use(over):
        divided = mesh.adapted(model, N)
        fitted = loop.fit(
            divided, [train], settings, seeds=seeds, evaluate=None, checkpoints=checkpoints
        )
        if checkpoints:
            return checkpoints.close() or mesh.gathered(fitted.last, model)
        score = ranking.evaluator(divided, ks=(3,), names=("ndcg", "coverage"))
        report = score(loop.replica(fitted.last, 0), mesh.heldout(held))
        return mesh.gathered(fitted.last, model), report.figures

# Parameters and figures, on each mesh, are those of one device; counts exactly.
one, figures = fit(None)
close = functools.partial(chex.assert_trees_all_close, atol=1e-6, rtol=1e-5)
for text in sys.argv[2:]:
    params, of_mesh = fit(mesh.chosen(text), seeds=(0, 1) if text == "data:2,model:4" else (0,))
    close(jax.tree.map(lambda leaf: leaf[:1], params), one), close(of_mesh, figures)
    assert of_mesh["rows"] == figures["rows"] and of_mesh["coverage@3"] == figures["coverage@3"]
    print(text)

of_step = programs[-1]

# Ratings that stay on the disk are divided alike: a window at a time, by the same batches.
params_on_disk, of_disk = fit(mesh.chosen(text), train=on_disk)
close(params_on_disk, one), close(of_disk, figures)

# A sampled softmax draws the same columns.
dae, found = models.build("multdae", {"latent": 4, "l2": 0}, Facts.of(train)), []
settings = Settings(epochs=2, batch_size=B, softmax="sampled", candidates=3, optimiser="sgd")
for over in (None, mesh.chosen("data:4,model:2")):
    with mesh.use(over):
        fitted = loop.fit(mesh.adapted(dae, N), [train], settings, seeds=(0,), evaluate=None)
        found.append(mesh.gathered(fitted.last, dae))
close(found[1], found[0])

# No device has all of the table, of the scores of a batch, or of what has a number per column.
text = of_step.as_text()
gathers = " ".join(re.findall(r" = (.*) all-gather", text))
sizes = [math.prod(map(int, dims.split(","))) for dims in re.findall(r"\\[([0-9,]+)\\]", gathers)]
assert max(sizes, default=0) < min(len(train.columns), B * N), gathers
assert "all-reduce" in text
over = mesh.chosen("data:4,model:2")
with mesh.use(over):
    parts = {part.data.shape for part in mesh.divided(train).columns.addressable_shards}
    assert parts == {(-(-len(train.columns) // 4),)}
    leaves = jax.tree.leaves(mesh.parameters(one, N))
    shapes = {leaf.addressable_shards[0].data.shape for leaf in leaves}
    assert shapes == {(1, 15, 4), (1, 4, 15), (1, 15)}, shapes

    # X' D X of each device's rows, summed.
    x = np.zeros((U, N))
    x[train.entries()[:2]] = 1
    weighted = x * np.maximum(x.sum(1, keepdims=True), 1) ** -0.5
    np.testing.assert_allclose(ease.gram(train, 0.5, batch_size=3), x.T @ weighted, rtol=1e-5)

    # The sums of alternating least squares: each device has a quarter of the entries.
    tiles, f, z = conjugate.Tiles.of(train), rng.random((N, 3)), rng.random((U, 3))
    assert {part.data.shape[1] for part in tiles.values.addressable_shards} == {1}
    summed = tiles.sum(jnp.asarray(f), jnp.asarray(z))
    np.testing.assert_allclose(summed, (x * (z @ f.T)) @ f, rtol=1e-5)

    # Ties are broken as on one device, also among what is never ranked.
    ties = np.where(rng.random((7, N)) < 0.3, -np.inf, rng.integers(-2, 3, (7, N)))
    ties, order = ties.astype(np.float32), ranking.tie_order(N, 1)
    merged = jax.jit(ranking.top, static_argnums=2)(ties, order, N + 3)
place = np.lexsort((np.tile(np.argsort(order), (7, 1)), -ties))
best = np.take_along_axis(ties, place, 1)
np.testing.assert_array_equal(merged[0], np.pad(best, ((0, 0), (0, 3)), constant_values=-np.inf))
np.testing.assert_array_equal(merged[1], np.pad(place, ((0, 0), (0, 3)), constant_values=N))

# A run that resumes has the same bits on the same mesh, and may go on on another.
for text, same in (("data:4,model:2", chex.assert_trees_all_equal), ("model:8", close)):
    if len(sys.argv) == 3:
        break
    fit(over, 1, text)
    same(fit(mesh.chosen(text), 2, text), params)

# A run from the public functions: its figures, its recommendations, its audit.
if len(sys.argv) > 3:
    quiet = {"log": lambda text: None}
    ratings = aerec.load("synthetic:users=60,items=31,ratings=900", **quiet)
    split = aerec.split(ratings, valid_users=10, test_users=10, **quiet)
    quiet |= {"hidden": (8,), "latent": 4, "epochs": 2, "batch_size": 16, "show": False}
    alone = aerec.fit("multvae", split, **quiet)
    divided = aerec.fit("multvae", split, mesh="data:2,model:4", **quiet)
    close(dict(divided.test.items()), dict(alone.test.items()))
    liked = alone.item_ids[:3].tolist()
    for answer in ("recommend", "similar"):
        asked = liked if answer == "recommend" else liked[0]
        one, other = (getattr(run, answer)(asked, k=5) for run in (alone, divided))
        assert one["item"].equals(other["item"]), (one, other)
    counts = [aerec.audit(run, budget=500).order.details["broken"] for run in (alone, divided)]
    assert counts[0] == counts[1] > 0
"""


def on_eight(lines, *given):
    """Run Python in a process whose CPU counts as eight devices."""
    return subprocess.run(
        [sys.executable, "-c", lines, *map(str, given)], text=True, capture_output=True, cwd=ROOT,
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "8", "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip


@pytest.mark.parametrize(
    "meshes",
    [
        ["data:4,model:2"],
        pytest.param(
            ["data:8", "model:8", "data:2,model:4", "data:4,model:2"], marks=pytest.mark.slow
        ),
    ],
)
def test_runs_on_eight_devices(tmp_path, meshes):
    ran = on_eight(ON_EIGHT, tmp_path, *meshes)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == meshes


EVERY_MODEL = """
import jax, numpy as np
from aerec import mesh, models
from aerec.core import Facts, Table
from aerec.training import loop
from aerec.training.settings import Settings

U, N = 23, 29
rng = np.random.default_rng(0)
row, column = np.nonzero(rng.random((U, N)) < 0.4)
values = rng.integers(1, 6, len(row))
train = Table.from_entries(row, column, values, num_rows=U, num_columns=N)
small = {"hidden": (5,), "latent": 4, "embedding": 6, "recurrent": 6}
for name, module in models.MODELS.items():
    fields = module.Config.__dataclass_fields__
    given = {setting: value for setting, value in small.items() if setting in fields}
    traits = models.traits(name, given)
    if traits.features:
        continue
    own = train.transpose() if traits.reads == "columns" else train
    model = models.build(name, given, Facts.of(own, (1, 5)))
    settings = Settings(epochs=max(1, len(model.phases)), batch_size=9, optimiser="sgd")
    found = []
    for text in ("data:1", "data:4,model:2"):
        with mesh.use(mesh.chosen(text)):
            divided = mesh.adapted(model, own.num_columns)
            fitted = loop.fit(divided, [own], settings, seeds=[0], evaluate=None)
            found.append(jax.tree.leaves(mesh.gathered(fitted.last, model)))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(other, one, atol=3e-5 * np.abs(one).max(initial=0), err_msg=name)
    print(name)
"""


@pytest.mark.slow
def test_every_model_on_eight_devices():
    ran = on_eight(EVERY_MODEL)
    assert ran.returncode == 0, ran.stderr
    assert {"multvae", "svae", "recvae", "cdae", "ease", "ials"} < set(ran.stdout.split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data:2", r"mesh=data:2 has 2 devices: there are 1\. .*JAX_NUM_CPU_DEVICES"),
        ("rows:2", r"no axis 'rows'\. .*data"),
        ("data:0", r"data is at least 1, not 0"),
        ("data", r"data is a whole number, not ''"),
        ("model:1,model:1", r"model is given twice"),
        (2, r"mesh is a text like 'data:4,model:2', not 2"),
    ],
)
def test_a_mesh_that_cannot_be(text, message):
    with pytest.raises(BadInput, match=message):
        mesh.chosen(text)


@pytest.mark.parametrize(("parts", "expected"), [
    ([(0, 4), (4, 8)], range(8)),
    ([(4, 8)], range(4, 8)),
    ([(12, 16), (4, 8)], range(4, 16)),  # with what lies between its devices
])  # fmt: skip
def test_the_entries_of_a_process_are_those_of_its_devices(parts, expected, monkeypatch):
    def places(sharding, shape):
        assert shape == (16,)  # 13, padded to a multiple of four
        return {device: (slice(*at),) for device, at in enumerate(parts)}

    monkeypatch.setattr(mesh.NamedSharding, "addressable_devices_indices_map", places)
    monkeypatch.setattr(mesh, "size", lambda axis: 4)
    with jax.set_mesh(jax.make_mesh((1, 1), mesh.AXES)):
        assert mesh.own(13) == expected


def test_one_device_has_no_mesh():
    assert mesh.chosen() is None and mesh.chosen("data:1,model:1") is None
