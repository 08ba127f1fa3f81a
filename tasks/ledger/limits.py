"""An operator's own daily limits: counted in the transaction of the claim, so that none is ever overrun."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, select, true, update
from sqlalchemy.dialects import postgresql, sqlite

from tasks.core.limits import Limit
from tasks.ledger.schema import taken


@dataclass(frozen=True, slots=True)
class Take:
    """What a claim takes, in a day of the buyer's, from each of `limits`: a ping, or a place among the sales."""

    day: str
    limits: Sequence[Limit]
    pings: int = 0
    sales: int = 0
    payouts_micros: int = 0

    def note(self) -> str | None:
        """Give what must be known to give it back; None: nothing of it is ever given back."""
        if not self.sales:
            return None
        scopes = [limit.scope for limit in self.limits]
        return json.dumps({"day": self.day, "scopes": scopes, "payouts": self.payouts_micros}, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class LimitReached:
    """The call may not be begun today. `reason` says which limit it is."""

    scope: str
    reason: str


@dataclass(frozen=True, slots=True)
class Used:
    """What has been taken in a day, in one scope; `turned_away` leads came too late."""

    pings: int
    sales: int
    payouts_micros: int
    turned_away: int


def take(connection: Connection, wanted: Take) -> LimitReached | None:
    """Take from every limit, or from none."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    for place, limit in enumerate(wanted.limits):
        fresh = dialect.insert(taken).values(day=wanted.day, scope=limit.scope)
        connection.execute(fresh.on_conflict_do_nothing())
        if not _add(connection, wanted, limit):
            _give(connection, wanted.day, [it.scope for it in wanted.limits[:place]], wanted)
            return _reached(connection, wanted.day, limit)
    return None


def is_full(connection: Connection, wanted: Take) -> bool:
    """Whether some limit has no room left. It may be filled a moment later: only `take` decides."""
    return _full(connection, wanted) is not None


def turn_away(connection: Connection, wanted: Take) -> LimitReached | None:
    """Count a lead that comes too late for some limit. None: there is room again."""
    full = _full(connection, wanted)
    return None if full is None else _reached(connection, wanted.day, full)


def undo(connection: Connection, wanted: Take) -> None:
    """Take back what a claim took that did not come about."""
    _give(connection, wanted.day, [limit.scope for limit in wanted.limits], wanted)


def give_back(connection: Connection, note: str) -> None:
    """Give a place among the sales back: the call that held it proves that there was no sale."""
    known = json.loads(note)
    _give(connection, known["day"], known["scopes"], Take(known["day"], (), 0, 1, known["payouts"]))


def add_payout(connection: Connection, note: str, micros: int) -> None:
    """Count a payout that nobody knew before the sale: a one-step call's."""
    known = json.loads(note)
    mine = (taken.c.day == known["day"], taken.c.scope.in_(known["scopes"]))
    connection.execute(update(taken).where(*mine).values(payouts=taken.c.payouts + micros))


def used(connection: Connection, day: str) -> dict[str, Used]:
    """Give what was taken in a day, by scope."""
    rows = connection.execute(select(taken).where(taken.c.day == day))
    return {row.scope: Used(row.pings, row.sales, row.payouts, row.turned_away) for row in rows}


def _full(connection: Connection, wanted: Take) -> Limit | None:
    for limit in wanted.limits:
        known = select(taken.c.scope, and_(*_room(wanted, limit)).label("room"))
        row = connection.execute(known.where(taken.c.day == wanted.day, taken.c.scope == limit.scope)).one_or_none()
        if row is not None and not row.room:
            return limit
    return None


def _room(wanted: Take, limit: Limit) -> list[ColumnElement[bool]]:
    room: list[ColumnElement[bool]] = [true()]
    # A ping takes no place among the sales, and is of no use where there is none.
    if limit.pings is not None and wanted.pings:
        room.append(taken.c.pings + wanted.pings <= limit.pings)
    if limit.sales is not None:
        room.append(taken.c.sales + max(wanted.sales, 1) <= limit.sales)
    if limit.payouts_micros is not None:
        room.append(taken.c.payouts + max(wanted.payouts_micros, 1) <= limit.payouts_micros)
    return room


def _add(connection: Connection, wanted: Take, limit: Limit) -> bool:
    mine = (taken.c.day == wanted.day, taken.c.scope == limit.scope, *_room(wanted, limit))
    more = {
        "pings": taken.c.pings + wanted.pings,
        "sales": taken.c.sales + wanted.sales,
        "payouts": taken.c.payouts + wanted.payouts_micros,
    }
    return connection.execute(update(taken).where(*mine).values(more)).rowcount == 1


def _give(connection: Connection, day: str, scopes: Sequence[str], back: Take) -> None:
    less: dict[str, Any] = {
        "pings": taken.c.pings - back.pings,
        "sales": taken.c.sales - back.sales,
        "payouts": taken.c.payouts - back.payouts_micros,
    }
    for scope in sorted(scopes):  # in the order in which they are taken, lest two transactions wait for each other
        connection.execute(update(taken).where(taken.c.day == day, taken.c.scope == scope).values(less))


def _reached(connection: Connection, day: str, limit: Limit) -> LimitReached:
    mine = (taken.c.day == day, taken.c.scope == limit.scope)
    row = connection.execute(select(taken).where(*mine)).one()
    connection.execute(update(taken).where(*mine).values(turned_away=taken.c.turned_away + 1))
    if limit.sales is not None and row.sales >= limit.sales:
        what = f"{limit.sales} sales"
    elif limit.pings is not None and row.pings >= limit.pings:
        what = f"{limit.pings} pings"
    else:
        what = f"$ {(limit.payouts_micros or 0) / 1_000_000:.2f} in payouts"
    return LimitReached(limit.scope, f"our own limit of {what} a day ({limit.scope})")
