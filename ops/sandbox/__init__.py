"""The sandbox: a stand-in for the buyer, over real HTTP, that keeps a book of what it bought.

from ops.sandbox import Sandbox
"""

from ops.sandbox.background import Sandbox
from ops.sandbox.entries import Report, Sale
from ops.sandbox.rulebook import Call
from ops.sandbox.scenario import Fault, Layout, Scenario, ScenarioError, load_scenario

__all__ = ["Call", "Fault", "Layout", "Report", "Sale", "Sandbox", "Scenario", "ScenarioError", "load_scenario"]
