"""Settings of training that all models share."""

from typing import Literal

from aerec.configuration import Count, Natural, Part, Share, Weight, settings
from aerec.errors import BadInput


@settings
class Settings:
    """Hyper-parameters of training. Raises BadInput for a value that is not valid."""

    epochs: Count = 100  # passes over the training rows
    batch_size: Count = 500  # most rows in a batch; with buckets, of mean length
    buckets: Count = 1  # shapes of batches, by the length of rows; 1: rows mix
    optimiser: Literal["adam", "rprop", "sgd", "adagrad"] = "adam"  # the optimiser
    learning_rate: Weight = 1e-3  # the highest learning rate
    momentum: Share = 0.9  # of sgd
    schedule: Literal["constant", "cosine", "step"] = "constant"  # cosine: to zero
    milestones: tuple[Count, ...] = ()  # epochs after which the rate of the step schedule falls
    gamma: Part = 0.5  # factor of the step schedule at each milestone
    warmup: Share = 0.0  # share of all steps over which the rate rises from zero
    softmax: Literal["auto", "full", "sampled"] = "auto"  # auto: sampled from 100,000 columns on
    candidates: Count = 8192  # columns drawn for each update of a sampled softmax
    evaluate_every: Count = 1  # epochs between evaluations
    patience: Natural = 0  # evaluations without improvement before a replica stops; 0: never
    metric: str = "ndcg@100"  # the validation figure by which the best epoch is selected

    def __post_init__(self) -> None:
        if (self.schedule == "step") != bool(self.milestones):
            raise BadInput("schedule=step and milestones, like 20,40, go together")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise BadInput(f"milestones are ascending epochs, not {self.milestones}")
