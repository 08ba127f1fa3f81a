"""The supervisor, with small real processes for parts."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import pytest

from workers.part import Backoff, Part, PartFailed, State, ended
from workers.supervisor import Supervisor

READY = 'print(\'{"event": "x.ready"}\', flush=True)'
WAIT = "import signal, sys; signal.signal(15, lambda *_: sys.exit(0)); " + READY + "; signal.pause()"
DEAF = "import signal; signal.signal(15, signal.SIG_IGN); " + READY + "; signal.pause()"
QUICK = Backoff(first_s=0.01, most_s=0.02)


class Lines:
    """Keeps what was logged and what the parts said, and lets a test wait for it."""

    def __init__(self):
        self.events = []
        self.said = []
        self.more = asyncio.Event()

    def info(self, event, **facts):
        self.events.append({"event": event, **facts})
        self.more.set()

    warning = info

    def take(self, part, lines):
        self.said += [(part.name, line) for line in lines]
        self.more.set()

    def of(self, event, part=None):
        return [line for line in self.events if line["event"] == event and part in (None, line["part"])]

    async def until(self, holds):
        async with asyncio.timeout(20):
            while not holds():
                self.more.clear()
                await self.more.wait()


def python(name, code, **more):
    more.setdefault("ready_event", "x.ready")
    return Part(name, (sys.executable, "-c", code), **more)


def run(story, **options):
    """Run a story with a supervisor, and stop it in the end."""

    async def all_of_it():
        lines = Lines()
        supervisor = Supervisor(lines, lines.take, **options)
        try:
            async with asyncio.timeout(60):
                await story(supervisor, lines)
        finally:
            await supervisor.stop()
        return supervisor, lines

    return asyncio.run(all_of_it())


def test_a_part_is_ready_when_its_line_says_so():
    """A part is starting until it prints its event, as JSON, and then ready."""
    code = 'print("x.ready"); print(\'["x.ready"]\'); print(\'{"event": "x"}\', flush=True); input(); ' + WAIT

    async def story(supervisor, lines):
        read, write = os.pipe()
        part = python("a", f"import os; os.dup2({read}, 0); " + code, pass_fds=(read,))
        supervisor.start(part)
        await lines.until(lambda: len(lines.said) == 3)
        assert supervisor.parts["a"].state is State.STARTING
        os.write(write, b"\n")
        await supervisor.ready("a")
        assert supervisor.parts["a"].state is State.READY
        os.close(read)
        os.close(write)

    supervisor, lines = run(story)
    assert lines.of("part.stopped") == [
        {"event": "part.stopped", "part": "a", "pid": lines.events[0]["pid"], "exit": "0"}
    ]
    assert supervisor.killed == []


def test_a_part_with_a_probe_is_ready_when_the_probe_says_so(tmp_path):
    """A part with a probe is ready when the probe first gives True; one with neither, as soon as it runs."""
    answers = iter([False, False, True])

    async def story(supervisor, _):
        supervisor.start(python("a", WAIT, ready_event=None, ready_probe=lambda: next(answers)))
        supervisor.start(python("b", WAIT, ready_event=None))
        await supervisor.ready()
        assert next(answers, "asked to the end") == "asked to the end"

    run(story)


def test_a_part_that_dies_is_started_again(alive):
    """A part that is killed is started again, under another pid, and is ready again."""

    async def story(supervisor, lines):
        supervisor.start(python("a", WAIT))
        await supervisor.ready()
        first = supervisor.parts["a"].pid
        os.kill(first, signal.SIGKILL)
        await lines.until(lambda: lines.of("part.died"))
        await supervisor.ready()
        assert supervisor.parts["a"].pid != first
        assert lines.of("part.died")[0]["exit"] == "SIGKILL"
        assert [line["start"] for line in lines.of("part.started")] == [1, 2]

    run(story, backoff=QUICK)


def test_a_part_that_was_ready_once_is_never_given_up():
    """A part that was ready once is started again however often it dies."""

    async def story(supervisor, lines):
        supervisor.start(python("a", READY))
        await lines.until(lambda: len(lines.of("part.died")) > 6)

    run(story, backoff=QUICK, most_failed_starts=2)


def test_a_part_that_never_starts_is_told_with_its_last_words():
    """A part that dies at each start before it is ready ends the wait, with what it said last."""

    async def story(supervisor, lines):
        supervisor.start(python("good", WAIT), python("bad", "raise SystemExit('no such thing')"))
        with pytest.raises(PartFailed, match="bad does not start") as failed:
            await supervisor.ready()
        assert failed.value.last_lines[-1] == "no such thing"
        assert [line["again_in_s"] for line in lines.of("part.died", "bad")] == [0.01, 0.02, None]

    run(story, backoff=QUICK, most_failed_starts=3)


def test_a_program_that_is_not_there_is_told_in_the_same_way():
    """A program that cannot be run at all is a part that does not start."""

    async def story(supervisor, lines):
        supervisor.start(Part("none", ("/no/such/program",)))
        with pytest.raises(PartFailed) as failed:
            await supervisor.ready()
        assert "/no/such/program" in failed.value.last_lines[-1]

    run(story, backoff=QUICK)


def test_parts_stop_rank_by_rank():
    """A part of a later rank hears of the stop only when the earlier ranks are gone; equal ranks stop together."""
    slow = "import signal, sys, time\nfrom threading import Event\n"
    slow += "signal.signal(15, lambda *_: (Event().wait(0.2), sys.exit(0)))\n" + READY + "\nsignal.pause()"

    async def story(supervisor, _):
        supervisor.start(
            python("broker", WAIT, stop_rank=3),
            python("worker", slow, stop_rank=2),
            python("post", slow, stop_rank=2),
            python("intake", slow, stop_rank=0),
        )
        await supervisor.ready()

    _, lines = run(story)
    order = [line["part"] for line in lines.of("part.stopped")]
    assert order[0] == "intake"
    assert set(order[1:3]) == {"worker", "post"}
    assert order[3] == "broker"
    assert not lines.of("part.died")


def test_a_part_that_does_not_end_within_its_grace_is_killed(alive):
    """A part that is deaf to SIGTERM is killed after its grace, and named; the others end by themselves."""

    async def story(supervisor, _):
        supervisor.start(python("deaf", DEAF, grace_s=0.1), python("good", WAIT))
        await supervisor.ready()

    supervisor, lines = run(story)
    assert supervisor.killed == ["deaf"]
    assert {line["part"]: line["exit"] for line in lines.of("part.stopped")} == {"deaf": "SIGKILL", "good": "0"}


def test_a_part_with_a_way_of_its_own_to_end_is_asked_again_and_again_and_never_by_a_signal(tmp_path):
    """It may not have begun to listen when it is asked first."""
    end = tmp_path / "end"
    waits = f"import os, time\nwhile not os.path.exists({str(end)!r}): time.sleep(0.01)"
    asked = []

    def ask():
        asked.append(1)
        if len(asked) == 3:
            end.touch()

    async def story(supervisor, _):
        supervisor.start(python("server", READY + "\n" + waits, ask_to_end=ask))
        await supervisor.ready()

    supervisor, lines = run(story)
    assert supervisor.killed == []
    assert len(asked) >= 3
    assert [line["exit"] for line in lines.of("part.stopped")] == ["0"]


def test_hurry_cuts_every_grace_short():
    """Who hurries does not wait out an hour of grace."""

    async def story(supervisor, _):
        supervisor.start(python("deaf", DEAF, grace_s=3600))
        await supervisor.ready()
        supervisor.hurry()

    supervisor, _ = run(story)
    assert supervisor.killed == ["deaf"]


def test_a_part_that_waits_for_its_next_start_is_not_started_by_a_stop():
    """A stop during the delay ends the part: nothing is started any more."""

    async def story(supervisor, lines):
        supervisor.start(python("a", "raise SystemExit(3)"))
        await lines.until(lambda: lines.of("part.died"))

    _, lines = run(story, backoff=Backoff(first_s=3600, most_s=3600))
    assert len(lines.of("part.started")) == 1
    assert lines.of("part.died")[0]["exit"] == "3"


def test_lines_are_passed_on_whole_and_in_order():
    """Lines come whole and in order from both streams, the last one without its line feed too, and very long ones."""
    code = "import sys; print('one'); print('x' * 200_000, flush=True); print('two', file=sys.stderr, flush=True); "
    code += "print('three', end='', flush=True)"

    async def story(supervisor, lines):
        supervisor.start(python("a", code))
        await lines.until(lambda: lines.of("part.died"))

    _, lines = run(story, backoff=Backoff(first_s=3600, most_s=3600))
    assert [line for _, line in lines.said] == [b"one", b"x" * 200_000, b"two", b"three"]


def test_secrets_go_by_the_environment(tmp_path):
    """A part's environment is ours and its own; a part's repr does not hold it."""
    part = python(
        "a", "import os; print(os.environ['SECRET'], os.environ['HOME'], flush=True)", env={"SECRET": "s3cret"}
    )

    async def story(supervisor, lines):
        supervisor.start(part)
        await lines.until(lambda: lines.said)
        assert lines.said[0][1].decode() == f"s3cret {os.environ['HOME']}"

    run(story)
    assert "s3cret" not in repr(part)


def test_before_start_is_called_ahead_of_each_start():
    """What has to be prepared is prepared ahead of the first start and of every other."""
    calls = []

    async def story(supervisor, lines):
        supervisor.start(python("a", READY, before_start=lambda: calls.append(len(lines.of("part.started")))))
        await lines.until(lambda: len(lines.of("part.started")) == 3)

    run(story, backoff=QUICK)
    assert calls[:3] == [0, 1, 2]


def test_one_name_is_one_part():
    """A second part of the same name is a fault of the caller's."""

    async def story(supervisor, _):
        supervisor.start(python("a", WAIT))
        with pytest.raises(ValueError, match="there is a part a already"):
            supervisor.start(python("a", WAIT))

    run(story)


def test_the_delay_doubles_up_to_a_bound_and_begins_anew_after_a_long_life():
    """0.2 s, then twice as long each time, never over 5 s; ten seconds of life begin the count anew."""
    backoff = Backoff()
    assert [backoff.delay_s(deaths) for deaths in range(1, 8)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert backoff.delay_s(10_000) == 5.0
    assert backoff.deaths_in_a_row(4, lived_s=9.9) == 5
    assert backoff.deaths_in_a_row(4, lived_s=10.0) == 1


def test_an_end_is_told_in_words():
    """A number where the process left by itself, the signal's name where it was ended."""
    assert [ended(0), ended(3), ended(-9), ended(-15)] == ["0", "3", "SIGKILL", "SIGTERM"]


def test_a_killed_guard_is_put_back(eventually):
    """The guard of the leash is watched like a part: who kills it finds another soon after."""

    async def story(supervisor, _):
        supervisor.start(python("a", WAIT))
        await supervisor.ready()
        guard = supervisor._leash._guard
        guard.kill()
        began = time.monotonic()
        while supervisor._leash._guard is guard:
            assert time.monotonic() - began < 20
            await asyncio.sleep(0.01)
        assert os.getpgid(supervisor._leash._guard.pid) == os.getpgid(supervisor.parts["a"].pid)

    run(story)
