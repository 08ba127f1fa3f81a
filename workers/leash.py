"""A leash: what is started on it dies when the process that holds it dies, however it dies.

A guard (a POSIX shell of a megabyte) leads a process group and reads a pipe whose other end only the holder has. When
the holder is gone the kernel closes that end, the guard reads the end of the file and kills its whole group, itself
included.

Why not Linux's ``PR_SET_PDEATHSIG``: it exists on Linux alone, it does not reach a child's children, it fires when the
*thread* dies that started the child, and it has to be set between fork and exec, where a process that has threads may
not run Python. The group has none of these, and no gap either: a child joins it before its exec, and joining a group
that has been killed fails.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

_GUARD = "trap '' HUP INT TERM; read -r _; kill -KILL 0"


class Leash:
    """Holds a process group by a pipe. Start children with ``process_group=leash.group``."""

    def __init__(self) -> None:
        self._guard: subprocess.Popen[bytes] | None = None
        self._group = 0

    @property
    def group(self) -> int:
        """The group's id. Asking for it starts the guard where none lives, and anew where it was killed.

        Raises:
            OSError: no guard could be started.
        """
        if self._guard is not None and self._guard.poll() is not None:
            _close(self._guard)
            self._guard = None
        if self._guard is None:
            self._guard = self._start_guard()
        return self._group

    def _start_guard(self) -> subprocess.Popen[bytes]:
        if self._group:
            # The group outlives its leader as long as a child is in it: those children must not go unguarded.
            with contextlib.suppress(PermissionError, ProcessLookupError):
                return self._spawn(self._group)
        guard = self._spawn(0)
        self._group = guard.pid
        return guard

    @staticmethod
    def _spawn(group: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603  # a constant, and no input of anyone's
            ["/bin/sh", "-c", _GUARD, "pingpost-guard"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=group,
        )

    def release(self) -> None:
        """Kill whatever is still on the leash, and the guard. Safe to call twice."""
        guard, self._guard = self._guard, None
        if guard is None:
            return
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.killpg(self._group, signal.SIGKILL)
        _close(guard)
        guard.wait()
        self._group = 0


def _close(guard: subprocess.Popen[bytes]) -> None:
    if guard.stdin is not None:
        guard.stdin.close()
