"""Modules of flax.nnx and torch as functions of arrays."""

import copy
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np


def as_function(encode: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make a function of arrays of a module; return any other callable as it is.

    A module is copied and put in evaluation mode, so that dropout is off and batch statistics are
    those of training. The caller's module does not change. JAX traces modules of flax.nnx. Those of
    torch take and return NumPy arrays. They are computed in the format and on the device of their
    parameters.

    Args:
      encode: one vector [n] -> its code, or rows [B, n] -> codes.
    """
    packages = {cls.__module__.partition(".")[0] for cls in type(encode).__mro__}
    if not packages & {"flax", "torch"} or not hasattr(encode, "eval"):
        return encode
    module: Any = copy.deepcopy(encode)
    module.eval()
    return _of_torch(module) if "torch" in packages else lambda x: module(x)


def _of_torch(module: Any) -> Callable[[Any], np.ndarray]:
    torch: Any = importlib.import_module("torch")
    like = next(iter(module.parameters()), torch.zeros(()))

    def function(x):
        with torch.no_grad():
            return module(like.new_tensor(np.array(x))).cpu().numpy()

    return function
