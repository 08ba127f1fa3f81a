"""What a full disk must not do: end a sale with a log line that cannot be written, or leave the operator guessing."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_full(fault: BaseException) -> bool:
    """Whether an error says that there is no space left, on the disk or in a user's share of it."""
    return isinstance(fault, OSError) and fault.errno in _FULL


def in_words(fault: Exception) -> str:
    """Name an error for an operator: its class, or where the disk is full and what to do about it."""
    if not is_full(fault):
        return type(fault).__name__
    where = getattr(fault, "filename", None) or "the disk of the data folder"
    return f"no space left on {where}: free some, it goes on by itself"


@contextmanager
def lines_may_be_lost() -> Iterator[None]:
    """Give up what is written to the log while its disk is full; every other error goes on its way."""
    try:
        yield
    except OSError as fault:
        if not is_full(fault):
            raise


def end_cleanly() -> None:
    """Ask this process to end as an operator would: what is under way is finished, nothing new is begun."""
    os.kill(os.getpid(), signal.SIGTERM)


class LogStream:
    """Standard output for log lines: the call that a line tells of goes on, though the line cannot be written.

    Where nobody reads it any more, calls that are under way are finished, and the process ends: what it would go on to
    do, nobody could ever look up.
    """

    def __init__(self, stream: TextIO, *, unread: Callable[[], object] = end_cleanly) -> None:
        """Write to a text stream; `unread` is called once, when its reader has gone."""
        self._stream = stream
        self._unread = unread
        self._read = True

    def write(self, text: str) -> None:
        """Write, or lose the text."""
        self._try(lambda: self._stream.write(text))

    def flush(self) -> None:
        """Flush, or lose what was held back."""
        self._try(self._stream.flush)

    def _try(self, write: Callable[[], object]) -> None:
        if not self._read:
            return
        try:
            write()
        except BrokenPipeError:
            self._read = False
            self._unread()
        except OSError as fault:  # as `lines_may_be_lost`, which is dear for each line of a log
            if not is_full(fault):
                raise
