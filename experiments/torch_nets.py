"""Models of the peer, in PyTorch: library layers, a class for each model.

Each has the sizes and the objective of its paper, or of the authors' code where it says so.
"""

import abc
import itertools

import numpy as np
import scipy.sparse
import torch
from torch import nn
from torch.nn import functional as F

from aerec.core import Table, Traits
from aerec.errors import BadInput, nearest


class Net(nn.Module, abc.ABC):
    """A model of the peer: `refeeds` after each update, and its optimiser at a constant rate."""

    refeeds = 0

    def optimiser(self, rate: float) -> torch.optim.Optimizer:
        """Make the optimiser."""
        return torch.optim.Adam(self.parameters(), lr=rate)

    def read(self, block: scipy.sparse.csr_matrix):
        """Return what the model reads of rows: a dense block [B, N]."""
        return torch.FloatTensor(block.toarray())

    @abc.abstractmethod
    def loss(self, x, step: int, rows: np.ndarray) -> torch.Tensor:
        """Compute the loss of an update.

        Args:
          x: what `read` returned.
          step: the number of the update.
          rows: numbers of the rows in training.
        """

    def score(self, x, rows: np.ndarray) -> torch.Tensor:
        """Score all items for rows as `read` returns them: [B, N]."""
        return self(x)


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
            assert isinstance(layer, nn.Linear)
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


class SVAE(Net):
    """A GRU of 200 over vectors of 256, codes of 64; the next four items, as in the authors' code.

    The likelihood is a sum over the steps, divided by four; the KL term is a mean over them, its
    weight min(.2, step / 20,000); the noise has the deviation exp(log_variance). Items are ranked
    by the state after the last one.
    """

    ahead = 4

    def __init__(self, items: int):
        super().__init__()
        self.vectors, self.gru = nn.Embedding(items, 256), nn.GRU(256, 200)
        self.encoder = nn.Sequential(nn.Linear(200, 150), nn.Tanh(), nn.Linear(150, 128))
        self.decoder = nn.Sequential(nn.Linear(64, 150), nn.Tanh(), nn.Linear(150, items))

    def optimiser(self, rate: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=rate, weight_decay=5e-3)

    def read(self, block: scipy.sparse.csr_matrix):
        """Return the histories of the rows, in the order of the table."""
        return [torch.from_numpy(own.astype(np.int64))
                for own in np.split(block.indices, block.indptr[1:-1])]  # fmt: skip

    def forward(self, history: torch.Tensor):
        states = self.gru(self.vectors(history))[0]
        mean, log_variance = self.encoder(states).chunk(2, dim=1)
        z = mean
        if self.training:
            z = mean + torch.randn_like(mean) * torch.exp(log_variance)
        return z, mean, log_variance

    def loss(self, x: list[torch.Tensor], step: int, rows: np.ndarray) -> torch.Tensor:
        return torch.stack([self.of_one(own, step) for own in x if len(own) > 1]).mean()

    def of_one(self, history: torch.Tensor, step: int) -> torch.Tensor:
        """Compute the loss of one history."""
        z, mean, log_variance = self(history[:-1])
        log_chance = F.log_softmax(self.decoder(z), dim=1)
        following = F.pad(history[1:], (0, self.ahead - 1), value=-1).unfold(0, self.ahead, 1)
        picked = log_chance.gather(1, following.clamp(min=0)) * (following >= 0)
        kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(dim=1).mean()
        return -picked.sum() / self.ahead + min(0.2, step / 20_000) * kl

    def score(self, x: list[torch.Tensor], rows: np.ndarray) -> torch.Tensor:
        return self.decoder(torch.stack([self(own)[0][-1] for own in x]))


def build(model: str, traits: Traits, table: Table, batch_size: int) -> Net:
    """Build the peer's model for a training table.

    Args:
      model: its name in `aerec.models`.
      traits: of this project's model; its `l2` and `refeeds` are the peer's too, if it has them.
      batch_size: an update of I-AutoRec has a part of the decay, for each batch of an epoch.

    Raises:
      BadInput: the peer has no model of that name.
    """
    rows, columns = table.num_rows, table.num_columns
    nets = {
        "multvae": lambda: MultVAE(columns),
        "multdae": lambda: MultDAE(columns, rows),
        "cdae": lambda: CDAE(columns, rows),
        "deeprec": lambda: DeepRec(columns, traits.refeeds),
        "autorec": lambda: AutoRec(columns, traits.l2, -(-rows // batch_size)),
        "svae": lambda: SVAE(columns),
    }
    if model not in nets:
        raise BadInput(f"the peer has no {model!r}. {nearest(model, nets)}")
    return nets[model]()
