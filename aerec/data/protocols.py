"""Named protocols for splitting ratings into training, validation and test; all check for leaks.

A protocol is a frozen dataclass. Its parameters are its fields, and `task` is what is scored. The
split depends on the ratings, the fields and, if `per_seed` is true, the seed. Counts are rounded
down with `floor`. The rows of all tables are in time order if the ratings have times, and otherwise
in the order of the file. Time 0 means unknown and sorts as oldest; ties are in random order, seeded
by `split_seed`.

Where ratings become clicks, `threshold` is the lowest rating that is a click. "all" makes every
rating a click. "auto" is what the dataset states (`Ratings.click`: 8 for Anime, "all" for Last.fm)
and otherwise 4. A split records the threshold that it used.
"""

from typing import Any, Literal
from typing import Protocol as Interface

import numpy as np

from aerec import configuration
from aerec.configuration import settings
from aerec.data import divide, mapped_split, parts
from aerec.data.divide import TEST, TRAIN, VALID, floor
from aerec.data.mapped import Mapped
from aerec.data.ratings import Ratings
from aerec.data.split_files import Files
from aerec.data.splits import Heldout, LeakError, Split, check, describe, weak
from aerec.errors import BadInput, nearest

__all__ = ["PROTOCOLS", "Files", "Heldout", "LeakError", "Protocol", "Split", "check", "parse"]


Threshold = float | Literal["all", "auto"]


class Protocol(Interface):
    """The interface of all protocols.

    Only protocols with `per_seed` use the seed of `split`: the papers behind them repeat the split
    as well as the training. Replica s then has the split of seed split_seed + s.
    """

    @property
    def name(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def per_seed(self) -> bool: ...
    @property
    def split_seed(self) -> int: ...
    def split(self, ratings: Any, *, seed: int) -> Split: ...


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
        divide.require(self, self.test > 0, "test is above 0.")
        divide.require(self, 0 < share < 1, f"test + valid = {share:g} is not between 0 and 1.")
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
        divide.require(self, self.min_user >= 3, f"min_user={self.min_user} is below 3.")

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


PROTOCOLS: dict[str, type[Any]] = {
    kind.name: kind
    for kind in (RandomRatings, PerUserHoldout, Strong, StrongByTime, GlobalTime, PerUserTime,
                 LeaveLast, Files, AllClicks, AllRatings, LeakyTestInput, LeakyHoldout)
}  # fmt: skip


def parse(text: str) -> Protocol:
    """Parse a protocol: `"strong"` or `"strong:valid_users=500,test_users=500"`.

    Raises:
      BadInput: an unknown name or parameter (names the nearest), or a value of the wrong type.
    """
    name, _, rest = text.partition(":")
    of = f"Protocol {name!r}"
    given = configuration.assignments(rest.split(","), of=of)
    return configuration.fill(find(name), given, of=of)


def find(name: str) -> type[Any]:
    """Return the protocol class of that name; raise BadInput, naming the nearest, if unknown."""
    if not isinstance(name, str) or name not in PROTOCOLS:
        raise BadInput(f"No protocol is called {name!r}. {nearest(name, PROTOCOLS)}")
    return PROTOCOLS[name]


def _earliest(time: np.ndarray, *, share: float) -> int:
    """Return the time of the first rating after the earliest `share` of them."""
    place = int(floor(share, len(time)))
    return int(np.partition(time, place)[place])
