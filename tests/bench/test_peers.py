"""The peers do the job: twelve fields, fourteen fields, a line each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from ops.bench import peers
from ops.bench.buyer import buyer
from ops.bench.contenders import PEERS

COUNTED = """
from ops.bench.peers import job
(lead,) = job.leads(1)
print(len(job.ping_fields(lead)), len(job.post_fields(lead, "token")))
"""


def test_a_ping_has_twelve_fields_and_a_post_fourteen():
    """In a process of its own, since the job sets logging up."""
    told = subprocess.run([sys.executable, "-c", COUNTED], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["12", "14"]


def test_the_bare_loop_sells_as_many_as_it_is_asked_for_and_writes_a_line_a_step():
    with buyer() as stub:
        done = subprocess.run(
            PEERS["bare"].argv,
            input="2\n3\n",
            env={**os.environ, peers.BUYER_VARIABLE: stub.url},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        assert stub.counts()[0] == 5
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["ping", "post"] * 5
    assert {line["phone_number"] for line in lines if line["event"] == "post"} == {"+18005550199"}


def test_every_peer_has_its_module():
    folder = Path(peers.__file__).parent
    assert all((folder / f"{peer.module}.py").is_file() for peer in PEERS.values() if peer.module)
