"""A scenario: what the sandbox buyer shall do, as data.

A scenario is a TOML file (or the same as a dict). Its keys are the attributes below; `README.md` has them as a table.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from ops.sandbox.rulebook import Call

SHIPPED = Path(__file__).resolve().parent / "scenarios"


class ScenarioError(Exception):
    """A scenario that cannot be played. Its text has one line per fault, each naming the key."""


class Layout(StrEnum):
    """How an answer looks. The last two need an overridden mapping, which `mappings/` holds under the same name."""

    FLAT_JSON = "flat_json"
    NESTED_JSON = "nested_json"
    XML_ELEMENTS = "xml_elements"
    XML_ATTRIBUTES = "xml_attributes"
    KEY_VALUE = "key_value"
    LOUD_JSON = "loud_json"
    OPAQUE_XML = "opaque_xml"
    FOREIGN_JSON = "foreign_json"


class Fault(StrEnum):
    """How an answer goes wrong on the wire."""

    RESET = "reset"
    HANG = "hang"
    CUT = "cut"
    HTTP_500 = "http_500"
    GARBAGE = "garbage"
    SLOW = "slow"
    ENDLESS = "endless"
    REDIRECT = "redirect"
    HTML = "html"
    DROP_AFTER_SALE = "drop_after_sale"
    LATE_SALE = "late_sale"

    @property
    def sells(self) -> bool:
        """Whether the buyer has made up its mind, and booked a sale, before its answer goes wrong."""
        return self in _DECIDED


_DECIDED = frozenset({Fault.CUT, Fault.GARBAGE, Fault.SLOW, Fault.ENDLESS, Fault.DROP_AFTER_SALE, Fault.LATE_SALE})


def _as_tuple(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


def _as_texts(value: object) -> object:
    many = value if isinstance(value, list | tuple) else [value]
    return tuple(str(one) if type(one) is int else one for one in many)


def _as_range(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value, value)


Texts = Annotated[tuple[str, ...], BeforeValidator(_as_texts)]
Calls = Annotated[tuple[Call, ...], BeforeValidator(_as_tuple)]
Price = Annotated[str, Field(pattern=r"^[0-9]{1,7}(\.[0-9]{1,6})?$")]
Code = Annotated[int, Field(ge=1, le=999_999)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0)]
Milliseconds = Annotated[float, Field(ge=0)]
Latency = Annotated[tuple[Milliseconds, Milliseconds], BeforeValidator(_as_range)]
Counted = Literal["all", "zipcode", "numcategory", "subid", "customid", "token", "lead"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(_Part):
    """What happens to the calls that it matches. A matcher that is absent matches every call; the first rule wins.

    `first` and `nth` count the calls that the other matchers let through, apart for each value of `per`. `share` lets a
    seeded part of them through. Without `code` and without `fault` the answer is positive.
    """

    call: Calls = ()
    numcategory: Texts = ()
    zipcode: Texts = ()
    subid: Texts = ()
    first: Count | None = None
    nth: Annotated[tuple[Count, ...], BeforeValidator(_as_tuple)] = ()
    per: Counted = "zipcode"
    share: Annotated[float, Field(gt=0, le=1)] | None = None

    code: Code | None = None
    reason: str | None = None
    http_status: Annotated[int, Field(ge=200, le=599)] = 200
    retry_after_s: Seconds | None = None
    price: Price | None = None
    duration: Annotated[int, Field(ge=0)] | None = None
    phone_number: str | None = None
    latency_ms: Latency | None = None
    layout: Layout | None = None
    fault: Fault | None = None
    pause_ms: Milliseconds | None = None
    sells: bool | None = None


class Cap(_Part):
    """At most `count` sales per buyer's day: for each category, for each sub source, or for all of a partner's."""

    count: Annotated[int, Field(ge=0)]
    per: Literal["partner", "category", "subid"] = "category"
    numcategory: Texts = ()


class Maintenance(_Part):
    """Calls answered 1000: those within `length_s` from `start_s` after the start, or the first `first_calls`."""

    start_s: Seconds = 0
    length_s: Seconds | None = None
    first_calls: Count | None = None
    call: Calls = ()
    retry_after_s: Seconds | None = None

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if (self.length_s is None) == (self.first_calls is None):
            raise ValueError("needs either length_s or first_calls")
        return self


class RateLimit(_Part):
    """More than `calls_per_s` in the long run, or than `burst` at once, are answered 1100."""

    calls_per_s: Annotated[float, Field(gt=0)]
    burst: Annotated[float, Field(ge=1)] | None = None
    retry_after_s: Seconds | None = None


class Scenario(_Part):
    """Everything the buyer does that its page leaves open, or that only happens on bad days."""

    seed: int = 0
    partners: dict[str, str] = {}
    categories: Texts = ()
    allow: dict[Call, Texts] = {}

    layout: Layout | None = None
    layouts: dict[Literal["JSON", "XML", "default"], Layout] = {}
    price: Price = "9.50"
    prices: dict[str, Price] = {}
    duration: Annotated[int, Field(ge=0)] = 60
    phone_number: str | None = None
    latency_ms: Latency = (0, 0)
    one_step_token: bool = False

    invalid_code: Code = 5000
    token_code: Code = 5000
    token_life_s: Seconds | None = None
    repeated_post: Literal["refuse", "same_sale"] = "refuse"
    timezone: str = "America/New_York"

    rules: tuple[Rule, ...] = ()
    caps: tuple[Cap, ...] = ()
    maintenance: tuple[Maintenance, ...] = ()
    rate_limit: RateLimit | None = None

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as unknown:
            raise ValueError("no such time zone") from unknown
        return value


def scenario_from(data: Mapping[str, Any]) -> Scenario:
    """Check a scenario.

    Raises:
        ScenarioError: a line for each key that is wrong.
    """
    try:
        return Scenario.model_validate(dict(data))
    except ValidationError as wrong:
        lines = [
            f"{'.'.join(str(step) for step in error['loc'])}: {error['msg']}"
            for error in wrong.errors(include_url=False, include_input=False)
        ]
        raise ScenarioError("\n".join(lines)) from None


def scenario_from_text(text: str) -> Scenario:
    """Check a scenario written in TOML.

    Raises:
        ScenarioError: the text is no TOML, or a key is wrong.
    """
    try:
        return scenario_from(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as fault:
        raise ScenarioError(f"no TOML: {fault}") from None


def load_scenario(name: str | Path) -> Scenario:
    """Read a scenario file; the name alone (`demo`) finds one of those shipped in `scenarios/`.

    Raises:
        ScenarioError: there is no such file, or what is in it is wrong.
    """
    path = Path(name)
    if not path.is_file() and path == Path(path.stem):
        path = SHIPPED / f"{path}.toml"
    try:
        return scenario_from_text(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as fault:
        raise ScenarioError(f"cannot read scenario {name}: {fault.__class__.__name__}") from None
