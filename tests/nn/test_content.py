"""Features of items beside a row: by hand, frozen in training, in a run to the end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aerec
from aerec import models
from aerec.core import Facts, Table
from aerec.data import protocols
from aerec.data.synthetic import synthesize
from aerec.errors import BadInput
from aerec.nn import content
from aerec.runs import export

X = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]], np.float32)
FEATURES = np.array([[1, 0], [3, 4], [5, -2], [7, 7]], np.float32)


def rows(x, index):
    row, column = np.nonzero(x)
    table = Table.from_entries(row, column, x[row, column], num_rows=len(x), num_columns=x.shape[1])
    return table.gather(jnp.arange(len(x)), 8).replace(index=jnp.asarray(index))


def test_a_user_has_the_mean_of_its_items():
    module = content.Content(4, 2)
    params = {"content": {"items": jnp.asarray(FEATURES)}}
    for x in (X, rows(X / 3, [-1, -1, -1])):
        np.testing.assert_allclose(module.apply(params, x), [[3, -1], [0, 0], [3, 4]], rtol=1e-6)


def test_an_item_has_its_own_by_its_number_in_training():
    module = content.Content(4, 2, own=True)
    params = {"content": {"items": jnp.asarray(FEATURES)}}
    found = module.apply(params, rows(X, [2, -1, 4]))  # 4 is the number of padding
    np.testing.assert_array_equal(found, [[5, -2], [0, 0], [0, 0]])
    np.testing.assert_array_equal(module.apply(params, X), np.zeros((3, 2)))


def test_the_first_layer_adds_them():
    facts = Facts(3, 4, scale=(1.0, 5.0), row_features=FEATURES[:3])
    given = {"features": "content", "size": 3, "hidden": (2,), "activation": "identity"}
    model = models.build("autorec", given, facts)
    params = jax.tree.map(lambda leaf: leaf + 0.5, model.init(jax.random.key(0)))
    params |= model.frozen(Table.from_entries([], [], [], num_rows=3, num_columns=4))
    layer = params["params"]["encoder_0"]
    own = np.pad(FEATURES[[1, 2, 0]], ((0, 0), (0, 1)))
    layer = jax.tree.map(np.asarray, layer)
    wanted = X @ layer["kernel"] + layer["bias"] + own @ layer["beside"]
    found = model.encode(params, rows(X, [1, 2, 0]))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    with pytest.raises(BadInput, match="2 coordinates: set size=2, not 1"):
        models.build("autorec", {**given, "size": 1}, facts).frozen(None)
    with pytest.raises(BadInput, match="features=content needs vectors"):
        models.build("autorec", given, Facts(3, 4)).frozen(None)


@pytest.fixture(scope="module")
def films():
    ratings = synthesize(users=60, items=24, ratings=700)[0]
    kinds = np.array(["Comedy", "Drama|War", "War|Western", "Drama", ""])
    return ratings._replace(genres=kinds[np.arange(24) % 5])


KNOWN = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]])
SMALL = {"features": "content", "size": 5, "epochs": 2, "show": False, "log": lambda text: None}


@pytest.mark.parametrize(
    ("model", "protocol", "own"),
    [
        ("autorec", "random_ratings", {"hidden": (3,)}),
        ("autorec", "random_ratings", {"hidden": (3,), "item_based": False}),
        ("multvae", "strong:threshold=3", {"latent": 3, "seeds": 2}),
    ],
)
def test_a_run_reads_the_genres_and_leaves_them(films, model, protocol, own, tmp_path):
    split = protocols.parse(protocol).split(films, seed=0)
    run = aerec.fit(model, split, **own, **SMALL)
    assert run.config["features"]["names"] == ["Comedy", "Drama", "War", "Western"]
    place = [films.item_ids.tolist().index(item) for item in split.item_ids.tolist()]
    kept = np.pad(KNOWN[np.array(place) % 5], ((0, 0), (0, 1)))
    np.testing.assert_array_equal(run.params["content"]["content"]["items"], kept)
    again = aerec.open(run.save(tmp_path / "run"))
    if model == "autorec":
        scored = aerec.evaluate(again, split, own=split)
        assert scored["rmse"] == pytest.approx(run.test["rmse"])
        return
    items, history = split.item_ids.tolist(), split.item_ids[:3].tolist()
    x = np.zeros((1, len(items)), np.float32)
    x[0, :3] = 1
    scores = export.scorer(run.artefact(0))(x)[0]
    found = again.predict(history, items)["score"].to_numpy()
    np.testing.assert_allclose(found, scores, rtol=1e-4, atol=1e-5)
    assert again.recommend(history, k=3).height == 3


def test_data_without_genres_are_refused(films):
    split = protocols.parse("strong:threshold=3").split(films._replace(genres=None), seed=0)
    with pytest.raises(BadInput, match="has no genres"):
        aerec.fit("multvae", split, **SMALL)
