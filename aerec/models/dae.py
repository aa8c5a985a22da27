"""DAE: a denoising autoencoder of clicks, one hidden layer.

Vincent, Larochelle, Bengio, Manzagol: *Extracting and Composing Robust Features with Denoising
Autoencoders*, ICML 2008. z = h(W' x~ + b), y = f(W z + b') for a corrupted copy x~ of the row x;
the loss compares y with x itself. It is CDAE without the user's node, as Wu et al. (WSDM 2016)
compare the two: settings, losses, corruption and negative sampling are those of `cdae`.

Departures: those of `cdae`; and the entries that are not masked are multiplied by 1 / (1 - q),
which Vincent et al. do not do.
"""

from aerec.core import Facts, Model
from aerec.models.cdae import SPACE, Config, autoencoder, traits

__all__ = ["SPACE", "Config", "make", "traits"]


def make(config: Config, facts: Facts) -> Model:
    """Build the model over rows of N clicks."""
    return autoencoder(config, 0, facts.num_columns)
