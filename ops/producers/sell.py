#!/usr/bin/env python3
"""Sells the lead on standard input (a JSON object), on whichever broker, and prints its outcome.

    .venv/bin/python ops/producers/sell.py <lead.json

0: there is an outcome, whatever its status. Else none came in 30 s, and the same lead may be sent again.
"""

import json
import os
import sys
from pathlib import Path

from workers.producer import Producer

url = os.environ.get("PINGPOST_BROKER_URL") or Path(".pingpost/broker-url").read_text(encoding="utf-8")
with Producer(url) as producer:  # one a process, safe under threads
    outcome = producer.submit(json.load(sys.stdin)).result(timeout=30)
sys.stdout.write(json.dumps(outcome) + "\n")
