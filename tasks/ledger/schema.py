"""The ledger's tables. Money is whole micro-dollars, time is milliseconds since 1970 in UTC by the database's clock.

`leads` is one row a lead and holds its state; `attempts` is append-only, one row an HTTP exchange; `replies` are the
addresses that asked for an outcome; `refusals` are messages that never became a lead; `gates` outlive the state store;
`resets` are the buyer's days that are over; `taken` counts what an operator's own limits allow in a day; `call_reports`
are what upstream told of sold calls; `settlements` are what the buyer's statements say of unknown leads.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s",
        "uq": "uq_%(table_name)s",
    }
)

# SQLite gives rowids to an INTEGER primary key only.
_serial = BigInteger().with_variant(Integer(), "sqlite")

leads = Table(
    "leads",
    metadata,
    Column("lead_id", String(40), primary_key=True),
    Column("state", String(12), nullable=False),
    # Raised by every claim: a result is written only by the claim that it belongs to.
    Column("epoch", Integer, nullable=False, server_default="0"),
    Column("fingerprint", String(64), nullable=False),
    Column("flow", String(12), nullable=False),
    Column("call", String(12), nullable=False),  # the first call: ping, one_step or direct_post
    Column("test", Boolean, nullable=False),
    Column("numcategory", Integer, nullable=False),
    Column("subid", String(100), nullable=False),
    Column("customid", String(50), nullable=False),
    Column("content", Text),  # the buyer's fields as JSON, identity included; erased by retention
    Column("offered_price", BigInteger),
    Column("received_at", BigInteger, nullable=False),
    Column("deadline_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    # When the next step is due, or when the call under way must have ended: later than that, the lead stands still.
    Column("due_at", BigInteger, nullable=False),
    Column("pings", Integer, nullable=False, server_default="0"),
    Column("posts", Integer, nullable=False, server_default="0"),
    Column("token", String(255)),
    Column("price_quoted", BigInteger),
    Column("duration_s", Integer),
    Column("posted_at", BigInteger),
    Column("phone_number", String(64)),
    Column("price_confirmed", BigInteger),
    Column("forward_by", BigInteger),
    Column("status", String(12)),
    Column("code", Integer),
    Column("reason", Text),
    Column("outcome", Text),  # the message as it is told, but for `late` and `replayed`
    Column("ended_at", BigInteger),
    Column("logged_at", BigInteger),  # when it was last known that the outcome's log line was written
    Column("told_at", BigInteger),
    Column("last_code", Integer),  # of the last answer that asked to come again
    Column("last_reason", Text),
    # What the claim of the call under way took from the operator's own limits: JSON, to give it back from.
    Column("taken", Text),
)
Index("ix_leads_open", leads.c.due_at, sqlite_where=text("status IS NULL"), postgresql_where=text("status IS NULL"))
Index(
    "ix_leads_untold",
    leads.c.ended_at,
    sqlite_where=text("status IS NOT NULL AND told_at IS NULL"),
    postgresql_where=text("status IS NOT NULL AND told_at IS NULL"),
)
Index("ix_leads_ended_at", leads.c.ended_at)
Index(
    "ix_leads_unerased",
    leads.c.ended_at,
    sqlite_where=text("status IS NOT NULL AND content IS NOT NULL"),
    postgresql_where=text("status IS NOT NULL AND content IS NOT NULL"),
)
Index("ix_leads_token", leads.c.token)
# Where the producer gave none of its own, it is the lead's id, which has an index.
Index(
    "ix_leads_own_customid",
    leads.c.customid,
    sqlite_where=text("customid <> lead_id"),
    postgresql_where=text("customid <> lead_id"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("lead_id", String(40), ForeignKey("leads.lead_id"), nullable=False),
    Column("call", String(12), nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("request", Text, nullable=False),  # masked
    Column("http_status", Integer),
    Column("answer", Text, nullable=False),  # masked, cut
    Column("result", String(12), nullable=False),
    Column("code", Integer),
    Column("reason", Text),
    Column("duration_ms", Integer, nullable=False),
    Column("token", String(255)),
    Column("price", BigInteger),
    Column("stale", Boolean, nullable=False),  # the answer came when the lead had moved on
    # A claim's number is its own, so that its attempt is written once even where a commit was in doubt.
    UniqueConstraint("lead_id", "call", "number"),
)

replies = Table(
    "replies",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("lead_id", String(40), ForeignKey("leads.lead_id"), nullable=False, index=True),
    Column("medium", String(8), nullable=False),  # queue: a message of the broker's; list: plain JSON on a Redis list
    Column("address", String(255), nullable=False),
    Column("correlation_id", String(255)),
    Column("replayed", Boolean, nullable=False),
    Column("told_at", BigInteger),
)
Index(
    "ix_replies_untold",
    replies.c.lead_id,
    sqlite_where=text("told_at IS NULL"),
    postgresql_where=text("told_at IS NULL"),
)

refusals = Table(
    "refusals",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("lead_id", String(255), nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
)

gates = Table(
    "gates",
    metadata,
    Column("scope", String(160), primary_key=True),
    Column("code", Integer),
    Column("reason", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger),
    Column("turned_away", Integer, nullable=False, server_default="0"),
    Column("heard", BigInteger),  # when the code was last heard: the cap's day is the day of that
    Column("calendar", String(80)),  # by which `until` was reckoned; an operator may have changed it since
    Column("probe_at", BigInteger),  # when one lead may try, where that is allowed
    Column("probes", Integer, nullable=False, server_default="0"),
)

resets = Table(
    "resets",
    metadata,
    Column("day", String(10), primary_key=True),  # the day that is over, by the date on which it began
    Column("scope", String(160), primary_key=True),  # of a gate that was closed in it; `buyer`: the day as a whole
    Column("begins", BigInteger, nullable=False),
    Column("ends", BigInteger, nullable=False),
    Column("done_at", BigInteger, nullable=False),
    Column("closed_since", BigInteger),
    Column("turned_away", Integer, nullable=False),
    Column("sold", Integer, nullable=False),
    Column("payout", BigInteger, nullable=False),
    Column("logged_at", BigInteger),
    Column("opened_at", BigInteger),  # when the buyer sold again, where that was not at once
)

taken = Table(
    "taken",
    metadata,
    Column("day", String(10), primary_key=True),
    Column("scope", String(160), primary_key=True),
    Column("pings", Integer, nullable=False, server_default="0"),
    Column("sales", Integer, nullable=False, server_default="0"),
    Column("payouts", BigInteger, nullable=False, server_default="0"),
    Column("turned_away", Integer, nullable=False, server_default="0"),
)

# Both are append-only but for `counts`, which stands on the last row of each lead.
call_reports = Table(
    "call_reports",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("lead_id", String(40), ForeignKey("leads.lead_id"), nullable=False, index=True),
    Column("reported_at", BigInteger, nullable=False),
    Column("forwarded_at", BigInteger),  # null: the caller was never forwarded
    Column("duration_ms", Integer, nullable=False),
    Column("standing", String(8), nullable=False),
    Column("why", String(24)),
    Column("counts", Boolean, nullable=False),
)
settlements = Table(
    "settlements",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("lead_id", String(40), ForeignKey("leads.lead_id"), nullable=False, index=True),
    Column("settled_at", BigInteger, nullable=False),
    Column("statement", Text, nullable=False),  # the file's name
    Column("sold", Boolean, nullable=False),
    Column("price", BigInteger),
    Column("token", String(255)),
    Column("counts", Boolean, nullable=False),
)
for _told in (call_reports, settlements):
    Index(
        f"uq_{_told.name}_counting",
        _told.c.lead_id,
        unique=True,
        sqlite_where=text("counts = 1"),
        postgresql_where=text("counts"),
    )
