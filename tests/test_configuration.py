"""Text as typed settings."""

import dataclasses

import pytest

from aerec import configuration
from aerec.errors import BadInput, nearest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    widths: tuple[int, ...] = (600,)
    rate: float = 0.5
    steps: int = 3
    tied: bool = False
    name: str = "tanh"


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


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
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
