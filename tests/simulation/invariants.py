"""What must hold of a simulated world: after every step, and at its end. The one place where it is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tasks.core.protocol import Call
from tasks.core.sale import Sale
from tasks.core.states import State
from tests.simulation.buyer import YES, Entry
from tests.simulation.ledger import Attempt, Stored, facts_of

if TYPE_CHECKING:
    from tests.simulation.world import World


class Broken(AssertionError):
    """An invariant that does not hold."""


class Invariants:
    """Watches one world. `after_step` looks at the leads that were touched since; `at_rest` at everything."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._outcomes: dict[str, str] = {}
        self._attempts_seen = 0
        self._booked = 0
        self._told_seen = 0

    def after_step(self) -> None:
        """Check what a step may have broken."""
        world = self._world
        for entry in world.buyer.book[self._booked :]:
            self._booked += 1
            self._at_most_one_post_that_may_have_sold(entry)
            self._a_post_is_made_against_a_bid_of_its_own(entry)
        touched, world.ledger.touched = world.ledger.touched, set()
        for lead_id in touched:
            row = world.ledger.rows[lead_id]
            self._one_outcome(lead_id, row)
            self._a_sale_of_ours_is_one_of_the_buyer_s(lead_id, row)
            self._a_sale_of_the_buyer_s_is_no_loss_of_ours(lead_id, row)
        for attempt in world.ledger.attempts[self._attempts_seen :]:
            self._attempts_seen += 1
            self._tokens_and_payouts_are_in_the_log(attempt)
        for address, message in world.broker.told[self._told_seen :]:
            self._told_seen += 1
            self._told_is_what_the_ledger_has(address, message)
        if world.undeclared:
            raise Broken(f"log lines that tasks/events.toml does not declare: {world.undeclared}")

    def at_rest(self) -> None:
        """Check what must be true once nothing is left to do."""
        world = self._world
        told = {(address, message["lead_id"]) for address, message in world.broker.told}
        lines = {line["lead_id"] for line in world.log if line["event"] == "lead.outcome"}
        for lead_id, address in world.accepted:
            if ("", lead_id) not in told:
                raise Broken(f"{lead_id} was accepted, and has no outcome that was told")
            if (address, lead_id) not in told:
                raise Broken(f"{lead_id}: {address} waits for its outcome in vain")
            if lead_id not in lines:
                raise Broken(f"{lead_id} has no line lead.outcome")
        ours = sum(row.columns.get("price_confirmed") or 0 for row in world.ledger.rows.values() if _counts(row))
        theirs = sum(entry.price.micros for entry in world.buyer.book if _is_sale(entry) and entry.answered)
        # A sale whose answer was read, by a worker that died before it was written down: `unknown`, found by its line.
        lost = sum(
            entry.price.micros
            for entry in world.buyer.book
            if _is_sale(entry) and entry.answered and not _counts(world.ledger.rows[entry.lead_id])
        )
        if ours != theirs - lost:
            raise Broken(f"our payouts are {ours}, the buyer's {theirs - lost}")

    def _one_outcome(self, lead_id: str, row: Stored) -> None:
        if (row.outcome is not None) != row.state.final:
            raise Broken(f"{lead_id} is {row.state} with the outcome {row.outcome}")
        if row.outcome is None:
            if lead_id in self._outcomes:
                raise Broken(f"{lead_id} has lost its outcome")
            return
        outcome = json.dumps(row.outcome, sort_keys=True)
        if self._outcomes.setdefault(lead_id, outcome) != outcome:
            raise Broken(f"{lead_id} has a second outcome: {outcome} after {self._outcomes[lead_id]}")

    def _at_most_one_post_that_may_have_sold(self, entry: Entry) -> None:
        if not entry.call.sells:
            return
        for earlier in self._world.buyer.book[: self._booked - 1]:
            if earlier.lead_id == entry.lead_id and earlier.may_have_sold:
                raise Broken(f"{entry.lead_id} was posted again after a {earlier.call} that may have sold it")

    def _a_post_is_made_against_a_bid_of_its_own(self, entry: Entry) -> None:
        if entry.call is not Call.POST:
            return
        bids = [it for it in self._world.buyer.book if it.call is Call.PING and it.token == entry.offered]
        if [(it.lead_id, it.decision, it.answered) for it in bids] != [(entry.lead_id, YES, True)]:
            raise Broken(f"{entry.lead_id} was posted against the token {entry.offered} of {bids}")

    def _a_sale_of_ours_is_one_of_the_buyer_s(self, lead_id: str, row: Stored) -> None:
        if row.state is not State.SOLD or row.outcome is None:
            return
        told = (row.outcome["token"], row.columns["price_confirmed"])
        sales = [(it.offered or it.token, it.price.micros) for it in self._of(lead_id) if _is_sale(it)]
        if sales != [told]:
            raise Broken(f"{lead_id} is sold for {told}, and the buyer's sales of it are {sales}")

    def _a_sale_of_the_buyer_s_is_no_loss_of_ours(self, lead_id: str, row: Stored) -> None:
        if any(_is_sale(it) for it in self._of(lead_id)) and row.state not in (
            State.POSTING,
            State.SOLD,
            State.UNKNOWN,
        ):
            raise Broken(f"{lead_id} was sold at the buyer, and is {row.state} here")

    def _tokens_and_payouts_are_in_the_log(self, attempt: Attempt) -> None:
        token, price = facts_of(attempt)
        if token is None:
            return
        kind = "sale" if isinstance(attempt.answer, Sale) else "bid"
        for line in self._world.log:
            if (line["event"], line.get("lead_id"), line.get("result")) != ("buyer.call", attempt.lead_id, kind):
                continue
            if line["token"] == token and round(float(line["price"]) * 1_000_000) == price:
                return
        raise Broken(f"{attempt.lead_id}: the token {token} stands in the ledger, and on no line")

    def _told_is_what_the_ledger_has(self, address: str, message: Mapping[str, Any]) -> None:
        row = self._world.ledger.rows[message["lead_id"]]
        plain = {name: value for name, value in message.items() if name not in ("late", "replayed")}
        if plain != row.outcome:
            raise Broken(f"{address or 'the exchange'} was told {plain}, and the ledger has {row.outcome}")

    def _of(self, lead_id: str) -> list[Entry]:
        return [entry for entry in self._world.buyer.book if entry.lead_id == lead_id]


def _is_sale(entry: Entry) -> bool:
    return entry.call.sells and entry.decision == YES


def _counts(row: Stored) -> bool:
    return row.state is State.SOLD
