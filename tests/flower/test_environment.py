"""What Flower is given to read, whatever the operator has set."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.flower.environment import DEFAULTS, prepare
from workers.settings import SettingsError


def test_what_the_operator_has_set_stays_and_the_rest_is_ours():
    """An empty variable, as Compose hands on what is not set, counts as none."""
    environment = {"FLOWER_MAX_TASKS": "500", "FLOWER_READ_ONLY": "", "FLOWER_ADDRESS": " ", "PATH": ""}
    prepare(environment)
    assert environment == {**DEFAULTS, "FLOWER_MAX_TASKS": "500", "PATH": ""}


@pytest.mark.parametrize(
    ("text", "people"),
    [("operator:secret\n", "operator:secret"), ("\nann:one \r\nbob:two:three\n", "ann:one,bob:two:three")],
)
def test_a_file_of_passwords_holds_one_person_a_line(text: str, people: str, tmp_path: Path):
    (tmp_path / "people").write_text(text)
    environment = {"FLOWER_BASIC_AUTH_FILE": str(tmp_path / "people")}
    prepare(environment)
    assert environment["FLOWER_BASIC_AUTH"] == people


def test_passwords_of_the_environment_win_over_the_file_s():
    environment = {"FLOWER_BASIC_AUTH": "ann:one", "FLOWER_BASIC_AUTH_FILE": "/nowhere"}
    prepare(environment)
    assert environment["FLOWER_BASIC_AUTH"] == "ann:one"


@pytest.mark.parametrize(
    "text", ["", "\n \n", "operator", "operator:", ":771f", "ann:one\n771f", "ann:771f,x", "ann:771fé"]
)
def test_what_flower_would_take_for_something_else_is_refused_and_not_quoted(text: str, tmp_path: Path):
    """A comma parts two people for Flower, and a password beyond ASCII never fits: nobody could sign in."""
    (tmp_path / "people").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"^FLOWER_BASIC_AUTH_FILE: ") as refused:
        prepare({"FLOWER_BASIC_AUTH_FILE": str(tmp_path / "people")})
    assert "771f" not in str(refused.value)


@pytest.mark.parametrize("people", ["operator", "ann:one,", "ann:one,bob", ":771f", "ann:771fé"])
def test_passwords_of_the_environment_are_held_to_the_same(people: str):
    with pytest.raises(SettingsError, match=r"^FLOWER_BASIC_AUTH\b") as refused:
        prepare({"FLOWER_BASIC_AUTH": people})
    assert "771f" not in str(refused.value)


@pytest.mark.parametrize("name", ["FLOWER_READ_ONLY", "FLOWER_UNAUTHENTICATED_API"])
def test_a_switch_that_flower_could_not_read_is_refused(name: str):
    """It would end with a traceback; or, worse, let everybody do what was to be closed."""
    for word in ("true", "No", "1"):
        prepare({name: word})
    with pytest.raises(SettingsError, match=rf"^{name}: "):
        prepare({name: "perhaps"})
