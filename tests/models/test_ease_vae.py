"""EASE-VAE: its parts are those of EASE and Mult-VAE, and its weight takes it from one to other."""

import chex
import jax
import numpy as np
import pytest

import aerec
from aerec import memory, models
from aerec.core import Facts
from aerec.errors import BadInput

QUIET = {"show": False, "log": lambda text: None}
TRAINING = {"epochs": 2, "batch_size": 20}


@pytest.fixture(scope="module")
def ratings():
    return aerec.load("synthetic:users=80,items=40,ratings=1500", log=lambda text: None)


@pytest.fixture(scope="module")
def split(ratings):
    return aerec.split(ratings, "strong", valid_users=10, test_users=10, log=lambda text: None)


def fitted(model, split, **given):
    return aerec.fit(model, split, seed=3, **given, **QUIET)


def test_the_parts_are_those_of_ease_and_of_multvae(ratings):
    """Without a validation part, by which their best epochs may differ."""
    everything = aerec.split(ratings, "all_clicks", log=lambda text: None)
    both = fitted("ease_vae", everything, linear_l2=7, linear_dropout=0.2, **TRAINING)
    ease = fitted("ease", everything, l2=7, dropout=0.2)
    deep = fitted("multvae", everything, **TRAINING)
    chex.assert_trees_all_equal(both.params["linear"], ease.params)
    chex.assert_trees_all_equal(both.params["deep"], deep.params)


def test_its_weight_takes_it_from_mult_vae_to_ease(split):
    figures = []
    for weight in (0, 1):
        run = fitted("ease_vae", split, weight=weight, epochs=1, batch_size=20)
        figures.append(run.test["ndcg@10"])
    deep = fitted("multvae", split, epochs=1, batch_size=20)
    expected = [deep.test["ndcg@10"], fitted("ease", split).test["ndcg@10"]]
    np.testing.assert_allclose(np.array(figures, float), np.array(expected, float), rtol=1e-6)


def test_too_many_items_are_refused(split, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 3 * 4 * split.train.num_columns**2 - 1)
    with pytest.raises(memory.TooLarge, match=r"EASE's Gram matrix .* over \d+ items"):
        fitted("ease_vae", split, **TRAINING)


def test_settings_of_its_parts():
    facts, key = Facts(5, 7), jax.random.key(0)
    params = models.build("ease_vae", {"hidden": (4,), "latent": 3}, facts).init(key)
    deep = models.build("multvae", {"hidden": (4,), "latent": 3}, facts).init(key)
    chex.assert_trees_all_equal(params["deep"], deep)
    with pytest.raises(BadInput, match=r"weight"):
        models.configure("ease_vae", {"weight": 1.1})
