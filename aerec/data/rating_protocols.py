"""Protocols of ratings to predict: what is held out is ratings, at random or by time.

`protocols` states what holds for all.
"""

import numpy as np

from aerec.configuration import settings
from aerec.data import divide, parts
from aerec.data.divide import TEST, TRAIN, VALID, floor
from aerec.data.ratings import Ratings
from aerec.data.splits import Split, describe, weak
from aerec.errors import BadInput


@settings
class RandomRatings:
    """Hold out random ratings (AutoRec, Sedhain et al. 2015): `test` of all, `valid` of the rest.

    Users and items without a training rating are kept: the model has to predict for them too.
    """

    test: float = 0.1
    valid: float = 0.1
    split_seed: int = 0
    name, task, per_seed = "random_ratings", "rating", True

    def __post_init__(self):
        divide.require_shares(self, "test", "valid")

    def split(self, ratings: Ratings, *, seed: int = 0) -> Split:
        ratings = divide.by_user_and_time(self, ratings, seed)
        size = len(ratings.user)
        order = divide.generator(self, seed).permutation(size)
        tests = int(floor(self.test, size))
        valids = int(floor(self.valid, size - tests))
        part = np.full(size, TRAIN, np.int8)
        part[order[:tests]] = TEST
        part[order[tests : tests + valids]] = VALID
        return parts.weak_split(self, ratings, part, (), valid=self.valid)


@settings
class GlobalTime:
    """Train before a date, validate and test after it (DeepRec, Kuchaiev & Ginsburg 2017).

    The date is `cut`. Without it, the latest shares `valid` and `test` of the ratings are held out.
    Ratings of the same second stay together. Held-out ratings of users or items unseen in training
    are dropped. Dates are `YYYY-MM-DD` (UTC) or seconds since 1970. DeepRec's three months of
    Netflix are `start=2005-09-01,cut=2005-12-01,end=2006-01-01,halve=true`.
    """

    test: float = 0.1
    valid: float = 0.1  # with `cut`, only the ratio of the two matters
    start: str = ""  # ratings before this date are left out
    cut: str = ""
    end: str = ""  # ratings from this date on are left out
    halve: bool = False  # validation and test are random halves, not consecutive periods
    split_seed: int = 0
    name, task, per_seed = "global_time", "rating", False

    def __post_init__(self):
        divide.require_shares(self, "test", "valid")
        share = self.test + self.valid
        if not self.test > 0:
            raise BadInput("test is above 0.")
        if not 0 < share < 1:
            raise BadInput(f"test + valid = {share:g} is not between 0 and 1.")
        for field in ("start", "cut", "end"):
            divide.epoch(self, field)

    def split(self, ratings: Ratings, *, seed: int = 0) -> Split:
        notes: tuple[str, ...] = ()
        time = divide.times(self, ratings)
        start, cut, end = (divide.epoch(self, field) for field in ("start", "cut", "end"))
        inside = np.ones(len(time), bool) if start is None else time >= start
        if end is not None:
            inside &= time < end
        if not inside.all():
            notes += (f"{divide.of(~inside)} ratings lie outside {self.start}..{self.end}",)
        ratings = divide.by_user_and_time(self, divide.select(ratings, inside))
        time = divide.times(self, ratings)
        if time.max() < 365 * 86400:
            notes += ("the latest time is in 1970: are these times positions, not dates?",)
        cut = _earliest(time, share=1 - self.valid - self.test) if cut is None else cut
        part = np.where(time < cut, TRAIN, TEST)
        held = time[part == TEST]
        if not self.halve and len(held):
            date = _earliest(held, share=self.valid / (self.valid + self.test))
            part[(time >= cut) & (time < date)] = VALID
        part, unseen = divide.drop_unseen(ratings, part)
        if self.halve:
            part = divide.halved(part, divide.generator(self))
        return parts.weak_split(self, ratings, part, notes + unseen, valid=self.valid)


@settings
class PerUserTime:
    """Hold out the later ratings of each user: DeepRec's split for data without a common clock.

    The earliest floor(train n) of a user's n ratings are in training. A random half of the others
    is in validation, the rest in test. Held-out ratings of users or items unseen in training are
    dropped.
    """

    train: float = 0.7
    split_seed: int = 0
    name, task, per_seed = "per_user_time", "rating", False

    def __post_init__(self):
        divide.require_shares(self, "train")

    def split(self, ratings: Ratings, *, seed: int = 0) -> Split:
        divide.times(self, ratings)
        ratings = divide.by_user_and_time(self, ratings)
        rank, count = divide.places(ratings.user)
        part = np.where(rank < floor(self.train, count), TRAIN, TEST)
        tied = divide.tied_cuts(ratings, part)
        part, unseen = divide.drop_unseen(ratings, part)
        notes = tied + unseen
        return parts.weak_split(self, ratings, divide.halved(part, divide.generator(self)), notes)


@settings
class AllRatings:
    """Train on all ratings, for deployment; without held-out data nothing is selected or scored."""

    split_seed: int = 0  # of the order of ties in time
    name, task, per_seed = "all_ratings", "rating", False

    def split(self, ratings: Ratings, *, seed: int = 0) -> Split:
        return parts.whole_split(self, divide.by_user_and_time(self, ratings), ())


@settings
class LeakyTestInput:
    """Reproduce a leaky published table: NOT A MEASUREMENT.

    The code behind the table fed the test ratings themselves to the model at test time. The scores
    show how well they are copied. Validation is the test part as well.
    """

    test: float = 0.25
    split_seed: int = 0
    name, task, per_seed = "leaky_test_input", "rating", False

    def split(self, ratings: Ratings, *, seed: int = 0) -> Split:
        honest = RandomRatings(test=self.test, valid=0.0, split_seed=self.split_seed).split(ratings)
        copied = weak(honest.test.target, honest.test.target)
        note = "WARNING, LEAK: the test ratings are the input; copying is scored, not prediction"
        return honest._replace(
            valid=copied, test=copied, protocol=describe(self), notes=(note, *honest.notes)
        )


def _earliest(time: np.ndarray, *, share: float) -> int:
    """Return the time of the first rating after the earliest `share` of them."""
    place = int(floor(share, len(time)))
    return int(np.partition(time, place)[place])
