"""DAE: a denoising autoencoder of clicks, one hidden layer.

Vincent, Larochelle, Bengio, Manzagol: *Extracting and Composing Robust Features with Denoising
Autoencoders*, ICML 2008. z = h(W' x~ + b), y = f(W z + b') for a corrupted copy x~ of the row x;
the loss compares y with x itself. It is CDAE without the user's node, as Wu et al. (WSDM 2016)
compare the two: settings, losses, corruption and negative sampling are those of `cdae`.

Departures: those of `cdae`; and masked entries are compensated for, the kept ones times
1 / (1 - q), which Vincent et al. do not do.
"""

from aerec.core import Model
from aerec.models import cdae

TASK = "ranking"
TRAINING = cdae.TRAINING
RANGES = cdae.RANGES
Config = cdae.Config


def make(config: Config, num_rows: int, num_columns: int) -> Model:
    """The model over rows of `num_columns` clicks; raises as `cdae.autoencoder`."""
    del num_rows
    return cdae.autoencoder(config, 0, num_columns)
