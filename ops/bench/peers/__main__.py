"""``python -m ops.bench.peers PEER``: enqueue, as the peer's own programs would, as many leads as each line asks for.

A line comes back when the broker has all of them.
"""

from __future__ import annotations

import sys
from importlib import import_module

from ops.bench.peers.job import leads


def main() -> None:
    """Enqueue until standard input ends."""
    peer = import_module(f"ops.bench.peers.{sys.argv[1]}")
    for line in sys.stdin:
        peer.enqueue(leads(int(line)))
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
