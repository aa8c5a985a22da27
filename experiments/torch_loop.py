"""A plain PyTorch loop, the peer of the benchmark: dense batches, one Python loop.

A peer for `experiments.benchmark`, written as the field's public scripts are: the sparse matrix
turned dense batch by batch on the host, library layers, Adam at a constant rate.
"""

import itertools
import time
from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse
import torch
from torch import nn
from torch.nn import functional as F

from aerec.core import Table


class Net(nn.Module):
    """A model of the peer: `refeeds` after each update, and its optimiser at a constant rate."""

    refeeds = 0

    def optimiser(self, rate: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=rate)


class MultVAE(Net):
    """I-600-200-600-I, tanh, dropout .5 on the normalised input; loss with beta .2."""

    def __init__(self, items: int):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(items, 600), nn.Tanh(), nn.Linear(600, 400))
        self.decoder = nn.Sequential(nn.Linear(200, 600), nn.Tanh(), nn.Linear(600, items))
        for layer in (*self.encoder, *self.decoder):
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor):
        hidden = F.dropout(F.normalize(x), 0.5, self.training)
        mean, log_variance = self.encoder(hidden).chunk(2, dim=1)
        z = mean
        if self.training:
            z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        return self.decoder(z), mean, log_variance

    def loss(self, x: torch.Tensor, step: int, rows: np.ndarray) -> torch.Tensor:
        logits, mean, log_variance = self(x)
        nll = -(F.log_softmax(logits, dim=1) * x).sum(dim=1).mean()
        kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(dim=1).mean()
        return nll + min(0.2, step / 200_000) * kl

    def score(self, x: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        return self(x)[0]


class MultDAE(Net):
    """I-200-I, tanh, dropout .5 on the normalised input; loss with lambda .2 of the weights."""

    def __init__(self, items: int, users: int):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(items, 200), nn.Linear(200, items)
        self.l2 = 0.2 / users
        for layer in (self.encoder, self.decoder):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = F.dropout(F.normalize(x), 0.5, self.training)
        return self.decoder(torch.tanh(self.encoder(hidden)))

    def loss(self, x: torch.Tensor, step: int, rows: np.ndarray) -> torch.Tensor:
        nll = -(F.log_softmax(self(x), dim=1) * x).sum(dim=1).mean()
        weights = self.encoder.weight.pow(2).sum() + self.decoder.weight.pow(2).sum()
        return nll + self.l2 / 2 * weights

    def score(self, x: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        return self(x)


class CDAE(Net):
    """I-200-I with a node for each user, sigmoid, corruption .5; logistic loss of all items."""

    def __init__(self, items: int, users: int):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(items, 200), nn.Linear(200, items)
        self.nodes = nn.Embedding(users, 200)
        for weight in (self.encoder.weight, self.decoder.weight, self.nodes.weight):
            nn.init.xavier_uniform_(weight)

    def forward(self, x: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        hidden = self.encoder(F.dropout(x, 0.5, self.training))
        return self.decoder(torch.sigmoid(hidden + self.nodes(torch.from_numpy(rows))))

    def loss(self, x: torch.Tensor, step: int, rows: np.ndarray) -> torch.Tensor:
        logits = self(x, rows)
        return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)

    score = forward


class DeepRec(Net):
    """N-128-256-256-256-128-N, SELU, dropout .65 of the code; masked squared error, one re-feed."""

    def __init__(self, columns: int, refeeds: int):
        super().__init__()
        widths = (columns, 128, 256, 256)
        layers = list(itertools.pairwise(widths)) + list(itertools.pairwise(widths[::-1]))
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in layers)
        self.refeeds = refeeds
        for layer in self.layers:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for place, layer in enumerate(self.layers):
            x = layer(x)
            if place < len(self.layers) - 1:
                x = F.selu(x)
            if place == len(self.layers) // 2 - 1:
                x = F.dropout(x, 0.65, self.training)
        return x

    def loss(self, x: torch.Tensor, step: int, rows: np.ndarray) -> torch.Tensor:
        listed = (x != 0).float()
        return ((self(x) - x) * listed).pow(2).sum() / listed.sum()

    def optimiser(self, rate: float) -> torch.optim.Optimizer:
        del rate  # the paper's
        return torch.optim.SGD(self.parameters(), lr=0.005, momentum=0.9)

    def score(self, x: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        return self(x)


class AutoRec(Net):
    """One sigmoid layer of 500, linear output; summed squared error and L2 on the weights."""

    def __init__(self, columns: int, l2: float, batches: int):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(columns, 500), nn.Linear(500, columns)
        for layer in (self.encoder, self.decoder):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.l2 = l2 / batches

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decoder(torch.sigmoid(self.encoder(x)))

    def loss(self, x: torch.Tensor, step: int, rows: np.ndarray) -> torch.Tensor:
        error = ((self(x) - x) * (x > 0).float()).pow(2).sum()
        weights = self.encoder.weight.pow(2).sum() + self.decoder.weight.pow(2).sum()
        return error + self.l2 / 2 * weights

    def score(self, x: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        return self(x)


def epochs(
    net, matrix: scipy.sparse.csr_matrix, batch_size: int, learning_rate: float, seed: int
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
            x = torch.FloatTensor(matrix[drawn].toarray())
            for again in range(1 + net.refeeds):
                if again:
                    with torch.no_grad():
                        x = net(x)
                optimiser.zero_grad()
                net.loss(x, step, drawn).backward()
                optimiser.step()
            step += 1
        yield time.perf_counter() - begun


@torch.no_grad()
def scores(
    net, matrix: scipy.sparse.csr_matrix, batch_size: int, rows: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield blocks of scores [B, N] for the rows of `matrix`, in order.

    `rows` are their numbers in training.
    """
    net.eval()
    for start in range(0, matrix.shape[0], batch_size):
        block = slice(start, start + batch_size)
        yield net.score(torch.FloatTensor(matrix[block].toarray()), rows[block]).numpy()


def matrix(table: Table) -> scipy.sparse.csr_matrix:
    """Convert a table to a SciPy matrix."""
    row, column, value = table.entries()
    return scipy.sparse.csr_matrix((value, (row, column)), (table.num_rows, table.num_columns))


def scorer(net, split) -> Callable[[], float]:
    """Return a function that computes N@100 or clipped RMSE on the validation rows, in NumPy."""
    source, target = matrix(split.valid.input), matrix(split.valid.target)
    rows = np.asarray(split.valid.rows, np.int64)
    if split.protocol["task"] == "ranking":
        return lambda: _ndcg(scores(net, source, 500, rows), source, target)
    low, high = split.scale

    def rmse() -> float:
        total, start = 0.0, 0
        for y in scores(net, source, 512, rows):
            block = target[start : start + len(y)].tocoo()
            total += ((np.clip(y[block.row, block.col], low, high) - block.data) ** 2).sum()
            start += len(y)
        return float(np.sqrt(total / target.nnz))

    return rmse


def _ndcg(blocks, source, target, k: int = 100) -> float:
    """Compute truncated NDCG (Liang et al. 2018)."""
    discount, total, rows, start = 1 / np.log2(np.arange(2, k + 2)), 0.0, 0, 0
    for y in blocks:
        seen, held = source[start : start + len(y)], target[start : start + len(y)]
        y[seen.nonzero()] = -np.inf
        top = np.argpartition(-y, k, axis=1)[:, :k]
        top = np.take_along_axis(top, np.argsort(-np.take_along_axis(y, top, 1), 1), 1)
        hits = np.take_along_axis(held.toarray() > 0, top, 1)
        counts = np.diff(held.indptr)
        ideal = np.append(0, np.cumsum(discount))[np.minimum(counts, k)]
        total += ((hits @ discount)[counts > 0] / ideal[counts > 0]).sum()
        rows += (counts > 0).sum()
        start += len(y)
    return total / rows
