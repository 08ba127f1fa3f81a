"""What the image is built from, read from its Dockerfile."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.compose.composefile import DOCKERFILE, ROOT, is_ours, read


def _stages() -> list[list[tuple[str, str]]]:
    """Give each stage's instructions: a word and what follows it."""
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    stages: list[list[tuple[str, str]]] = []
    for word, _, rest in (line.partition(" ") for line in lines):
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, rest))
    return stages


BUILD, FINAL = _stages()
ALL = [*BUILD, *FINAL]
PIP = [rest for word, rest in ALL if word == "RUN" and re.match(r"pip\b", rest)]


def test_it_stands_on_a_slim_python():
    assert [rest.split()[0] for word, rest in ALL if word == "FROM"] == ["python:3.13-slim"] * 2


def test_everything_from_outside_is_named_in_a_lock_file_with_its_hash():
    from_outside = [line for line in PIP if "install" in line.split() and "--no-index" not in line]
    assert len(from_outside) == 2
    for line in from_outside:
        assert "--require-hashes" in line.split()
        assert "--only-binary :all:" in line
        assert re.search(r"-r ops/requirements/(runtime|build)\.txt$", line)
    into_the_image = [line for line in from_outside if "--python /opt/pingpost/bin/python" in line]
    assert [line.split()[-1] for line in into_the_image] == ["ops/requirements/runtime.txt"]


@pytest.mark.parametrize("name", ["runtime.txt", "build.txt"])
def test_each_line_of_a_lock_file_has_a_hash(name: str):
    text = (ROOT / "ops" / "requirements" / name).read_text()
    pins = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert pins
    for pin in pins:
        assert re.match(r"[\w.-]+(\[[\w,]+\])?==[\w.+!-]+", pin), pin.splitlines()[0]
        assert "--hash=sha256:" in pin


def test_our_own_code_is_built_without_fetching_anything():
    ours = [line for line in PIP if "--no-deps" in line.split()]
    assert len(ours) == len(PIP) - 2
    for line in ours:
        assert {"--no-build-isolation", "--no-index"} & set(line.split())


def test_the_last_stage_installs_nothing_and_has_no_compiler():
    runs = " ".join(rest for word, rest in FINAL if word == "RUN")
    assert not re.search(r"\b(apt|apt-get|pip|gcc|build-essential|curl|wget)\b", runs)
    assert [rest for word, rest in FINAL if word == "COPY"] == ["--from=build /opt/pingpost /opt/pingpost"]
    assert not [word for word, _ in ALL if word in ("ADD", "ARG")]


def test_it_runs_as_a_user_who_is_not_root_and_whose_folders_compose_makes():
    (user,) = [rest for word, rest in FINAL if word == "USER"]
    uid, _, gid = user.partition(":")
    assert int(uid) > 0
    assert int(gid) > 0
    for service in filter(is_ours, read()["services"].values()):
        (data,) = [mount for mount in service["tmpfs"] if mount.startswith("/var/lib/pingpost:")]
        assert {f"uid={uid}", f"gid={gid}"} <= set(data.partition(":")[2].split(","))


def test_what_is_copied_is_there_and_not_ignored():
    sources = [s for word, rest in BUILD if word == "COPY" for s in rest.split()[:-1] if not s.startswith("--")]
    ignored = (ROOT / ".dockerignore").read_text().split()
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{Path(source).parts[0]}" in ignored
    assert "*" in ignored
