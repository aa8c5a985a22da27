"""Replicas whose settings differ in numbers, like the trials of a search.

Widths, batches and epochs decide the shapes of a program. Numbers like a dropout or a learning rate
do not: they can be arguments of it, so that one program trains replicas at different numbers.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np

from aerec.core import Model


class Variants(NamedTuple):
    """The numbers by which the replicas of a run differ.

    Attributes:
      make: settings of the model, which may be traced -> the model.
      values: settings of the model, by name, [S] each.
      rates: learning rates, as multiples of `Settings.learning_rate`, [S].
    """

    make: Callable[[Mapping[str, jax.Array]], Model]
    values: Mapping[str, np.ndarray]
    rates: np.ndarray
