"""What the READMEs show of producers is what is tested: the same lines, and a session that goes as it is printed."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator

import pytest

from tests.producers.conftest import REPOSITORY, Place

FOLDER = REPOSITORY / "ops" / "producers"
LANGUAGES = {"amqp.sh": "sh", "node-rabbitmq.mjs": "js", "node-valkey.mjs": "js", "sell.py": "python"}
# Facts of one sale: a session of another day has others.
OF_THE_DAY = frozenset({"at", "forward_by", "phone_number", "token"})


def section(text: str, heading: str) -> str:
    """The part of a Markdown text under a heading, up to the next heading of any level."""
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, heading
    return re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def fences(text: str) -> list[tuple[str, str]]:
    """Language and content of each fenced block."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def session(heading: str) -> Iterator[tuple[str, str]]:
    """The commands of the producers' README under a heading, each with the output that stands there."""
    shown = section((FOLDER / "README.md").read_text(), heading)
    (console,) = [block for language, block in fences(shown) if language == "console"]
    for step in console.removeprefix("$ ").split("\n$ "):
        command, _, output = step.partition("\n")
        yield command, output


def test_the_readme_s_producers_are_the_tested_ones():
    """Each block is a tested program's own lines, all but the comment at its head."""
    blocks = fences(section((REPOSITORY / "README.md").read_text(), "### From any language"))
    assert [language for language, _ in blocks] == list(LANGUAGES.values())
    for (_, block), name in zip(blocks, LANGUAGES, strict=True):
        head, cut, rest = (FOLDER / name).read_text().rpartition(block)
        assert cut, f"{name} has no such lines:\n{block}"
        assert rest == ""
        assert not re.search(r"^(import|from|const|url)\b", head, re.MULTILINE), f"{name}: the README leaves out code"


@pytest.mark.rabbitmq
@pytest.mark.node
def test_the_session_on_rabbitmq_goes_as_it_is_printed(on_rabbitmq: Place, amqp_tools: None, npm_installed: None):
    """A shell sells a lead; Node and Python, who send it again, hear of the same sale."""
    replay("## On RabbitMQ", on_rabbitmq)


@pytest.mark.node
def test_the_session_on_valkey_goes_as_it_is_printed(on_valkey: Place, npm_installed: None):
    """Node has a lead refused; Python, who sends it again, hears of the same refusal."""
    replay("## On Valkey or Redis", on_valkey)


def replay(heading: str, place: Place) -> None:
    outcomes = []
    for command, printed in session(heading):
        done = place.run(command)
        assert (done.returncode, done.stderr) == (0, ""), done
        if not printed:
            assert done.stdout == ""
            continue
        outcome, expected = json.loads(done.stdout), json.loads(printed)
        assert list(outcome) == list(expected), command
        assert lasting(outcome) == lasting(expected), command
        outcomes.append({name: value for name, value in outcome.items() if name != "replayed"})
    assert len(outcomes) >= 2
    assert all(outcome == outcomes[0] for outcome in outcomes)


def lasting(outcome: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in outcome.items() if name not in OF_THE_DAY}


def test_every_program_of_the_folder_is_in_its_readme_with_how_to_run_it():
    """None is there that the README does not name, and the head of each tells its command."""
    text = (FOLDER / "README.md").read_text()
    programs = {path.name for path in FOLDER.iterdir() if path.suffix in (".sh", ".mjs", ".py")}
    assert programs == set(LANGUAGES)
    for name in programs:
        assert f"[{name}]({name})" in text
        commands = [
            line.strip(" /#")
            for line in (FOLDER / name).read_text().splitlines()
            if line.endswith(f"ops/producers/{name} <lead.json")
        ]
        assert len(commands) == 1, name
        assert f"$ {commands[0]}\n" in text
        assert shlex.split(commands[0])[0] in ("sh", "node", ".venv/bin/python")


def test_the_locked_packages_are_pinned_and_tied_to_no_registry():
    """Versions are exact, contents are hashed, and where they come from is each machine's own affair."""
    wanted = json.loads((FOLDER / "package.json").read_text())["dependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values()), wanted
    lock = (FOLDER / "package-lock.json").read_text()
    assert "://" not in lock
    packages = {name: facts for name, facts in json.loads(lock)["packages"].items() if name}
    assert {f"node_modules/{name}" for name in wanted} <= packages.keys()
    for name, facts in packages.items():
        assert "resolved" not in facts, name
        assert facts["integrity"].startswith("sha512-"), name
