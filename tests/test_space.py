"""Search spaces: of settings that exist, with the defaults inside, and valid everywhere."""

import jax
import numpy as np
import pytest

from aerec import configuration, models
from aerec.core import Facts
from aerec.models import MODELS
from aerec.space import Choice, Log, LogIntegers, Uniform
from aerec.training.settings import Settings


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        (Uniform(2, 4), 0.25, 2.5),
        (Log(1, 1e4), 0.5, 100.0),
        (Log(1e-4, 1e-2), 0.25, 3.16e-4),  # three digits of 10^-3.5
        (LogIntegers(1, 15), 0.5, 4),  # 16 ** .5
        (LogIntegers(1, 15), 0.999, 15),
        (Choice((3, 5, 7)), 0.34, 5),
    ],
)
def test_quantiles(values, share, expected):
    assert values.at(share) == expected


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_space_of_a_model(name):
    module, space = MODELS[name], MODELS[name].SPACE
    assert bool(space) == (name not in ("popularity", "bias", "blend"))
    own, training = configuration.kinds(module.Config), configuration.kinds(Settings)
    assert set(space) <= set(own) | set(training)
    solved = module.make(module.Config(), Facts(1, 2, scale=(1.0, 5.0))).solve is not None
    assert solved != bool(set(space) & set(training))
    usual = Settings(**module.traits(module.Config()).training)
    defaults = {**vars(usual), **vars(module.Config())}
    for setting, values in space.items():
        default = defaults[setting]
        if isinstance(values, Choice):
            assert default in values.values, setting
        else:
            assert values.low <= default <= values.high, setting
    draws = np.random.default_rng(0).random((20, len(space)))
    ends = np.stack([np.zeros(len(space)), np.full(len(space), 1 - 1e-9)])
    for shares in (*ends, *draws):
        given = {n: v.at(share) for (n, v), share in zip(space.items(), shares, strict=True)}
        models.configure(name, {n: v for n, v in given.items() if n in own})
        configuration.fill(Settings, {n: v for n, v in given.items() if n not in own}, of="")


@pytest.mark.parametrize("name", [name for name in sorted(MODELS) if MODELS[name].SPACE])
def test_a_network_of_the_largest_sizes_can_be_built(name):
    module = MODELS[name]
    own = {n: v.at(1 - 1e-9) for n, v in module.SPACE.items()}
    own = {n: value for n, value in own.items() if n in configuration.kinds(module.Config)}
    model = models.build(name, own, Facts(4, 6, np.ones(6, int), (1.0, 5.0)))
    jax.eval_shape(model.init, jax.random.key(0))
