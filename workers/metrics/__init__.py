"""Metrics for Prometheus: every name in `names`, what a process has counted in `counts`, what is read in `state`."""

from workers.metrics.counts import Counts
from workers.metrics.names import METRICS, Name
from workers.metrics.serving import serve
from workers.metrics.state import State, broker_of, ledger_of, store_of

__all__ = ["METRICS", "Counts", "Name", "State", "broker_of", "ledger_of", "serve", "store_of"]
