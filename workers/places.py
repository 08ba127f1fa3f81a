"""Where the broker, the state store and the ledger of this PINGPOST_DATA are.

What a variable does not name is found: a running ``pingpost up`` of the same data folder tells its broker and its state
store in two files, and the ledger is SQLite in that folder. The files count only while the up that wrote them lives.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from workers import folder
from workers.settings import PREFIX, Settings, SettingsError

BROKER_FILE = "broker-url"
STATE_FILE = "state-url"
LOCK_FILE = "up.lock"

# What users may write, and what kombu, Celery and redis-py know it as.
_SCHEMES = {"valkey": "redis", "valkeys": "rediss"}
_STORES = frozenset({"redis", "rediss", "redis+socket"})


@dataclass(frozen=True, slots=True)
class Places:
    """Three concrete URLs, in the form that kombu (broker, state) and SQLAlchemy (ledger) take. They hold passwords."""

    broker_url: str = field(repr=False)
    state_url: str = field(repr=False)
    ledger_url: str = field(repr=False)

    @property
    def state_client_url(self) -> str:
        """The state store's URL as redis-py takes it (`for_redis_py`)."""
        return for_redis_py(self.state_url)

    def environment(self) -> dict[str, str]:
        """Give the variables with which another process finds the same three."""
        return {
            f"{PREFIX}BROKER_URL": self.broker_url,
            f"{PREFIX}STATE_URL": self.state_url,
            f"{PREFIX}LEDGER_URL": self.ledger_url,
        }


def resolve(settings: Settings) -> Places:
    """Find the three places of these settings.

    Raises:
        SettingsError: the broker or the state store is not named and no ``pingpost up`` of this data folder runs.
    """
    broker = for_libraries(settings.broker_url) if settings.broker_url else _told(settings.data, BROKER_FILE)
    if broker is None:
        raise SettingsError(f"{PREFIX}BROKER_URL: not set, and no `pingpost up` runs on {settings.data}")
    state = for_libraries(settings.state_url) if settings.state_url else None
    if state is None and is_store(broker):
        state = broker
    if state is None:
        state = _told(settings.data, STATE_FILE)
    if state is None:
        raise SettingsError(
            f"{PREFIX}STATE_URL: not set; beside an AMQP broker a Redis or Valkey is needed (`pingpost up` starts one)"
        )
    return Places(broker, state, settings.ledger_url or ledger_default(settings.data))


def ledger_default(data: Path) -> str:
    """Give the URL of the SQLite file in a data folder; the same from every working directory."""
    return f"sqlite:///{data.resolve() / 'ledger.sqlite3'}"


def sqlite_file(settings: Settings) -> Path | None:
    """Give the file of a SQLite ledger; None: the ledger is elsewhere.

    Raises:
        SettingsError: no database's URL.
    """
    try:
        url = make_url(settings.ledger_url or ledger_default(settings.data))
    except ArgumentError:
        raise SettingsError(f"{PREFIX}LEDGER_URL: not a database's URL") from None
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def is_store(url: str) -> bool:
    """Whether a URL is a Redis's or a Valkey's, which can keep state beside queues."""
    return urlsplit(for_libraries(url)).scheme in _STORES


def for_libraries(url: str) -> str:
    """Turn ``valkey://`` and ``valkeys://`` into the ``redis://`` and ``rediss://`` that libraries know."""
    scheme, colon, rest = url.strip().partition(":")
    scheme = scheme.lower()
    return f"{_SCHEMES.get(scheme, scheme)}{colon}{rest}"


def for_redis_py(url: str) -> str:
    """Turn kombu's ``redis+socket:///path?virtual_host=1`` into redis-py's ``unix:///path?db=1``."""
    parts = urlsplit(for_libraries(url))
    if parts.scheme != "redis+socket":
        return parts.geturl()
    number = parse_qs(parts.query).get("virtual_host", ["0"])[0].strip("/") or "0"
    return f"unix://{parts.netloc}{parts.path}?db={quote(number)}"


def without_password(url: str) -> str:
    """Give a URL that may be shown: its password, and every query value, is left out."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if ":" in user:
        user = f"{user.partition(':')[0]}:***"
    query = "&".join(f"{name}=***" for name in parse_qs(parts.query, keep_blank_values=True))
    # By hand: urlunsplit drops the empty host of `sqlite:///file`.
    return f"{parts.scheme}://{user}{at}{host}{parts.path}{f'?{query}' if query else ''}"


def tell(data: Path, places: Places) -> None:
    """Write where this up's broker and state store are, readable by the owner alone.

    Raises:
        OSError: the folder is not writable.
    """
    folder.write_private(data / BROKER_FILE, places.broker_url + "\n")
    folder.write_private(data / STATE_FILE, places.state_url + "\n")


def forget(data: Path) -> None:
    """Remove what `tell` wrote; what is not there is no fault."""
    for name in (BROKER_FILE, STATE_FILE):
        (data / name).unlink(missing_ok=True)


def _told(data: Path, name: str) -> str | None:
    if not folder.is_locked(data / LOCK_FILE):
        return None  # left behind by an up that was killed
    try:
        return (data / name).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None  # it is still starting, or stopping
