"""The optimiser of a run: an L2 penalty, then the update on a learning-rate schedule."""

import jax
import optax

from aerec.training.settings import Settings


def optimiser(
    settings: Settings, *, steps: int, decay: float = 0.0, decay_after: int = 0
) -> optax.GradientTransformation:
    """Chain an L2 penalty `decay / 2 |kernels|^2` and the optimiser on its schedule.

    Args:
      steps: the updates of all epochs together.
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
        "rprop": lambda: optax.chain(optax.rprop(settings.learning_rate), scaled),
        "sgd": lambda: optax.sgd(rate, momentum=settings.momentum or None),
        "adagrad": lambda: optax.adagrad(rate),
    }
    chosen = chains[settings.optimiser]()
    return optax.chain(l2_penalty(decay, after=decay_after), chosen) if decay else chosen


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
