"""The buyer's protocol as data: which call carries which field, what a code means, what a category is called.

The tables themselves are TOML files beside the buyer (`tasks/buyers/letsmakealead/`); these are their shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

FieldKind = Literal["string", "text", "integer", "digits", "money"]
FieldSource = Literal["credential", "lead", "format", "offer", "constant", "bid"]
Presence = Literal["required", "optional", "no"]


class Call(StrEnum):
    """The buyer's four calls. All but the ping sell, and are never repeated after an answer that may be a sale."""

    PING = "ping"
    POST = "post"
    ONE_STEP = "one_step"
    DIRECT_POST = "direct_post"

    @property
    def sells(self) -> bool:
        """Whether this call may end in a sale."""
        return self is not Call.PING


class Action(StrEnum):
    """What a code asks a step to do (`buyer.toml`, codes)."""

    WAIT = "wait"
    SLOW = "slow"
    BLOCKED = "blocked"
    CAPPED = "capped"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Code:
    """A code of the buyer's: its number, the page's words, and what follows. `listed` is false for all others.

    `of_source`: it may be the sub source's alone, and not the partner's.
    """

    number: int
    meaning: str
    action: Action
    listed: bool = True
    of_source: bool = False


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One row of the fields table: in which calls a field stands, and which values it may have."""

    name: str
    source: FieldSource
    presence: Mapping[Call, Presence]
    kind: FieldKind
    min_length: int = 0
    max_length: int | None = None
    allowed: tuple[str, ...] = ()
    constant: str | None = None
    identity: bool = False
    secret: bool = False
    required: bool = field(init=False)  # in any call

    def __post_init__(self) -> None:
        object.__setattr__(self, "required", "required" in self.presence.values())


@dataclass(frozen=True, slots=True)
class Protocol:
    """Everything that the core knows of a buyer in one vertical."""

    buyer: str
    vertical: str
    fields: tuple[FieldRule, ...]
    categories: Mapping[int, str]
    codes: Mapping[int, Code]
    forward_within_s: int
    answer_bytes: int
    test_subid: str
    test_price: str
    one_step_url: str
    identity_fields: frozenset[str] = field(init=False)
    lead_fields: tuple[FieldRule, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "identity_fields", frozenset(rule.name for rule in self.fields if rule.identity))
        object.__setattr__(self, "lead_fields", tuple(rule for rule in self.fields if rule.source == "lead"))

    def code(self, number: int) -> Code:
        """Look a code up; one that the page does not list is final for the lead and asks for an operator."""
        return self.codes.get(number) or Code(number, "Ask Your Representative", Action.REJECTED, listed=False)
