"""Mult-DAE: a denoising autoencoder with a multinomial likelihood over clicks.

Liang, Krishnan, Hoffman, Jebara: *Variational Autoencoders for Collaborative Filtering*, WWW
2018, section 2.3: the maximum-likelihood relative of Mult-VAE. The code z = g(x) is a point, not
a distribution; the objective is log p(x | z) (eq. 2), with weight decay. The encoder reads the
L2-normalised row with dropout; items are ranked by the decoder's logits. Gaussian and logistic
likelihoods (eq. 3, 4) are options. The paper's network is I-200-I with tanh.

The decay: the paper's code adds lambda |W|^2 (twice lambda / 2) to the mean over users, with
lambda = .01 / 500; here `l2` / 2 |W|^2 is added to the sum, so `l2` = 2 lambda * users: 4.7 for the
116,677 training users of ML-20M, .18 for the 4,534 of ML-1M.

Departures: the defaults are for thousands of users. There the paper's `latent` 200, `dropout` .5
and lambda, with 40 epochs in batches of 50, lose .02 to .04 of validation NDCG@100 to tuned
settings (anime, steam, lastfm; nothing on ML-1M), and .09 on 529 users of MovieLens.
"""

from collections.abc import Callable
from typing import Any

from aerec.configuration import Count, Positive, Probability, Weight, Widths, settings
from aerec.core import Facts, Model, Traits
from aerec.nn import activations, autoencoders, layers, losses
from aerec.space import TRAINING, Choice, Log, Space, Uniform


@settings
class Config:
    hidden: Widths = ()  # widths between the items and the code, mirrored after it
    latent: Count = 128  # K
    activation: activations.Name = "tanh"  # of the hidden layers
    latent_activation: activations.Name = "tanh"  # of the code
    dropout: Probability = 0.6  # of the listed entries of the normalised input
    likelihood: losses.Likelihood = "multinomial"  # multinomial, gaussian or logistic
    confidence: Positive = 1.0  # of a click under the Gaussian likelihood (c_1, with c_0 = 1)
    l2: Weight = 2.0  # lambda of lambda / 2 |kernels|^2, added to the sum over users


SPACE: Space = {
    "hidden": Choice(((), (600,))),
    "latent": Choice((64, 128, 200, 400)),
    "dropout": Uniform(0.1, 0.8),
    "l2": Log(1e-3, 10),
    **TRAINING,
}


def traits(config: Config) -> Traits:
    """Return the traits of a model of clicks."""
    return Traits(
        task="ranking",
        l2=config.l2,
        training={
            "epochs": 100, "batch_size": 25, "learning_rate": 4e-3, "schedule": "cosine",
            "evaluate_every": 10,
        },
    )  # fmt: skip


def make(config: Config, facts: Facts) -> Model:
    """Build the model over rows of N clicks; scores are the decoder's logits [B, N]."""
    likelihood = losses.likelihood(config.likelihood, confidence=config.confidence)
    net = autoencoders.Pair(
        config.hidden, config.latent, config.activation, config.latent_activation,
        facts.num_columns,
    )  # fmt: skip
    apply: Callable[..., Any] = net.apply

    def loss(params, x, key, step):
        """Compute the negative of equation 2; weights count non-empty rows."""
        del step
        corrupted = layers.dropout(key, layers.normalise(x), config.dropout)
        return losses.by_row(likelihood(apply(params, corrupted), x), x)

    model = autoencoders.model(net, facts, traits(config), loss, read=layers.normalise)

    def narrowed(columns: int) -> Model:
        return make(config, facts._replace(num_columns=columns))

    return model._replace(narrowed=narrowed if config.likelihood == "multinomial" else None)
