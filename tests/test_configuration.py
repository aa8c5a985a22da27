"""Settings that check themselves, from values or text."""

import math
import pathlib
import subprocess
import sys
from typing import Annotated, Literal

import numpy as np
import pytest

from aerec import configuration
from aerec.configuration import Count, Natural, Part, Positive, Probability, Share, Weight
from aerec.errors import BadInput, nearest


@configuration.settings
class Settings:
    widths: tuple[int, ...] = (600,)  # of the layers
    rate: float = 0.5  # of learning
    steps: int = 3  # updates
    tied: bool = False  # decoder and encoder share kernels
    name: str = "tanh"  # of the activation
    kind: Literal["square", "logistic"] = "square"  # of the loss
    bounds: tuple[float, float] = (1.0, 5.0)  # lowest and highest
    least: float | Literal["all"] = 4.0  # a number, or a word


def fill(**given):
    return configuration.fill(Settings, given, of="model 'x'")


def test_text_is_read_as_the_type_of_the_field():
    given = {"widths": "600,200", "rate": "1e-3", "steps": "7", "tied": "True", "name": "relu"}
    expected = Settings(widths=(600, 200), rate=0.001, steps=7, tied=True, name="relu")
    assert fill(**given) == expected
    assert fill(widths="(600,)") == Settings(widths=(600,))
    assert fill(widths="") == Settings(widths=())
    assert fill() == Settings()


def test_values_pass_as_they_are():
    assert fill(widths=[1, 2], rate=1.0) == Settings(widths=(1, 2), rate=1.0)
    settings = Settings(widths=(1, 2))
    assert configuration.plain(settings)["widths"] == [1, 2]
    assert fill(**configuration.plain(settings)) == settings


def test_a_number_or_a_word():
    for given, want in (("all", "all"), ("0", 0.0), (3, 3.0), ("-1.5", -1.5)):
        least = fill(least=given).least
        assert least == want and type(least) is type(want)
    assert configuration.plain(fill(least="all"))["least"] == "all"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("least", "any", "model 'x': least is a number, not 'any'; or all"),
        ("least", True, "least is a number, not True; or all"),
        ("least", "inf", "least is a finite number, not 'inf'; or all"),
        ("rates", "1", r"model 'x' has no setting 'rates'. Did you mean rate or steps\? There"),
        ("rate", "fast", "model 'x': rate is a number, not 'fast'"),
        ("steps", "1.5", "steps is a whole number, not '1.5'"),
        ("tied", "yes", "tied is true or false, not 'yes'"),
        ("widths", "600;200", "widths is numbers with commas between, like 600,200, not '600;200'"),
    ],
)
def test_what_is_refused(name, value, message):
    with pytest.raises(BadInput, match=message):
        fill(**{name: value})


def test_assignments():
    assert configuration.assignments(["a=1", "", "b=x=y"], of="--set") == {"a": "1", "b": "x=y"}
    with pytest.raises(BadInput, match="--set: 'a' is no setting; write NAME=VALUE"):
        configuration.assignments(["a"], of="--set")


def test_nearest():
    assert nearest("multvea", ["multvae", "ease"]) == (
        "Did you mean multvae? There are: ease, multvae."
    )
    assert nearest("zzz", ["multvae"]) == "There are: multvae."
    assert nearest("zzz", []) == "There are: none."
    many = [f"name{i}" for i in range(100)]
    assert nearest("name100", many).startswith("Did you mean name10 or")
    assert nearest("zzz", many) == "There are 100 names."


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"steps": 4.5}, "^steps is a whole number, not 4.5"),
        ({"steps": True}, "^steps is a whole number, not True"),
        ({"steps": 2**31}, r"steps is a whole number below 2\^31"),
        ({"widths": 600}, r"^widths is a tuple of numbers, like \(600, 200\), not 600"),
        ({"widths": (600, 2.5)}, "^widths is a whole number, not 2.5"),
        ({"rate": None}, "^rate is a number, not None"),
        ({"rate": False}, "^rate is a number, not False"),
        ({"rate": math.nan}, "^rate is a finite number, not nan"),
        ({"tied": 1}, "^tied is true or false, not 1"),
        ({"name": 3}, "^name is text, not 3"),
        ({"kind": "logistics"}, "^kind='logistics' is unknown. Did you mean logistic"),
        ({"bounds": (1, 2, 3)}, r"^bounds is 2 numbers, not \(1, 2, 3\)"),
    ],
)
def test_values_of_another_kind_are_refused_from_python_too(given, message):
    with pytest.raises(BadInput, match=message):
        Settings(**given)


def test_one_setting_has_one_spelling():
    spelled = [Settings(steps=7, rate=1), Settings(steps="7", rate="1.0"),
               Settings(steps=np.int64(7), rate=np.float32(1))]  # fmt: skip
    assert spelled[0] == spelled[1] == spelled[2]
    plain = [configuration.plain(settings) for settings in spelled]
    assert [type(p["steps"]) for p in plain] == [int] * 3
    assert [type(p["rate"]) for p in plain] == [float] * 3
    assert Settings(widths=[2, 3]).widths == Settings(widths="2,3").widths == (2, 3)


INSIDE_AND_OUTSIDE = [
    (Count, (1, 7), (0, -1)),
    (Natural, (0, 7), (-1,)),
    (Weight, (0.0, 7.0), (-0.1,)),
    (Positive, (0.1, 7.0), (0.0, -1.0)),
    (Probability, (0.0, 0.9), (1.0, -0.1)),
    (Share, (0.0, 1.0), (1.1, -0.1)),
    (Part, (0.1, 1.0), (0.0, 1.1)),
]


@pytest.mark.parametrize(("kind", "inside", "outside"), INSIDE_AND_OUTSIDE)
def test_rules(kind, inside, outside):
    _, (rule,) = configuration.bare(kind)
    assert not any(map(rule, inside))
    for value in (*outside, math.nan):
        assert rule(value).endswith(f"not {value!r}")


def test_a_rule_holds_for_each_part_of_a_tuple():
    @configuration.settings
    class Stack:
        hidden: tuple[Count, ...] = ()
        low: Annotated[float, configuration.within("even", lambda v: v % 2 == 0)] = 2.0

    assert Stack(hidden=(1, 2), low=4) == Stack(hidden="1,2", low="4")
    with pytest.raises(BadInput, match=r"^hidden is at least 1, not 0\."):
        Stack(hidden=(3, 0))
    with pytest.raises(BadInput, match=r"^model 'y': low is even, not 3\.0"):
        configuration.fill(Stack, {"low": 3}, of="model 'y'")


def test_a_check_of_its_own_comes_after_the_types():
    @configuration.settings
    class Range:
        low: float = 0.0
        high: float = 1.0

        def __post_init__(self):
            if not self.low < self.high:
                raise BadInput("low is below high")

    assert Range(low="0.5").low == 0.5
    with pytest.raises(BadInput, match="low is below high"):
        Range(low="2")


def test_the_comment_behind_a_field_is_its_help():
    assert configuration.comments(Settings)["rate"] == "of learning"
    assert list(configuration.comments(Settings)) == list(configuration.kinds(Settings))


NO_BACKEND = """
from aerec import models
from aerec.cli import train
from aerec.training.settings import Settings

Settings(epochs=4)
for name in models.MODELS:
    models.traits(name, {})

from jax._src import xla_bridge
print(xla_bridge.backends_are_initialized())
"""


def test_settings_start_no_backend():
    root = pathlib.Path(__file__).parents[1]
    ran = subprocess.run(
        [sys.executable, "-c", NO_BACKEND], cwd=root, text=True, capture_output=True
    )
    assert (ran.returncode, ran.stdout) == (0, "False\n"), ran.stderr
