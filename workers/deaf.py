"""Runs a program that hears neither SIGINT nor SIGTERM: ``python -IS deaf.py PROGRAM ARGUMENT...``.

A service manager or a hasty operator may ask every process of an installation to end at once. Who carries the messages
has to stay until the others have finished; it ends when it is told to by other means. A blocked signal stays blocked
over an exec, whatever handlers the program sets for it. Imports nothing of ours: it stands before each start of it.
"""

import os
import signal
import sys

if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606  # our own arguments, without a shell
