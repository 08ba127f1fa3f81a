"""Encryption to a broker: a URL's scheme asks for it, its query names the files.

``amqps://…`` and ``rediss://…`` always check the server's certificate and that it is for this host. Left alone, kombu
checks neither for ``rediss`` and not the host for ``amqps``. redis-py, given the same URL, checks both. PostgreSQL's
URL goes to its own library as it is (``?sslmode=verify-full&sslrootcert=FILE``).
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

ENCRYPTED: Final = frozenset({"amqps", "rediss", "valkeys"})
FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_PREFIX: Final = "ssl_"


def check_query(url: str) -> None:
    """Look at what a URL's query says of TLS.

    Raises:
        ValueError: it weakens the checks, stands in a URL that is not encrypted, or names a file that is not there.
    """
    parts = urlsplit(url)
    said = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name.startswith(_PREFIX)]
    for name, value in said:
        if name not in FILES:
            raise ValueError(
                f"{name} cannot be set: certificate and host name are always checked; "
                f"{FILES[0]}=FILE names an authority of your own"
            )
        if parts.scheme.lower() not in ENCRYPTED:
            raise ValueError(f"{name} needs one of {', '.join(f'{scheme}://' for scheme in sorted(ENCRYPTED))}")
        if not Path(value).is_file():
            raise ValueError(f"{name}: no such file: {value}")


def apart(broker_url: str) -> tuple[str, dict[str, Any] | None]:
    """Take a broker's URL apart for kombu: the URL without TLS's files, and kombu's ``ssl`` (None: not encrypted)."""
    parts = urlsplit(broker_url)
    if parts.scheme not in ENCRYPTED:
        return broker_url, None
    said = parse_qsl(parts.query, keep_blank_values=True)
    files = {name: value for name, value in said if name in FILES}
    url = urlunsplit(parts._replace(query=urlencode([pair for pair in said if pair[0] not in FILES])))
    if parts.scheme == "rediss":
        return url, {"ssl_cert_reqs": "required", "ssl_check_hostname": True, **files}
    return url, {
        # Only with a name is the name checked; kombu's own would be 127.0.0.1 for localhost.
        "server_hostname": parts.hostname,
        "cert_reqs": ssl.CERT_REQUIRED,
        **{name.removeprefix(_PREFIX): value for name, value in files.items()},
    }
