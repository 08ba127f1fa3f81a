"""What every such server has: a folder, processes that die with their owner, and an end that leaves nothing."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from workers.leash import Leash
from workers.ports import is_free, pick_port


class OwnServer:
    """The processes of one server and the folder that they live in. An owner that is killed takes them along."""

    def __init__(self, name: str, folder: Path | None = None) -> None:
        """Make a new folder inside `folder`, by default the system's for temporary files (sockets need short paths)."""
        self.home = Path(tempfile.mkdtemp(prefix=f"pingpost-{name}-", dir=folder))
        self._leash = Leash()
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def output(self) -> str:
        """The end of what the processes said."""
        log = self.home / "output"
        return log.read_text(errors="replace")[-2000:] if log.exists() else ""

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        user: int | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """Start a process in the folder; its output goes to a file there."""
        with (self.home / "output").open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - an installed program, without a shell
                [str(part) for part in argv],
                cwd=self.home,
                env=dict(os.environ if env is None else env),
                stdin=stdin,
                stdout=output,
                stderr=output,
                user=user,
                process_group=self._leash.group,
            )
        self._processes.append(process)
        return process

    def kill(self) -> None:
        """End all processes at once. More may be started afterwards."""
        self._leash.release()
        for process in self._processes:
            process.wait()
        self._processes.clear()

    def stop(self) -> None:
        """End all processes, and remove the folder."""
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)


def free_port() -> int:
    """Give a loopback port that nobody listens on. Somebody else may take it before it is used: start, and see."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_taken(port: int) -> bool:
    """Whether somebody listens on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ports_in_a_row(number: int) -> int:
    """Give the first of so many free ports, side by side, from where the system itself gives none out."""
    while not all(map(is_free, range(first := pick_port(), first + number))):
        pass
    return first
