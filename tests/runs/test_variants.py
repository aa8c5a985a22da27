"""Settings that are trained at once have the figures that they have one by one."""

import dataclasses

import jax
import numpy as np
import pytest

import aerec
from aerec import api, models
from aerec.data.datasets import synthesize
from aerec.errors import BadInput
from aerec.runs import fitting, variants
from aerec.space import Log, Uniform
from aerec.training import loop

SMALL = {"multdae": {"hidden": (), "latent": 8}, "recvae": {"hidden": (8,), "latent": 4}}
SLOW = ("autorec", "cdae", "dae", "deeprec", "elsa", "rbm", "sdae", "svae", "vae")
TRAINING = {"epochs": 2, "evaluate_every": 1, "batch_size": 40, "buckets": 1}


@pytest.fixture(scope="module")
def splits():
    ratings, quiet = synthesize(users=90, items=30, ratings=1200)[0], lambda text: None
    sizes = {"valid_users": 25, "test_users": 10, "threshold": 3}
    return {
        "ranking": aerec.split(ratings, "strong", **sizes, log=quiet),
        "rating": aerec.split(ratings, "random_ratings", log=quiet),
    }


def numbers(name: str, share: float) -> dict[str, float]:
    """Return the searched numbers of a model at a share of their ranges."""
    module = models.find(name)
    fields = {field.name for field in dataclasses.fields(module.Config)}
    return {
        setting: values.at(share)
        for setting, values in {**module.SPACE, "learning_rate": Log(1e-3, 1e-2)}.items()
        if isinstance(values, Uniform | Log) and setting in fields | {"learning_rate"}
    }


@pytest.mark.parametrize(
    "name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_as_one_by_one(name, splits):
    split = splits[models.traits(name, {}).task]
    specs = [
        api.specify(name, split, {**TRAINING, **SMALL.get(name, {}), **numbers(name, share)})
        for share in (0.3, 0.9)
    ]
    curves = []
    # Under vmap all stages of greedy pre-training are computed, one of which reads the key.
    with jax.debug_key_reuse(name != "sdae"):
        found = variants.validate(specs, split, progress=lambda *each: curves.append(each))
    assert [epoch for epoch, _ in curves] == [1, 2]
    alone = [fitting.validate(spec, split) for spec in specs]
    np.testing.assert_allclose(found, alone, rtol=2e-3)
    assert alone[0] != pytest.approx(alone[1], rel=2e-3)  # the numbers count
    best = min if specs[0].settings.metric.startswith(loop.LOWER) else max
    assert found == [best(own) for own in zip(*(figures for _, figures in curves), strict=True)]


def test_what_cannot_be_trained_at_once_is_refused(splits):
    split = splits["ranking"]
    for name, given in (("ease", {}), ("ease_vae", {}), ("elsa", {"optimiser": "rprop"})):
        spec = api.specify(name, split, given)
        assert not variants.possible(spec, split)
        with pytest.raises(BadInput, match="one by one"):
            variants.validate([spec, spec], split)
