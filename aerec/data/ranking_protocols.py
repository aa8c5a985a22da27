"""Protocols of clicks to rank: what is held out is clicks of each user, or whole users.

`threshold` is the lowest rating that is a click. "all" makes every rating a click. "auto" is what
the dataset states (`Ratings.click`: 8 for Anime, "all" for Last.fm) and otherwise 4. A split
records the threshold that it used. `protocols` states what holds for all.
"""

from typing import Literal

import numpy as np

from aerec.configuration import settings
from aerec.data import divide, mapped_split, parts
from aerec.data.divide import TEST, TRAIN, VALID, floor
from aerec.data.mapped import Mapped
from aerec.data.ratings import Ratings
from aerec.data.splits import Split, describe
from aerec.errors import BadInput

Threshold = float | Literal["all", "auto"]


@settings
class PerUserHoldout:
    """Hold out a random share of each user's clicks (weak generalisation; CDAE, Wu et al. 2016).

    Of a user's n clicks, m = floor((1 - test) n) are not in test. Of these, floor((1 - valid) m)
    are in training and the others in validation. At test time, the input and the masked items are
    the training clicks alone, so validation items are ranked.
    """

    threshold: Threshold = "auto"  # lowest rating that is a click; "all"; "auto": see above
    min_user: int = 5  # fewest clicks of a user
    min_item: int = 0  # fewest clicks of an item; both filters repeat until both hold (k-core)
    test: float = 0.2
    valid: float = 0.1
    keep_values: bool = False  # the input is the ratings, not 1 for each click
    split_seed: int = 0
    name, task, per_seed = "per_user_holdout", "ranking", False

    def __post_init__(self):
        divide.require_shares(self, "test", "valid")

    def split(self, ratings: Ratings, *, seed: int = 0) -> Split:
        protocol = divide.effective(self, ratings)
        ratings, notes = divide.clicks(
            protocol, ratings, min_item=self.min_item, keep_values=self.keep_values
        )
        rng = divide.generator(self)
        rank, count = divide.places(ratings.user, rng.permutation(len(ratings.user)))
        rest = floor(1 - self.test, count)
        part = np.where(rank >= rest, TEST, VALID)
        part[rank < floor(1 - self.valid, rest)] = TRAIN
        return parts.weak_split(protocol, ratings, part, notes, valid=self.valid)


@settings
class Strong:
    """Hold out whole users (strong generalisation; Liang et al. 2018, and their code).

    The columns are the items of the training users. Clicks of held-out users on other items are
    dropped. Of the n remaining clicks of a held-out user, a random floor((1 - fold_in) n) are the
    target, and the others are folded in. A user with n < 5 has no target.
    """

    threshold: Threshold = "auto"
    min_user: int = 5
    valid_users: float = 0.1  # a share of the users if below 1, else a count
    test_users: float = 0.1
    fold_in: float = 0.8
    split_seed: int = 0
    name, task, per_seed = "strong", "ranking", False

    def __post_init__(self):
        divide.require_shares(self, "fold_in")

    def split(self, ratings: Ratings | Mapped, *, seed: int = 0) -> Split:
        def target(user, draw):
            rank, count = divide.places(user, draw())
            return (count >= 5) & (rank < floor(1 - self.fold_in, count))

        if isinstance(ratings, Mapped):
            return mapped_split.strong_split(self, ratings, target)
        return parts.strong_split(self, ratings, target)


@settings
class StrongByTime:
    """Hold out whole users and predict their later clicks from the first floor(fold_in n).

    The protocol of SVAE (Sachdeva et al. 2019, and their code, which has threshold=3.5,
    valid_users=750, test_users=750). Everything else is as in `strong`.

    With order=shuffled, the split is the same, but each user's training or fold-in clicks come in
    random order: what a model of sequences loses by that, it owes to the order in time.
    """

    threshold: Threshold = "auto"
    min_user: int = 5
    valid_users: float = 0.1
    test_users: float = 0.1
    fold_in: float = 0.8
    order: Literal["time", "shuffled"] = "time"  # of what the model reads
    split_seed: int = 0
    name, task, per_seed = "strong_by_time", "ranking", False

    def __post_init__(self):
        divide.require_shares(self, "fold_in")

    def split(self, ratings: Ratings, *, seed: int = 0) -> Split:
        def target(user, draw):
            rank, count = divide.places(user)
            return (count >= 5) & (rank >= floor(self.fold_in, count))

        divide.times(self, ratings)
        shuffled = self.order == "shuffled"
        return parts.strong_split(self, ratings, target, by_time=True, shuffled=shuffled)


@settings
class LeaveLast:
    """Hold out each user's last click for test, and the one before it for validation.

    At test time the validation click is neither folded in nor masked, unless `fold_valid` is true:
    then the input is all clicks but the last, as in most published tables.
    """

    threshold: Threshold = "auto"
    min_user: int = 5
    fold_valid: bool = False  # whether the validation click is part of the input at test time
    split_seed: int = 0  # of the order of ties in time
    name, task, per_seed = "leave_last", "ranking", False

    def __post_init__(self):
        if self.min_user < 3:
            raise BadInput(f"min_user={self.min_user} is below 3.")

    def split(self, ratings: Ratings, *, seed: int = 0) -> Split:
        divide.times(self, ratings)
        protocol = divide.effective(self, ratings)
        ratings, notes = divide.clicks(protocol, ratings)
        rank, count = divide.places(ratings.user)
        part = np.select([rank == count - 1, rank == count - 2], [TEST, VALID], TRAIN)
        notes += divide.tied_cuts(ratings, part)
        return parts.weak_split(protocol, ratings, part, notes, fold_valid=self.fold_valid)


@settings
class AllClicks:
    """Train on all clicks, for deployment; without held-out data nothing is selected or scored."""

    threshold: Threshold = "auto"
    min_user: int = 1
    split_seed: int = 0  # of the order of ties in time
    name, task, per_seed = "all_clicks", "ranking", False

    def split(self, ratings: Ratings, *, seed: int = 0) -> Split:
        protocol = divide.effective(self, ratings)
        return parts.whole_split(protocol, *divide.clicks(protocol, ratings))


@settings
class LeakyHoldout:
    """Reproduce a leaky published table: NOT A MEASUREMENT.

    Every rating is a click, and floor((1 - test) n) of each user's n are in training. Items seen in
    training are not masked, and the best epoch is selected on the test part.
    """

    test: float = 0.2
    split_seed: int = 0
    name, task, per_seed = "leaky_holdout", "ranking", False

    def split(self, ratings: Ratings, *, seed: int = 0) -> Split:
        honest = PerUserHoldout(
            threshold="all", min_user=1, test=self.test, valid=0, split_seed=self.split_seed
        ).split(ratings)
        note = "WARNING, LEAK: selected on the test ratings, and items seen in training not masked"
        return honest._replace(
            valid=honest.test, protocol=describe(self), notes=(note, *honest.notes), mask_seen=False
        )
