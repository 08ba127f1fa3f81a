"""The peers: the same job as each of their own documents would have it, and a bare loop without a queue.

Each reads where broker and buyer are from the environment. `python -m ops.bench.peers` enqueues for them.
"""

from __future__ import annotations

from typing import Final

BROKER_VARIABLE: Final = "BENCH_BROKER_URL"
BUYER_VARIABLE: Final = "BENCH_BUYER_URL"
PROCESSES: Final = 2
THREADS: Final = 32
