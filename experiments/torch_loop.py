"""The plain PyTorch script that people train these models with: dense batches, one Python loop.

A peer for `experiments.benchmark`, written as the field's public scripts are: the sparse matrix
turned dense batch by batch on the host, library layers, Adam at a constant rate.
"""

import time
from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse
import torch
from torch import nn
from torch.nn import functional as F


class MultVAE(nn.Module):
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

    def loss(self, x: torch.Tensor, step: int) -> torch.Tensor:
        logits, mean, log_variance = self(x)
        nll = -(F.log_softmax(logits, dim=1) * x).sum(dim=1).mean()
        kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(dim=1).mean()
        return nll + min(0.2, step / 200_000) * kl

    def score(self, x: torch.Tensor) -> torch.Tensor:
        return self(x)[0]


class AutoRec(nn.Module):
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

    def loss(self, x: torch.Tensor, step: int) -> torch.Tensor:
        del step
        error = ((self(x) - x) * (x > 0).float()).pow(2).sum()
        weights = self.encoder.weight.pow(2).sum() + self.decoder.weight.pow(2).sum()
        return error + self.l2 / 2 * weights

    score = forward


def epochs(
    net, matrix: scipy.sparse.csr_matrix, batch_size: int, learning_rate: float, seed: int
) -> Iterator[float]:
    """Trains for ever; yields the seconds of each epoch."""
    torch.manual_seed(seed)
    optimiser = torch.optim.Adam(net.parameters(), lr=learning_rate)
    rng, rows, step = np.random.default_rng(seed), matrix.shape[0], 0
    while True:
        begun = time.perf_counter()
        net.train()
        order = rng.permutation(rows)
        for start in range(0, rows, batch_size):
            x = torch.FloatTensor(matrix[order[start : start + batch_size]].toarray())
            optimiser.zero_grad()
            net.loss(x, step).backward()
            optimiser.step()
            step += 1
        yield time.perf_counter() - begun


@torch.no_grad()
def scores(net, matrix: scipy.sparse.csr_matrix, batch_size: int) -> Iterator[np.ndarray]:
    """Blocks of scores [B, N] for the rows of `matrix`, in order."""
    net.eval()
    for start in range(0, matrix.shape[0], batch_size):
        yield net.score(torch.FloatTensor(matrix[start : start + batch_size].toarray())).numpy()


def product_rate(rows: int, columns: int, features: int, repeats: int = 10) -> float:
    """Floating-point operations a second of this library's float32 matrix product."""
    a, b = torch.randn(rows, columns), torch.randn(columns, features)
    return 2 * rows * columns * features / fastest(lambda: a @ b, repeats)


def fastest(function: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of `repeats` calls."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        function()
        times.append(time.perf_counter() - begun)
    return min(times)
