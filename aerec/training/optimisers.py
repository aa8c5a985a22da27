"""The optimiser of a run: an L2 penalty, then the update on a learning-rate schedule."""

from collections.abc import Collection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from aerec.configuration import is_zero
from aerec.training.settings import Settings


def optimiser(
    settings: Settings,
    *,
    steps: int,
    decay: float = 0.0,
    decay_after: int = 0,
    frozen: Collection[str] = (),
) -> optax.GradientTransformation:
    """Chain an L2 penalty `decay / 2 |kernels|^2` and the optimiser on its schedule.

    Args:
      steps: the updates of all epochs together.
      frozen: entries of the parameters, a dict, that stay as they are.
    """
    rate: optax.ScalarOrSchedule = settings.learning_rate
    if settings.schedule != "constant" or settings.warmup:
        warm = min(int(settings.warmup * steps), steps - 1)
        end = 0.0 if settings.schedule == "cosine" else settings.learning_rate
        rate = optax.warmup_cosine_decay_schedule(
            0.0 if warm else settings.learning_rate, settings.learning_rate, warm, steps, end
        )
    if settings.milestones:
        smooth, per_epoch = rate, steps // settings.epochs
        drops = optax.piecewise_constant_schedule(
            1.0, {epoch * per_epoch: settings.gamma for epoch in settings.milestones}
        )
        rate = lambda count: smooth(count) * drops(count)  # noqa: E731
    scaled = optax.identity()  # RProp finds its own steps: the schedule is a factor of them
    if callable(rate):
        scaled = optax.scale_by_schedule(lambda n: rate(n) / max(settings.learning_rate, 1e-30))
    chains = {
        "adam": lambda: optax.adam(rate),
        "rprop": lambda: optax.chain(rprop(settings.learning_rate), scaled),
        "sgd": lambda: optax.sgd(rate, momentum=settings.momentum or None),
        # 1e-4 as in the code of CDAE's authors; under optax's .1, rare rows hardly move.
        "adagrad": lambda: optax.adagrad(rate, initial_accumulator_value=1e-4),
    }
    chosen = chains[settings.optimiser]()
    penalty = l2_penalty(decay, after=decay_after)
    chain = chosen if is_zero(decay) else optax.chain(penalty, chosen)
    if not frozen:
        return chain
    return optax.partition(
        {True: optax.set_to_zero(), False: chain},
        lambda params: {name: name in frozen for name in params},
    )


def l2_penalty(decay: float, *, after: int = 0) -> optax.GradientTransformation:
    """Add `decay * w` to the gradient of each kernel (rank 2 and up), from step `after` on.

    In greedy pre-training, the gradient of a layer whose stage is still to come is the penalty
    alone, and an adaptive optimiser would drive it to zero.
    """
    penalty = optax.add_decayed_weights(
        decay, mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params)
    )
    if not after:
        return penalty
    return optax.conditionally_transform(penalty, lambda step: step >= after)


class RpropState(NamedTuple):
    """For each parameter, the size of its next step, and the sign of its last gradient."""

    sizes: Any
    signs: Any


def rprop(
    first: float, *, shrink: float = 0.5, grow: float = 1.2, least: float = 1e-6, most: float = 50.0
) -> optax.GradientTransformation:
    """Step by the sign of the gradient alone: iRprop- (Igel, Hüsken 2003).

    The size of a parameter's step grows while its gradient has the same sign. Where the sign
    changes, the size shrinks, and the parameter waits for one update. (`optax.rprop` applies each
    update one step late.)

    Args:
      first: the size of the first step.
      shrink, grow: factors of the size, eta- and eta+ of Riedmiller and Braun (1993).
      least, most: the range of the size.
    """

    def init(params):
        sizes = jax.tree.map(lambda leaf: jnp.full_like(leaf, first), params)
        return RpropState(sizes, jax.tree.map(jnp.zeros_like, params))

    def update(grads, state, params=None):
        del params
        agrees = jax.tree.map(lambda g, last: jnp.sign(g) * last, grads, state.signs)
        sizes = jax.tree.map(
            lambda size, a: jnp.clip(
                size * jnp.where(a > 0, grow, jnp.where(a < 0, shrink, 1.0)), least, most
            ),
            state.sizes,
            agrees,
        )
        signs = jax.tree.map(lambda g, a: jnp.where(a < 0, 0.0, jnp.sign(g)), grads, agrees)
        return jax.tree.map(lambda s, size: -s * size, signs, sizes), RpropState(sizes, signs)

    return optax.GradientTransformation(init, update)
