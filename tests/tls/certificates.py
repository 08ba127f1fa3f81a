"""Certificates for an afternoon: an authority of our own, and what it vouches for. By the program openssl."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.servers.need import missing


@dataclass(frozen=True, slots=True)
class Authority:
    """Who vouches for servers. `file` is what a client trusts."""

    home: Path

    @property
    def file(self) -> Path:
        """Its certificate."""
        return self.home / "ca.pem"

    def certificate(self, *names: str) -> tuple[Path, Path]:
        """Vouch for a server under these names (as ``DNS:localhost``): its certificate and its key."""
        stem = names[0].replace(":", "-")
        files = self.home / f"{stem}.pem", self.home / f"{stem}.key"
        extensions = self.home / f"{stem}.cnf"
        extensions.write_text(f"subjectAltName={','.join(names)}\nextendedKeyUsage=serverAuth\n")
        asking = self.home / f"{stem}.csr"
        _openssl("req", "-newkey", *_KEY, "-nodes", "-keyout", files[1], "-out", asking, "-subj", "/CN=a server")
        _openssl(
            *("x509", "-req", "-in", asking, "-CA", self.file, "-CAkey", self.home / "ca.key", "-CAcreateserial"),
            *("-days", "2", "-extfile", extensions, "-out", files[0]),
        )
        return files


_KEY = ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


def found(home: Path) -> Authority:
    """Found an authority in a folder, which is made."""
    home.mkdir()
    authority = Authority(home)
    _openssl(
        *("req", "-x509", "-newkey", *_KEY, "-nodes", "-keyout", home / "ca.key", "-out", authority.file),
        *("-days", "2", "-subj", f"/CN=authority {home.name}"),
        *("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"),
    )
    return authority


def _openssl(*arguments: str | Path) -> None:
    program = shutil.which("openssl")
    if program is None:
        missing("no openssl to make certificates with")
    subprocess.run([program, *map(str, arguments)], check=True, capture_output=True, timeout=60)
