"""Settings: typed, from environment variables or a `.env` file, secrets also from files.

Every variable starts with ``PINGPOST_``. A secret may stand in a file that ``PINGPOST_<NAME>_FILE`` names. A value that
breaks a rule raises `SettingsError`, whose text is one line a variable, each naming it; secrets are never in that text.
"""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from workers.tls import check_query

PREFIX = "PINGPOST_"
TEST_KEY = "test_mode"
TEST_SUBID = "match"
SECRETS = ("KEY", "BROKER_URL", "STATE_URL", "LEDGER_URL")

Flow = Literal["ping_post", "one_step", "direct_post"]
CapScope = Literal["partner", "category", "subid"]


class SettingsError(Exception):
    """Settings that cannot be run with. The operator mends the variable that the text names."""


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _absent_when_blank(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


# A URL may hold a password: no representation shows one.
Url = Annotated[str | None, BeforeValidator(_absent_when_blank), Field(repr=False)]
OptionalPath = Annotated[Path | None, BeforeValidator(_absent_when_blank)]


class Settings(BaseSettings):
    """Everything that differs between one installation and another. See the README's table for what each means."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        hide_input_in_errors=True,
    )

    broker_url: Url = None
    state_url: Url = None
    ledger_url: Url = None
    data: Path = Path(".pingpost")

    partner_id: str = ""
    key: SecretStr = SecretStr("")
    subid: str = ""

    ping_url: Url = None
    post_url: Url = None
    direct_post_url: Url = None
    one_step_url: Url = None
    method: Annotated[Literal["form", "json", "get"], BeforeValidator(_lower)] = "form"
    resptype: Annotated[Literal["JSON", "XML", ""], BeforeValidator(_upper)] = "JSON"
    flow: Flow = "ping_post"
    post_by: Literal["ping", "broker"] = "ping"
    send_price: Literal["none", "ping", "post", "both"] = "none"
    mapping: OptionalPath = None
    categories: OptionalPath = None
    ziplist: OptionalPath = None

    buyer_timezone: str = "America/New_York"
    buyer_reset: str = "00:00"
    cap_scope: CapScope = "category"
    limits: OptionalPath = None
    calls_per_s: float = Field(default=0, ge=0, le=100_000)
    account_probe_s: float = Field(default=0, ge=0, le=86_400)
    deadline_s: float = Field(default=20, gt=0, le=3600)
    ping_timeout_s: float = Field(default=2, gt=0, le=60)
    post_timeout_s: float = Field(default=8, gt=0, le=120)
    connect_timeout_s: float = Field(default=1, gt=0, le=60)
    min_price: Decimal = Field(default=Decimal(0), ge=0, le=100_000, decimal_places=6)

    queue_type: Literal["classic", "quorum"] = "classic"
    retention_days: int = Field(default=30, ge=0)
    metrics_port: int = Field(default=0, ge=0, le=65535)
    metrics_address: str = "127.0.0.1"
    concurrency: int = Field(default=32, ge=1, le=512)
    one_cpu: bool = True
    task_events: bool = True
    log_format: Annotated[Literal["json", "console"] | None, BeforeValidator(_absent_when_blank)] = None
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING"], BeforeValidator(_upper)] = "INFO"
    log_undeclared: Literal["mark", "raise"] = "mark"

    @field_validator("broker_url")
    @classmethod
    def _broker_scheme(cls, value: str | None) -> str | None:
        return _connectable(value, "amqp", "amqps", "redis", "rediss", "valkey", "valkeys", "redis+socket")

    @field_validator("state_url")
    @classmethod
    def _state_scheme(cls, value: str | None) -> str | None:
        return _connectable(value, "redis", "rediss", "valkey", "valkeys", "redis+socket")

    @field_validator("ledger_url")
    @classmethod
    def _ledger_scheme(cls, value: str | None) -> str | None:
        return _scheme(value, "sqlite", "postgresql+psycopg")

    @field_validator("ping_url", "post_url", "direct_post_url", "one_step_url")
    @classmethod
    def _endpoint(cls, value: str | None) -> str | None:
        _scheme(value, "http", "https")
        if value and not urlsplit(value).hostname:
            raise ValueError("names no host")
        return value

    @field_validator("buyer_timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as unknown:
            raise ValueError(f"no such time zone: {value!r} (an IANA name such as America/New_York)") from unknown
        return value

    @field_validator("buyer_reset")
    @classmethod
    def _reset(cls, value: str) -> str:
        hours, colon, minutes = value.partition(":")
        if not (colon and hours.isdecimal() and minutes.isdecimal() and int(hours) < 24 and int(minutes) < 60):
            raise ValueError("must be a time of day such as 00:00")
        return f"{int(hours):02}:{int(minutes):02}"

    @field_validator("ziplist", "mapping", "categories", "limits")
    @classmethod
    def _readable(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"no such file: {value}")
        return value

    @model_validator(mode="after")
    def _test_mode_is_the_key_s_alone(self) -> Self:
        if self.subid == TEST_SUBID and self.key.get_secret_value() not in ("", TEST_KEY):
            raise ValueError(
                f"{PREFIX}SUBID: 'match' is the buyer's test source; with a live {PREFIX}KEY it is refused"
            )
        return self

    @property
    def test_mode(self) -> bool:
        """Whether nothing that is sold counts: the key alone decides (seed, Test mode)."""
        return self.key.get_secret_value() == TEST_KEY

    def require_credentials(self) -> None:
        """Refuse to run without the buyer's credentials.

        Raises:
            SettingsError: naming each variable that is missing.
        """
        missing = [
            name for name, value in (("PARTNER_ID", self.partner_id), ("KEY", self.key.get_secret_value())) if not value
        ]
        if missing:
            raise SettingsError("; ".join(f"{PREFIX}{name}: not set (the buyer gives it)" for name in missing))


def _scheme(value: str | None, *known: str) -> str | None:
    if value is not None and value.partition(":")[0].lower() not in known:
        raise ValueError(f"must start with one of {', '.join(f'{name}://' for name in known)}")
    return value


def _connectable(value: str | None, *known: str) -> str | None:
    if _scheme(value, *known):
        check_query(str(value).strip())
    return value


def _secrets_from_files(environment: dict[str, str]) -> dict[str, str]:
    """Read ``PINGPOST_KEY_FILE`` and its like; a variable set directly wins."""
    read: dict[str, str] = {}
    for name in SECRETS:
        path = environment.get(f"{PREFIX}{name}_FILE", "")
        if not path or environment.get(f"{PREFIX}{name}"):
            continue
        try:
            read[name.lower()] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as fault:
            raise SettingsError(f"{PREFIX}{name}_FILE: cannot read {path}: {fault.__class__.__name__}") from None
    return read


def load(**overrides: object) -> Settings:
    """Read the settings of this process.

    Raises:
        SettingsError: one line, naming each variable that is wrong.
    """
    given: dict[str, object] = dict(_secrets_from_files(dict(os.environ)))
    given.update(overrides)
    try:
        return Settings(**given)  # type: ignore[arg-type]  # pydantic checks each value
    except ValidationError as wrong:
        raise SettingsError("; ".join(_line(dict(error)) for error in wrong.errors(include_url=False))) from None


def _line(error: dict[str, object]) -> str:
    location = error["loc"]
    text = str(error["msg"]).removeprefix("Value error, ")
    if not isinstance(location, tuple) or not location:
        return text
    return f"{PREFIX}{str(location[0]).upper()}: {text}"
