"""Any callable as an encoder, evaluated in its own precision and in float64."""

import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np

from aerec.properties import order
from aerec.properties.domain import whole

COARSE = (jnp.float16, jnp.bfloat16)  # formats narrower than float32, finer ones first
_CONSTANTS = (  # JAX lowers a captured array once, in the first of the two precisions
    "JAX cannot compile the encoder in float32 and in float64: it captures a NumPy array of"
    " float64. Write `jnp.asarray(array)` for it inside the encoder"
)
_SMALL, _LARGE = 32, 512  # float64 evaluations are padded to these row counts: two compilations


class Encoder(NamedTuple):
    """An encoder `f: R^n -> R^m` as a black box.

    `native` and `exact` do not check for NaN; `check_finite` does.

    Attributes:
      single: [n] -> [m], differentiable if `traceable`.
      native: [B, n] -> [B, m] in the precision of use: float32 with matrix products at the highest
        precision, or float64 for a NumPy callable.
      exact: the same in float64, from and to NumPy.
      n, m: dimensions of input and code.
      eps: machine epsilon of native codes.
      untraced: why JAX cannot trace the callable; empty if it can.
    """

    single: Callable[[jax.Array], jax.Array]
    native: Callable[[Any], Any]
    exact: Callable[[np.ndarray], np.ndarray]
    n: int
    m: int
    eps: float
    untraced: str = ""

    @property
    def traceable(self) -> bool:
        return not self.untraced


class Failed(ValueError):
    """The encoder itself raised an error; the message has its text and the shape of the input."""


def wrap(encode: Callable[[Any], Any], example: Any, *, batched: bool = False) -> Encoder:
    """Wrap a callable as an `Encoder`.

    A callable that JAX cannot trace is called row by row with NumPy float64 vectors; `untraced`
    gives the reason.

    Args:
      encode: from one vector [n], from rows [B, n] if `batched`, or from a pytree like `example`.
        Its result, flattened, is the code.
      example: the dimension n, or a pytree with the structure and shapes of the input.
      batched: whether `encode` takes rows.

    Raises:
      ValueError: two calls on the same input differ (dropout left on?), the code of a row depends
        on the other rows, or the result is no code: empty, text, complex, or of varying size.
      Failed: the callable raises an error on NumPy arrays too.
    """
    encode = _reporting(encode)
    if isinstance(example, numbers.Number):
        flat, unravel = jnp.zeros(whole(example, "the dimension"), jnp.float32), None
    else:
        flat, unravel = jax.flatten_util.ravel_pytree(
            jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), example)
        )
    n = int(flat.shape[0])

    def plain(x):
        if unravel is not None:
            x = unravel(x)
        elif batched:
            return real(jnp.ravel(encode(x[None])[0]))
        return real(jax.flatten_util.ravel_pytree(encode(x))[0])

    def real(code):  # integers and booleans are codes too
        return code if jnp.issubdtype(code.dtype, jnp.inexact) else code.astype(jnp.float32)

    def wide(code):  # so that margins are not computed in half precision
        return code.astype(jnp.float32) if code.dtype.itemsize < 4 else real(code)

    def single(x):
        return wide(plain(x))

    try:
        with jax.default_matmul_precision("highest"):
            shape = jax.eval_shape(plain, flat)
            block = jax.eval_shape(encode, jnp.zeros((2, n))) if batched and not unravel else None
    except Exception as error:  # NumPy and other libraries cannot take JAX tracers
        return _on_host(encode, unravel, n, batched, why=_first_line(error))
    _require_codes(shape.dtype, shape.shape)
    if block is not None and (block.ndim < 1 or block.shape[0] != 2):
        raise ValueError(_rows_wanted(block.shape))
    rows = jax.jit(lambda x: encode(x) if batched and unravel is None else jax.vmap(single)(x))

    def native(x):
        points = _padded(x) if isinstance(x, np.ndarray) and len(x) else x
        with jax.default_matmul_precision("highest"):
            codes = rows(points)
        codes = wide(codes.reshape(len(points), -1))
        return codes if points is x else np.asarray(codes)[: len(x)]

    def exact(x):
        try:
            with jax.enable_x64(True), jax.default_matmul_precision("highest"):
                return _in_pieces(lambda part: np.asarray(rows(jnp.asarray(part))), x)
        except ValueError as error:
            if "Cannot lower jaxpr" not in str(error):
                raise
            raise Failed(_CONSTANTS) from error

    eps = float(jnp.finfo(shape.dtype).eps)
    if block is not None:
        _require_independent(lambda x: native(np.asarray(x, np.float32)), n, eps)
    return Encoder(single, native, exact, n, int(np.prod(shape.shape)), eps)


def _reporting(encode: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Wrap `encode` so that its errors are raised as Failed."""

    def reporting(x):
        try:
            return encode(x)
        except Exception as error:
            shapes = ", ".join(str(np.shape(leaf)) for leaf in jax.tree.leaves(x))
            kind, why = type(error).__name__, _first_line(error)
            raise Failed(f"called on shape {shapes}, the encoder raised {kind}: {why}") from error

    return reporting


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["no message"])[0]


def _require_codes(dtype: Any, shape: tuple[int, ...]) -> None:
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"the encoder returns {dtype}: a code is an array of real numbers")
    if not np.prod(shape):
        raise ValueError("the encoder returns nothing: a code has at least one coordinate")


def _rows_wanted(shape: tuple[int, ...]) -> str:
    return f"the encoder takes rows [B, n] and is to return [B, m]; for two rows it gave {shape}"


def _require_independent(rows: Callable[[np.ndarray], Any], n: int, eps: float) -> None:
    """Raise ValueError unless each row has the same code alone and in another order."""
    probe = np.linspace(-1.0, 1.0, 3 * n).reshape(3, n)
    codes, turned = np.asarray(rows(probe)), np.asarray(rows(probe[::-1]))[::-1]
    alone = np.concatenate([np.asarray(rows(probe[i : i + 1])) for i in range(3)])
    for others in (turned, alone):
        require_alike(codes, others, eps)


def require_alike(codes: np.ndarray, others: np.ndarray, eps: float) -> None:
    """Raise ValueError unless rows [B, m] have the same codes beside other rows."""
    room = 1e3 * eps * abs(codes).max(initial=0, where=np.isfinite(codes))
    if not np.allclose(codes, others, rtol=0, atol=room, equal_nan=True):
        raise ValueError(
            "a row's code depends on the rows beside it or on their number (batch statistics left"
            " on?): no function of one vector"
        )


def resolution(codes: np.ndarray, *formats: Any) -> float:
    """Return the epsilon of the effective precision of float64 codes.

    It is that of the coarsest of float32 and `formats` that holds all codes. Integers, halves and
    the like may be exact: a format that holds them with one exponent is not counted.
    """
    found = float(np.finfo(np.float64).eps)
    top = 2.0 ** np.floor(np.log2(order.safe(abs(codes).max(initial=0.0))))
    for kind in (np.float32, *formats):
        eps = float(jnp.finfo(kind).eps)
        with np.errstate(over="ignore", invalid="ignore"):
            fits = (codes.astype(kind).astype(np.float64) == codes).all()
            exact = (np.rint(codes / (top * eps)) * (top * eps) == codes).all()
        if fits and not exact:
            found = max(found, eps)
    return found


def check_finite(codes: Any, points: Any, where: str) -> None:
    """Raise ValueError, with the first offending input, unless every code is finite."""
    bad = ~np.isfinite(np.asarray(codes)).all(axis=-1)
    if bad.any():
        first = int(np.argmax(bad))
        shown = np.array2string(np.asarray(points)[first], precision=4, threshold=12)
        raise ValueError(
            f"the encoder returned NaN or infinity for {int(bad.sum())} of {len(bad)} inputs"
            f" ({where}); the first of them is {shown}. Order is undefined there: restrict the"
            " domain or repair the encoder"
        )


def require_same(codes: Any, others: Any, eps: float) -> None:
    """Raise ValueError unless two evaluations of an encoder agree but for rounding."""
    codes, others = np.asarray(codes, np.float64), np.asarray(others, np.float64)
    room = 1e3 * eps * abs(codes).max(initial=0, where=np.isfinite(codes))
    if not np.allclose(codes, others, rtol=0, atol=room, equal_nan=True):
        raise ValueError(
            "the encoder is not a function: traced twice, it has two codes for one input (random"
            " numbers of NumPy, or a state that changes?)"
        )


def finite_codes(encoder: Encoder, points: Any, where: str) -> np.ndarray:
    """Encode points [B, n] in the precision of use; raise ValueError unless all are finite."""
    points = np.asarray(points, np.float32 if encoder.traceable else np.float64)
    codes = np.asarray(encoder.native(points))
    check_finite(codes, points, where)
    return codes


def _padded(x: np.ndarray) -> np.ndarray:
    """Repeat the last row up to a power of two rows, so that few shapes are compiled."""
    missing = max(_SMALL, 1 << (len(x) - 1).bit_length()) - len(x)
    return np.concatenate([x, np.repeat(x[-1:], missing, axis=0)]) if missing else x


def _in_pieces(rows: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """Evaluate rows in pieces of one of two static sizes, padded with the last row."""
    x = np.asarray(x, np.float64)
    size = _SMALL if len(x) <= _SMALL else _LARGE
    out = []
    for start in range(0, len(x), size):
        part = x[start : start + size]
        padded = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
        out.append(rows(padded)[: len(part)].astype(np.float64).reshape(len(part), -1))
    return np.concatenate(out)


def _on_host(
    encode: Callable, unravel: Callable | None, n: int, batched: bool, *, why: str
) -> Encoder:
    """Wrap a callable that JAX cannot trace: NumPy float64 in, row by row unless `batched`."""

    def one(row):
        value = encode(row if unravel is None else jax.tree.map(np.asarray, unravel(row)))
        leaves = [np.ravel(np.asarray(leaf)) for leaf in jax.tree.leaves(value)]
        return real(np.concatenate(leaves or [np.zeros(0)]))

    def real(code):
        whole = code.dtype.kind in "biu"
        code = code.astype(np.float64) if whole else code
        _require_codes(code.dtype, code.shape)
        return code

    def rows(x):
        x = np.array(x, np.float64)
        if batched and unravel is None:
            codes = real(np.asarray(encode(x)))
            if codes.ndim < 1 or len(codes) != len(x):
                raise ValueError(_rows_wanted(codes.shape).replace("two", str(len(x))))
            return codes.reshape(len(x), -1)
        codes = [one(row) for row in x]
        if len(sizes := {len(code) for code in codes}) > 1:
            raise ValueError(f"codes of different sizes, {sorted(sizes)}: the encoder has no one m")
        return np.stack(codes)

    probe = np.linspace(-1.0, 1.0, 2 * n).reshape(2, n)
    first, second = rows(probe), rows(probe)
    if not np.array_equal(first, second, equal_nan=True):
        raise ValueError("the encoder is not a function: two calls on one input differ (dropout?)")

    if batched and unravel is None:
        _require_independent(rows, n, float(jnp.finfo(first.dtype).eps))

    def exact(x):
        return rows(x).astype(np.float64)

    return Encoder(one, rows, exact, n, first.shape[1], float(jnp.finfo(first.dtype).eps), why)
