"""The bare machine: a loop over one `requests.Session`, no queue, no threads; how many leads a line of its input says.

``python -m ops.bench.peers.bare``, once for each of the two processes.
"""

from __future__ import annotations

import sys

from ops.bench.peers import job


def main() -> None:
    """Sell as many leads as each line of standard input asks for."""
    for line in sys.stdin:
        for lead in job.leads(int(line)):
            job.post(lead, job.ping(lead))


if __name__ == "__main__":
    main()
