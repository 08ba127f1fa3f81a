"""The data folder: files that only their owner reads, and locks that end with the process that holds them."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

OWNER_ONLY_FOLDER = 0o700
OWNER_ONLY_FILE = 0o600


def make_private(folder: Path) -> Path:
    """Make a folder that only its owner enters; one that is there already keeps its mode.

    Returns:
        The folder's absolute path.

    Raises:
        OSError: it cannot be made.
    """
    folder.mkdir(mode=OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
    return folder.resolve()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all: a reader never sees half a URL.

    Raises:
        OSError: the folder is not writable or the disk is full.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    # Created anew with its mode: a chmod after the write would leave a moment in which others can read it.
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY_FILE)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def take_lock(path: Path, *, shared: bool = False) -> int | None:
    """Take the lock on a file, or give None where another process has it.

    The lock is held as long as the returned descriptor, or one that a child inherited from it, is open anywhere: it
    ends with the process, however that dies.

    Raises:
        OSError: the file cannot be opened.
    """
    handle = os.open(path, os.O_CREAT | os.O_RDWR, OWNER_ONLY_FILE)
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock on this file; one that is not there is not locked."""
    if not path.is_file():
        return False
    # A shared lock, so that two who look at the same time do not take each other for the holder.
    handle = take_lock(path, shared=True)
    if handle is None:
        return True
    os.close(handle)
    return False
