"""VAE: a variational autoencoder with a Gaussian code and squared error.

Kingma, Welling: *Auto-Encoding Variational Bayes*, ICLR 2014, over rows of clicks. x -> (mean, log
variance) of q(z | x) = N(mean, diag), z is drawn from q with noise of standard deviation 1,
y = decoder(z). The objective, which is maximised, is

    -1/2 |x - y|^2 - beta KL(q || N(0, I))

with beta = 1: the evidence lower bound of x ~ N(y, I), but for a constant. (With a plus before the
KL, as some texts print it, the maximum would drive q away from the prior without bound.) Another
beta is the bound of x ~ N(y, beta I), times beta: the
squared error of a click is at most about 1, far below a variance of 1, and with beta = 1 most
coordinates of the code fall back to the prior. Squared error is over every column; items are
ranked by y at the mean of q.

Departures: `dropout` of the listed entries. The paper's bound is that of `beta=1` and `dropout=0`.
The defaults, with no hidden layer, were chosen by the ranking on three data sets; at least 2,000
updates are made. At a higher learning rate, training collapsed on anime.
"""

from aerec.configuration import Count, Probability, Weight, Widths, settings
from aerec.core import Facts, Model, Traits
from aerec.models.multvae import variational
from aerec.nn import activations, losses
from aerec.space import TRAINING, Choice, Log, Space, Uniform


@settings
class Config:
    hidden: Widths = ()  # widths between the items and the code, mirrored after it
    latent: Count = 128  # K
    activation: activations.Name = "tanh"  # of the hidden layers
    latent_activation: activations.Name = "identity"  # of the code, after the noise
    dropout: Probability = 0.3  # of the listed entries of the input
    beta: Weight = 0.001  # the KL's weight: the variance of x given z
    l2: Weight = 0.0  # lambda of lambda / 2 |kernels|^2, added to the sum over users


SPACE: Space = {
    "hidden": Choice(((), (600,))),
    "latent": Choice((64, 128, 200, 400)),
    "dropout": Uniform(0, 0.8),
    "beta": Log(1e-4, 1),
    **TRAINING,
}


def traits(config) -> Traits:
    """Return the traits of a model of clicks."""
    return Traits(
        task="ranking",
        l2=config.l2,
        training={
            "epochs": 60, "batch_size": 50, "schedule": "cosine", "warmup": 0.1,
            "evaluate_every": 6,
        },
        updates=2_000,
    )  # fmt: skip


def make(config: Config, facts: Facts) -> Model:
    """Build the model over rows of N clicks; scores are y [B, N] at the mean of q."""
    return variational(
        config, facts, traits(config), losses.gaussian, beta=lambda step: config.beta
    )
