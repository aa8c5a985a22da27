"""What the theory says of zeros: Proposition 1, Lemma 1, and theorem C for one layer."""

from typing import Any

import numpy as np
import scipy  # whose packages are imported where they are first used

from aerec.properties import order
from aerec.properties.encoder import Encoder


def one_layer(weight: Any, bias: Any, *, region: str = "point") -> np.ndarray | None:
    """Find `x != 0` with `f(x) = a(W x + b) = 0` for one layer, by theorem C.

    Args:
      weight: W, [m, n].
      bias: b, [m].
      region: "point" for activations that vanish at 0 alone (tanh, identity, ELU, leaky ReLU, ...):
        `x = -W^+ b`, or a null vector of W if `b = 0`. "negative" for those that vanish on all of
        (-inf, 0] (ReLU, ReLU6): `W x + b <= 0` by linear programming, with the largest slack.

    Returns:
      x [n] float64; None if there is none, which never happens for a full-rank W with m < n.
    """
    weight, bias = np.asarray(weight, np.float64), np.asarray(bias, np.float64)
    m, n = weight.shape
    if region == "negative":
        # maximise the depth t: W x + t <= -b, t <= 1, |x| <= big
        result = scipy.optimize.linprog(
            np.append(np.zeros(n), -1.0),
            A_ub=np.column_stack([weight, np.ones(m)]),
            b_ub=-bias,
            bounds=[(None, None)] * n + [(None, 1.0)],
        )
        if result.status == 0 and result.x[-1] >= 0:
            x = result.x[:-1]
            if x.any():
                return x
            nearby = 1e-3 * result.x[-1] / max(1.0, abs(weight).sum(axis=1).max())
            if nearby > 0:
                return np.full(n, nearby)
        return None if result.status != 0 or result.x[-1] < 0 else _null_vector(weight)
    x = -np.linalg.pinv(weight) @ bias
    if abs(weight @ x + bias).max(initial=0.0) > 1e-9 * max(1.0, abs(bias).max(initial=0.0)):
        return None
    return x if abs(bias).max(initial=0.0) > 0 and x.any() else _null_vector(weight)


def proposition_1(encoder: Encoder, points: np.ndarray) -> dict[str, float]:
    """Measure what P2, P3 and m < n imply: `f(0) != 0`, and Eq. 1, `<f(0), f(u)> = |f(0)|^2`.

    Args:
      points: u, [N, n].

    Returns:
      norm_at_zero: |f(0)|.
      residual: root mean square over u of `<f(0), f(u) - f(0)>`, over `|f(0)| max |f|`; the
        distance of the image from the hyperplane of Eq. 1.
    """
    origin = encoder.exact(np.zeros((1, encoder.n)))[0]
    codes = encoder.exact(points)
    size = order.safe(np.linalg.norm(origin)) * order.safe(np.linalg.norm(codes, axis=1).max())
    gap = (codes - origin) @ origin / size
    return {
        "norm_at_zero": float(np.linalg.norm(origin)),
        "residual": float(np.sqrt(np.mean(gap**2))),
    }


def lemma_1(encoder: Encoder, basis: np.ndarray | None = None) -> dict[str, Any]:
    """Compute the Gram matrix of the images of an orthogonal basis (Lemma 1).

    If orthogonality and P3 are both preserved, the rank is k, so that k <= m.

    Args:
      basis: [k, n]; default: the first standard basis vectors, at most 512.

    Returns:
      gram: [k, k] cosines, 0 for a zero image.
      largest_off_diagonal, zero_images, rank: of these cosines, the number of zero images, the
        rank.
    """
    if basis is None:
        basis = np.eye(min(encoder.n, 512), encoder.n)
    images = order.unit(encoder.exact(basis))
    # The pivots of a QR decomposition: singular values take ten times as long.
    pivots = abs(np.diag(scipy.linalg.qr(images, mode="r", pivoting=True)[0]))
    gram = images @ images.T
    off = abs(gram - np.diag(np.diag(gram)))
    return {
        "gram": gram,
        "largest_off_diagonal": float(off.max()),
        "zero_images": int((~images.any(axis=1)).sum()),
        "rank": int((pivots > max(images.shape) * np.finfo(float).eps * pivots[0]).sum()),
    }


def _null_vector(weight: np.ndarray) -> np.ndarray | None:
    """Return a unit vector of the null space of W, or None if it contains only 0."""
    _, values, rows = np.linalg.svd(weight)
    rank = int((values > 1e-12 * values.max(initial=0.0)).sum())
    return rows[-1] if rank < weight.shape[1] else None
