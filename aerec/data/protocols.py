"""Named protocols for splitting ratings into training, validation and test; all check for leaks.

A protocol is a frozen dataclass. Its parameters are its fields, and `task` is what is scored. The
split depends on the ratings, the fields and, if `per_seed` is true, the seed. Counts are rounded
down with `floor`. The rows of all tables are in time order if the ratings have times, and otherwise
in the order of the file. Time 0 means unknown and sorts as oldest; ties are in random order, seeded
by `split_seed`.
"""

from typing import Any
from typing import Protocol as Interface

from aerec import configuration
from aerec.data.ranking_protocols import (
    AllClicks,
    LeakyHoldout,
    LeaveLast,
    PerUserHoldout,
    Strong,
    StrongByTime,
)
from aerec.data.rating_protocols import (
    AllRatings,
    GlobalTime,
    LeakyTestInput,
    PerUserTime,
    RandomRatings,
)
from aerec.data.split_files import Files
from aerec.data.splits import Heldout, LeakError, Split, check
from aerec.errors import BadInput, nearest

__all__ = ["PROTOCOLS", "Files", "Heldout", "LeakError", "Protocol", "Split", "check", "parse"]


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
