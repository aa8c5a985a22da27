"""Whether a trained linear autoencoder is a principal component analysis (PCA) of its rows.

Baldi, Hornik: *Neural networks and principal component analysis*, 1989: at the minimum of the
squared error the decoder of K units spans the first K principal directions. Figures: `explained`,
the share of the rows' variance that the autoencoder explains, and `explained_pca`, that of K
components, the most that is possible; `angle_largest`, `angle_median`, in degrees, of the principal
angles between the decoder's span and the first K directions; `overlap`, the mean squared cosine.
"""

import dataclasses
import pathlib

import numpy as np
import scipy.linalg
import scipy.sparse

from aerec.host_table import on_device
from aerec.runs import artefact
from experiments import fixed_points
from experiments.records import Record


def measure(run: Record, workdir: pathlib.Path) -> list[Record]:
    """Add the comparison with PCA to the record of a run of `dae`, linear and without noise."""
    loaded = artefact.load(workdir)
    table = on_device(fixed_points.split_of(loaded).train)
    rows = scipy.sparse.csr_array(
        (np.asarray(table.values), np.asarray(table.columns), np.asarray(table.indptr)),
        shape=(table.num_rows, table.num_columns),
    )
    params = {name: np.asarray(value, np.float64) for name, value in loaded.params.items()}
    return [dataclasses.replace(run, figures={**run.figures, **compared(rows, params)})]


def compared(rows: scipy.sparse.csr_array, params: dict[str, np.ndarray]) -> dict[str, float]:
    """Compare x -> (x E + c) D' + d with the PCA of the rows [U, N].

    Args:
      params: `encoder` E and `decoder` D [N, K], `latent_bias` c [K], `output_bias` d [N].
    """
    count, mean = rows.shape[0], np.asarray(rows.mean(axis=0)).ravel()
    covariance = (rows.T @ rows).toarray().astype(np.float64) / count - np.outer(mean, mean)
    encoder, decoder = params["encoder"], params["decoder"]
    latent = encoder.shape[1]
    values, directions = scipy.linalg.eigh(
        covariance, subset_by_index=(len(mean) - latent, len(mean) - 1)
    )
    product = covariance @ encoder  # of the residual's covariance, by terms
    offset = mean - (mean @ encoder + params["latent_bias"]) @ decoder.T - params["output_bias"]
    left = np.trace(covariance) - 2 * np.sum(product * decoder) + offset @ offset
    left += np.sum((encoder.T @ product) * (decoder.T @ decoder))
    angles = np.degrees(scipy.linalg.subspace_angles(decoder, directions))
    return {
        "explained": 1 - left / np.trace(covariance),
        "explained_pca": values.sum() / np.trace(covariance),
        "angle_largest": angles.max(),
        "angle_median": float(np.median(angles)),
        "overlap": float(np.mean(np.cos(np.radians(angles)) ** 2)),
    }
