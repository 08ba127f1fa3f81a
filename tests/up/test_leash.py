"""The leash: what is on it does not outlive its holder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from workers.leash import Leash

SLEEPER = [sys.executable, "-c", "import signal; signal.signal(15, signal.SIG_IGN); print(flush=True); signal.pause()"]
PARENT = f"""
import subprocess, sys
child = subprocess.Popen({SLEEPER!r}, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""
HOLDER = f"""
import subprocess, sys
from workers.leash import Leash
leash = Leash()
pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child = subprocess.Popen([sys.executable, "-c", {PARENT!r}], process_group=leash.group, **pipes)
print(child.pid, int(child.stdout.readline()), leash.group, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def leash():
    leash = Leash()
    yield leash
    leash.release()


def sleeper(leash):
    process = subprocess.Popen(SLEEPER, stdout=subprocess.PIPE, process_group=leash.group)
    process.stdout.readline()
    return process


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_children_and_their_children_die_with_a_holder_that_is_killed(end, eventually, alive):
    """Children and grandchildren, deaf to SIGTERM, die when the holder is killed, and so does the guard."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pids = [int(word) for word in holder.stdout.readline().split()]
    assert all(alive(pid) for pid in pids)
    holder.send_signal(end)
    eventually(lambda: not any(alive(pid) for pid in pids), "the children's death")
    holder.communicate()


def test_release_kills_what_is_on_it(leash):
    """Letting go of the leash kills what is on it; a second time does nothing."""
    child = sleeper(leash)
    leash.release()
    assert child.wait(10) == -signal.SIGKILL
    child.stdout.close()
    leash.release()


def test_a_killed_guard_is_replaced_in_the_same_group(leash):
    """Whoever kills the guard does not free the children: a new guard joins their group."""
    child = sleeper(leash)
    group = leash.group
    os.kill(group, signal.SIGKILL)
    leash._guard.wait(10)
    assert leash.group == group == os.getpgid(child.pid)
    assert leash._guard.pid != group
    leash.release()
    assert child.wait(10) == -signal.SIGKILL
    child.stdout.close()


def test_a_guard_killed_with_nobody_on_the_leash_leads_a_new_group(leash):
    """With nobody left in the old group, the next guard leads a group of its own."""
    first = leash.group
    os.kill(first, signal.SIGKILL)
    leash._guard.wait(10)
    assert leash.group == leash._guard.pid != first
    child = sleeper(leash)
    assert os.getpgid(child.pid) == leash.group
    leash.release()
    child.wait(10)
    child.stdout.close()
