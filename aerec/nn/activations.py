"""The catalogue of activations: range, value at zero, and what theorems A to C imply for each.

A latent activation decides whether a code can be the zero vector (property P3 of Susman 2024,
*Theoretically informed selection of latent activation in autoencoder based recommender
systems*). Every entry holds the facts on which that question, and the certificates of
`aerec.properties.bounds`, depend. Functions act on the last axis: `[..., K] -> [..., K]`,
and `[..., K] -> [..., K + 1]` for the names that begin with `lift:`.

    get("tanh")          the plain function
    get("shift:tanh")    tanh + 1 + SHIFT: never zero; changes the order of the scores
    get("lift:tanh")     (LIFT, tanh): never zero, for one more coordinate; keeps all order, because
                         every latent dot product grows by LIFT^2

A shift adds `max(0, -low) + SHIFT` to a function with infimum `low`: SHIFT to relu, relu6 and abs,
1 + SHIFT to tanh, and the depth of the minimum plus SHIFT to selu, swish and gelu. For functions
that are positive already, SHIFT prevents an underflow to zero. `elu` gets exactly 1 (`elu + 1` is
`exp` below zero: positive, though it underflows). `identity` and `leaky_relu` are unbounded below:
no shift helps, `lift:` does.

`module:function` names an elementwise function of your own, also after `lift:`. Nothing is known of
it, so codes that it makes are audited without certificates.
"""

import difflib
import importlib
import math
from collections.abc import Callable
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp

from aerec.errors import BadInput

SHIFT = 1e-3  # the least distance of a shifted activation from zero
LIFT = 1.0  # the constant coordinate that a lifted activation prepends

_SELU_SCALE = 1.0507009873554805
_SELU_LOW = -_SELU_SCALE * 1.6732632423543772
_SWISH_LOW = -0.2784645427610738
_GELU_LOW = -0.16997120747990369
_LEAK = 0.01


class Activation(NamedTuple):
    """One activation and its known properties.

    `low`, `high`: infimum and supremum of the range (attained or not). `at_zero`: its value at 0.
    `sign`: of its values, one of "positive", "non-negative", "both". `vanishes`: whether zero is
    in the range in exact arithmetic. `theory`: theorems A-C in one line. `monotone`: whether it
    never decreases. `kinks`: where the derivative jumps. `curvature`: a bound on |a''| between
    the kinks (for `exp` the bound is a''(t) itself at the right end, marked by infinity).
    `extra`: coordinates it adds to the last axis. `known`: whether all these facts are.
    """

    name: str
    function: Callable[[jax.Array], jax.Array]
    low: float
    high: float
    at_zero: float
    sign: str
    vanishes: bool
    theory: str
    monotone: bool = True
    kinks: tuple[float, ...] = ()
    curvature: float = 0.0
    extra: int = 0
    known: bool = True


_CROSSES = "A: constant or breaks P2; C: one full-rank layer always has a zero, bias or not"
_DEAD = "A: constant or breaks P2; C: zero on a whole region, found by linear programming"
_POSITIVE = "A: constant or breaks P2; C: never zero exactly, but underflows in floating point"
_INF = math.inf

CATALOGUE: dict[str, Activation] = {
    entry.name: entry
    for entry in (
        Activation("identity", lambda z: z, -_INF, _INF, 0.0, "both", True, _CROSSES),
        Activation(
            "sigmoid", jax.nn.sigmoid, 0.0, 1.0, 0.5, "positive", False, _POSITIVE, curvature=0.0963
        ),
        Activation("tanh", jnp.tanh, -1.0, 1.0, 0.0, "both", True, _CROSSES, curvature=0.77),
        Activation(
            "relu", jax.nn.relu, 0.0, _INF, 0.0, "non-negative", True, _DEAD, kinks=(0.0,)
        ),
        Activation(
            "relu6", jax.nn.relu6, 0.0, 6.0, 0.0, "non-negative", True, _DEAD, kinks=(0.0, 6.0)
        ),
        Activation(
            "elu", jax.nn.elu, -1.0, _INF, 0.0, "both", True, _CROSSES, kinks=(0.0,), curvature=1.0
        ),
        Activation(
            "selu", jax.nn.selu, _SELU_LOW, _INF, 0.0, "both", True, _CROSSES,
            kinks=(0.0,), curvature=1.7581,
        ),
        Activation(
            "leaky_relu", lambda z: jax.nn.leaky_relu(z, _LEAK), -_INF, _INF, 0.0, "both", True,
            _CROSSES, kinks=(0.0,),
        ),
        Activation(
            "softplus", jax.nn.softplus, 0.0, _INF, math.log(2.0), "positive", False, _POSITIVE,
            curvature=0.25,
        ),
        Activation(
            "exp", jnp.exp, 0.0, _INF, 1.0, "positive", False, _POSITIVE, curvature=_INF
        ),
        Activation(
            "swish", jax.nn.swish, _SWISH_LOW, _INF, 0.0, "both", True, _CROSSES,
            monotone=False, curvature=0.5,
        ),
        Activation(
            "gelu", lambda z: jax.nn.gelu(z, approximate=False), _GELU_LOW, _INF, 0.0, "both",
            True, _CROSSES, monotone=False, curvature=0.798,
        ),
        Activation(
            "abs", jnp.abs, 0.0, _INF, 0.0, "non-negative", True, _CROSSES,
            monotone=False, kinks=(0.0,),
        ),
        Activation(
            "softsign", jax.nn.soft_sign, -1.0, 1.0, 0.0, "both", True, _CROSSES,
            kinks=(0.0,), curvature=2.0,
        ),
    )
}  # fmt: skip


def describe(name: str) -> Activation:
    """Return the catalogue's entry for `name`, which may begin with `lift:` or `shift:`.

    Raises ValueError, naming the nearest valid names, for an unknown name and for a shift of an
    activation that is unbounded below.
    """
    prefix, _, rest = name.partition(":")
    if name in CATALOGUE:
        return CATALOGUE[name]
    if prefix not in ("lift", "shift"):
        prefix, rest = "", name
    if _is_own(rest):
        base = _own(rest)
    elif prefix and rest in CATALOGUE:
        base = CATALOGUE[rest]
    else:
        raise _unknown(name)
    return {"lift": _lifted, "shift": _shifted}.get(prefix, lambda entry: entry)(base)


def get(name: str) -> Callable[[jax.Array], jax.Array]:
    """Return the function of that name: `[..., K] -> [..., K]`, `[..., K + 1]` for `lift:`.

    Raises ValueError as `describe` does.
    """
    return describe(name).function


def _known(name: str) -> str:
    """Check the name of an activation; an empty name leaves the choice to another setting."""
    try:
        _ = name and describe(name)
    except BadInput as error:
        return f"names an {error}"
    return ""


def _shape_kept(name: str) -> str:
    """Check the name of an activation that must not add a coordinate."""
    if wrong := _known(name):
        return wrong
    added = name and describe(name).extra
    return f"is {name!r}, which adds a coordinate, and there is no room for one" if added else ""


Name = Annotated[str, _known]  # of an activation
Plain = Annotated[str, _shape_kept]  # of one that keeps the width


def names() -> list[str]:
    """List every valid name: plain, lifted, and shifted where a shift exists."""
    plain = list(CATALOGUE)
    shifts = [f"shift:{n}" for n, a in CATALOGUE.items() if a.low > -_INF]
    return plain + [f"lift:{n}" for n in plain] + shifts


def _unknown(name: str, why: str = "") -> BadInput:
    near = difflib.get_close_matches(name, names(), n=3, cutoff=0.4)
    return BadInput(
        f"unknown activation {name!r}{why}; nearest: {', '.join(near or names())}"
        " (prefix lift: or shift: to keep a code from being zero; module:function for your own)"
    )


def _is_own(name: str) -> bool:
    return ":" in name and name.partition(":")[0] not in ("lift", "shift")


def _own(name: str) -> Activation:
    """Import `module:function`, of which nothing is known. Raises BadInput if it cannot be."""
    module, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
        shape = jax.eval_shape(function, jax.ShapeDtypeStruct((2, 3), jnp.float32)).shape
    except Exception as error:  # whatever the module or the function does
        why = (str(error).splitlines() or [""])[0]
        raise _unknown(name, f" ({type(error).__name__}: {why})") from error
    if shape != (2, 3):
        raise BadInput(f"activation {name!r} is not elementwise: [2, 3] becomes {list(shape)}")
    return Activation(
        name, function, -_INF, _INF, math.nan, "both", True, "nothing is known of it",
        monotone=False, curvature=_INF, known=False,
    )  # fmt: skip


def _lifted(base: Activation) -> Activation:
    def lift(z: jax.Array) -> jax.Array:
        values = base.function(z)
        return jnp.concatenate([jnp.full_like(values[..., :1], LIFT), values], axis=-1)

    return base._replace(
        name=f"lift:{base.name}",
        function=lift,
        vanishes=False,
        theory=f"B: order exactly that of {base.name}, and never zero, for one more coordinate",
        extra=1,
    )


def _shifted(base: Activation) -> Activation:
    if base.low == -_INF:
        raise BadInput(
            f"shift:{base.name} cannot keep away from zero, {base.name} is unbounded below;"
            f" nearest: lift:{base.name}"
        )
    by = 1.0 if base.name == "elu" else max(0.0, -base.low) + SHIFT
    function = lambda z: base.function(z) + by  # noqa: E731
    if base.name == "elu":  # elu + 1 would cancel to 0 at -17 already
        function = lambda z: jnp.where(z > 0, z + 1.0, jnp.exp(jnp.minimum(z, 0.0)))  # noqa: E731
    return base._replace(
        name=f"shift:{base.name}",
        function=function,
        low=base.low + by,
        high=base.high + by,
        at_zero=base.at_zero + by,
        sign="positive",
        vanishes=False,
        theory=f"B: never zero, but the order is no longer that of {base.name}",
    )
