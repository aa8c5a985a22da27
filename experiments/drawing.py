"""What the trials of a search draw: points of a Sobol sequence, then settings by an estimator."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import qmc

from aerec.errors import BadInput
from aerec.space import Choice, Log, LogIntegers, Space, Uniform, rounded
from aerec.training import loop

BEFORE = 3  # evaluations before a training can be stopped


def point(space: Space, seed: int, number: int) -> dict[str, Any]:
    """Return a point of the scrambled Sobol sequence in the space; the first has number 1."""
    shares = qmc.Sobol(len(space), seed=seed).random_base2(number.bit_length())[number - 1]
    return {name: space[name].at(share) for name, share in zip(space, shares, strict=True)}


def _optuna():
    try:
        import optuna
    except ImportError:
        raise BadInput('a search needs optuna: pip install "aerec[tune]"') from None
    return optuna


def _distribution(values: Any) -> Any:
    """Return the distribution in Optuna's terms; a choice is of JSON texts."""
    kinds = _optuna().distributions
    match values:
        case Uniform(low, high):
            return kinds.FloatDistribution(low, high)
        case Log(low, high):
            return kinds.FloatDistribution(low, high, log=True)
        case LogIntegers(low, high):
            return kinds.IntDistribution(low, high, log=True)
        case Choice(choices):
            return kinds.CategoricalDistribution([json.dumps(choice) for choice in choices])
    raise AssertionError(values)


def _encoded(space: Space, setting: Mapping[str, Any]) -> dict[str, Any]:
    """Return the searched ones of some settings as Optuna's parameters."""
    return {
        name: json.dumps(setting[name]) if isinstance(values, Choice) else setting[name]
        for name, values in space.items()
        if name in setting
    }


def decoded(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return Optuna's parameters as settings, tuples as lists."""
    kinds: dict[type, Any] = {Choice: json.loads, Log: rounded, Uniform: rounded, LogIntegers: int}
    return {name: kinds[type(values)](params[name]) for name, values in space.items()}


def asked(
    metric: str,
    trials: Sequence[Mapping[str, Any]],
    space: Space,
    seed: int,
    number: int,
    given: Mapping[str, Any],
) -> Any:
    """Return Optuna's trial of that number; the estimator draws the settings that are not given.

    Args:
      metric: the figure, which says whether higher is better.
      trials: the finished ones, from which the estimator learns.
    """
    optuna = _optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {name: _distribution(values) for name, values in space.items()}
    study = optuna.create_study(
        direction="minimize" if metric.startswith(loop.LOWER) else "maximize",
        sampler=optuna.samplers.TPESampler(
            seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        ),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=BEFORE),
    )
    for trial in trials:
        if trial["state"] == "failed":
            continue
        complete, states = trial["state"] == "complete", optuna.trial.TrialState
        study.add_trial(
            optuna.trial.create_trial(
                state=states.COMPLETE if complete else states.PRUNED,
                value=trial["validation"] if complete else None,
                params=_encoded(space, trial["setting"]),
                distributions=distributions,
                intermediate_values={step: figure for step, figure in trial["curve"]},
            )
        )
    if given:
        study.enqueue_trial(_encoded(space, given))
    return study.ask(distributions)
