"""A plain PyTorch loop, the peer of the benchmark: dense batches, one Python loop.

Written as the field's public scripts are: the sparse matrix turned dense batch by batch on the
host, the models of `experiments.torch_nets`, a constant rate, and for evaluation dense scores, a
mask and `topk`.
"""

import os
import time
from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse
import torch

from aerec.core import Table
from aerec.data.splits import Heldout, Split
from experiments.torch_nets import Net


def use_all_cores() -> int:
    """Give PyTorch a thread for each core that this process may use; return their number."""
    cores = len(getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0))
    torch.set_num_threads(cores)
    return cores


def epochs(
    net: Net, matrix: scipy.sparse.csr_matrix, batch_size: int, learning_rate: float, seed: int
) -> Iterator[float]:
    """Train without end; yield the seconds of each epoch."""
    torch.manual_seed(seed)
    optimiser = net.optimiser(learning_rate)
    rng, rows, step = np.random.default_rng(seed), matrix.shape[0], 0
    while True:
        begun = time.perf_counter()
        net.train()
        order = rng.permutation(rows)
        for start in range(0, rows, batch_size):
            drawn = order[start : start + batch_size]
            x = net.read(matrix[drawn])
            for again in range(1 + net.refeeds):
                if again:
                    with torch.no_grad():
                        x = net(x)
                optimiser.zero_grad()
                net.loss(x, step, drawn).backward()
                optimiser.step()
            step += 1
        yield time.perf_counter() - begun


def matrix(table: Table) -> scipy.sparse.csr_matrix:
    """Convert a table to a SciPy matrix, the entries of a row in their order."""
    columns, values = np.asarray(table.columns), np.asarray(table.values)
    indptr = np.asarray(table.indptr)
    return scipy.sparse.csr_matrix((values, columns, indptr), (table.num_rows, table.num_columns))


def scorer(net: Net, split: Split, part: Heldout, k: int = 100) -> Callable[[], float]:
    """Return a function that computes NDCG@k or clipped RMSE on a held-out part.

    The matrices are made here, so that the function does not count them.
    """
    source, target = matrix(part.input), matrix(part.target)
    rows = np.asarray(part.rows, np.int64)
    if split.protocol["task"] == "ranking":
        return lambda: ndcg(net, source, target, rows, k)
    assert split.scale is not None
    low, high = split.scale
    return lambda: rmse(net, source, target, rows, low, high)


@torch.no_grad()
def ndcg(
    net: Net, source: scipy.sparse.csr_matrix, target: scipy.sparse.csr_matrix, rows: np.ndarray,
    k: int, batch_size: int = 500,
) -> float:  # fmt: skip
    """Compute truncated NDCG@k (Liang et al. 2018), the mean over rows with targets.

    Args:
      source, target: what the model reads of the rows, and what is held out.
      rows: their numbers in training.
      k: at most the number of columns.
    """
    net.eval()
    discount = 1 / torch.log2(torch.arange(2.0, k + 2))
    best = torch.cat([torch.zeros(1), discount.cumsum(0)])
    total, counted = 0.0, 0
    for start in range(0, source.shape[0], batch_size):
        block = slice(start, start + batch_size)
        y = net.score(net.read(source[block]), rows[block])
        seen, held = source[block].nonzero(), torch.from_numpy(target[block].toarray() > 0)
        y[torch.from_numpy(seen[0]).long(), torch.from_numpy(seen[1]).long()] = -torch.inf
        hits = held.gather(1, y.topk(k).indices).float()
        some = held.any(dim=1)
        gains = (hits @ discount)[some] / best[held.sum(dim=1).clamp(max=k)[some]]
        total, counted = total + float(gains.sum()), counted + int(some.sum())
    return total / counted


@torch.no_grad()
def rmse(
    net: Net, source: scipy.sparse.csr_matrix, target: scipy.sparse.csr_matrix, rows: np.ndarray,
    low: float, high: float, batch_size: int = 500,
) -> float:  # fmt: skip
    """Compute the RMSE of predictions that are clipped to the scale; all else as of `ndcg`."""
    net.eval()
    total = 0.0
    for start in range(0, source.shape[0], batch_size):
        block = slice(start, start + batch_size)
        y = net.score(net.read(source[block]), rows[block]).clamp(low, high).numpy()
        held = target[block].tocoo()
        total += float(((y[held.row, held.col] - held.data) ** 2).sum())
    return float(np.sqrt(total / target.nnz))
