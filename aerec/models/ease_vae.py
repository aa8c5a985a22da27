"""EASE-VAE: EASE and Mult-VAE side by side, a full-rank linear model and a deep one of low rank.

Vancura, Kordik: *Deep Variational Autoencoder with Shallow Parallel Path for Top-N Recommendation
(VASP)*, 2021. A row x has the scores x B of EASE (`ease`), B with a zero diagonal, and the logits
f(x) of Mult-VAE at the mean of its code (`multvae`). Both are brought to mean 0 and deviation 1
over the items of a row, z(.), and the score is

    y = w z(x B) + (1 - w) z(f(x)),    w = `weight`.

B is solved in closed form from the training table, and is no part of the gradient descent. The deep
part is trained by its own objective: its parameters after each update are those of `multvae` with
the same settings and seed. The epoch is selected by the ranking of y.

Departures from VASP:
  - the linear part is the closed form in place of Neural EASE, a layer trained by gradients; the
    deep part is Mult-VAE, without residual layers and focal loss;
  - the parts are trained apart and summed. VASP multiplies sigmoids of both outputs and trains the
    product. Trained together, the linear part is fitted to rows that B has seen, and its weight
    comes out smaller than what ranks new rows best;
  - w is a setting, .5 by default.

w is no share of the best items. The scores of EASE are near zero for most items and large for a
few: the best item of a row of anime is 18 deviations above the mean, and 3 by Mult-VAE. So the
ranking at .5 is closer to that of EASE, and a smaller w moves it towards Mult-VAE.
"""

import dataclasses

import jax
import jax.numpy as jnp

from aerec.configuration import (
    Count,
    Natural,
    Positive,
    Probability,
    Share,
    Weight,
    Widths,
    settings,
)
from aerec.core import Batch, Facts, Model, Table, Traits
from aerec.models import blend, ease, multvae
from aerec.nn import activations
from aerec.space import Space, Uniform


@settings
class Config:
    weight: Share = 0.5  # w, of the linear part
    linear_l2: Positive = 100.0  # lambda of the linear part
    linear_dropout: Probability = 0.3  # p of its penalty that grows with an item's clicks
    hidden: Widths = ()  # widths between the items and the code, mirrored after it
    latent: Count = 200  # K
    activation: activations.Name = "tanh"  # of the hidden layers
    latent_activation: activations.Name = "identity"  # of the code, after the noise
    dropout: Probability = 0.2  # of the listed entries of the deep part's input
    beta: Weight = 0.03  # largest weight of the KL term
    anneal_steps: Natural = 5_000  # the KL term weighs min(beta, step / anneal_steps); 0: beta
    l2: Weight = 0.0  # lambda of lambda / 2 |kernels|^2 of the deep part, added to the sum


DEEP = (
    "hidden", "latent", "activation", "latent_activation", "dropout", "beta", "anneal_steps", "l2",
)  # fmt: skip
SPACE: Space = {
    "weight": Uniform(0, 1),
    **{f"linear_{name}": values for name, values in ease.SPACE.items()},
    **multvae.SPACE,
}


def deep(config: Config) -> multvae.Config:
    """Return the settings of the deep part."""
    known = dataclasses.asdict(config)
    return multvae.Config(**{name: known[name] for name in DEEP})


def traits(config: Config) -> Traits:
    """Return the traits of a model of clicks, trained as Mult-VAE is."""
    return multvae.traits(deep(config))


def make(config: Config, facts: Facts) -> Model:
    """Build the model over rows of N clicks; params {"linear": {"weights": B [N, N]}, "deep": ...}.

    The code is the deep part's, [B, K].

    Raises:
      memory.TooLarge: from `frozen`, before anything is allocated, if N^2 does not fit.
    """
    linear = ease.make(ease.Config(l2=config.linear_l2, dropout=config.linear_dropout), facts)
    own = multvae.make(deep(config), facts)
    objective, solve = own.loss, linear.solve
    assert objective is not None and solve is not None

    def init(key: jax.Array):
        return {"linear": linear.init(key), "deep": own.init(key)}

    def read(params):
        return (params["linear"], params["deep"]), jnp.array([config.weight, 1 - config.weight])

    def loss(params, x: Batch, key: jax.Array, step: jax.Array):
        """Compute the deep part's loss; weights count non-empty rows."""
        return objective(params["deep"], x, key, step)

    def frozen(table: Table):
        return {"linear": solve(table)}

    return Model(
        traits=traits(config),
        init=init,
        encode=lambda params, x: own.encode(params["deep"], x),
        loss=loss,
        frozen=frozen,
        **blend.ranking((linear, own), read, facts.num_columns),
    )
