"""Locks that end with their holder, and files that only their owner reads."""

from __future__ import annotations

import os
import subprocess
import sys

from workers import folder


def test_a_lock_is_one_process_s_until_it_closes_it(tmp_path):
    """A lock is refused while someone has it, and free again when they let go."""
    path = tmp_path / "lock"
    assert not folder.is_locked(path)
    mine = folder.take_lock(path)
    assert folder.take_lock(path) is None
    assert folder.is_locked(path)
    os.close(mine)
    assert not folder.is_locked(path)


def test_a_lock_lives_on_in_a_child_that_inherited_it(tmp_path):
    """A child that inherited the lock keeps it when its parent lets go, and gives it back by dying."""
    path = tmp_path / "lock"
    mine = folder.take_lock(path)
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, pass_fds=(mine,)
    )
    os.close(mine)
    assert folder.is_locked(path)
    child.kill()
    child.communicate()
    assert not folder.is_locked(path)


def test_two_who_look_at_a_free_lock_do_not_take_each_other_for_its_holder(tmp_path):
    """Looking is shared: someone else who looks is not a holder."""
    path = tmp_path / "lock"
    looking = folder.take_lock(path, shared=True)
    assert not folder.is_locked(path)
    os.close(looking)


def test_a_private_file_is_replaced_whole(tmp_path):
    """A private file is never open to others, is replaced in one step, and leaves no draft."""
    path = tmp_path / "url"
    path.write_text("old")
    path.chmod(0o644)
    before = path.stat().st_ino
    folder.write_private(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_ino != before
    assert [file.name for file in tmp_path.iterdir()] == ["url"]
