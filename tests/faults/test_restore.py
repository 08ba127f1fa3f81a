"""A ledger that is lost and restored from its backup: nothing is sold twice, and no sale is forgotten unsaid."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.engine import make_url

from ops.sandbox import Sandbox
from ops.servers.postgresql import _program, new_database
from tasks.ledger import Ledger
from tasks.ledger.schema import leads
from tests.integration.installation import Installation, installed, lead, wait_for
from workers.places import ledger_default
from workers.producer import Producer

pytestmark = pytest.mark.timeout(240)

# Long deadlines: a ledger that is simply put back would have its open leads sold again.
NAMES = [f"backup-{number}" for number in range(30)]
SLOW, QUICK = "30301", "33139"
# So long that a copy is made meanwhile on a machine that is busy with other tests, too.
SLOW_S = 12
PATIENT = {"PINGPOST_POST_TIMEOUT_S": "30"}


@pytest.fixture
def buyer() -> Iterator[Sandbox]:
    """A buyer that takes its time over some posts: these are open while the others are sold."""
    with Sandbox({"rules": [{"call": "post", "zipcode": SLOW, "latency_ms": SLOW_S * 1000}]}) as sandbox:
        yield sandbox


def _statuses(house: Installation) -> dict[str, str | None]:
    rows = house.ledger.read(lambda connection: list(connection.execute(select(leads.c.lead_id, leads.c.status))))
    return {row.lead_id: row.status for row in rows}


def _sell(house: Installation, buyer: Sandbox) -> Iterator[None]:
    """Send all, yield when some are sold and others are on their way, and end when all are sold."""
    with Producer(house.broker_url) as producer:
        zipcodes = [QUICK] * 5 + [SLOW] * 25
        sent = [lead(name, zipcode=zipcode, deadline_s=600) for name, zipcode in zip(NAMES, zipcodes, strict=True)]
        futures = [producer.submit(each) for each in sent]
        wait_for(lambda: len(buyer.book()["sales"]) >= 5, 20)
        yield
        assert {future.result(timeout=60)["status"] for future in futures} == {"sold"}


def _after_the_restore(house: Installation, buyer: Sandbox, said: str) -> None:
    """See that what was open in the backup is `unknown`, told and logged, and that nobody calls the buyer for it."""
    calls = len(buyer.book(calls=True)["calls"])
    begun = _statuses(house)
    unknown = {name for name, status in begun.items() if status == "unknown"}
    assert unknown, begun
    assert set(begun.values()) == {"sold", "unknown"}
    assert said.rstrip().endswith(f": {len(unknown)}")
    house.start()
    for name in unknown:
        house.wait_for_line("lead.outcome", lead_id=name, status="unknown")
    with Producer(house.broker_url) as producer:
        # A producer that sends again what it had sent hears what is known, and a new lead is sold.
        again = producer.submit(lead(max(unknown), zipcode=SLOW, deadline_s=600)).result(timeout=30)
        assert (again["status"], again["replayed"]) == ("unknown", True)
        assert producer.submit(lead("after-it")).result(timeout=30)["status"] == "sold"
    wait_for(lambda: house.ledger.untold(older_than_ms=-1000, limit=10) == [], 20)
    assert len(buyer.book(calls=True)["calls"]) == calls + 2
    sales = Counter(sale["customid"] for sale in buyer.book()["sales"])
    assert sales == dict.fromkeys([*NAMES, "after-it"], 1)


def test_a_sqlite_ledger_is_copied_under_load_and_restored(tmp_path: Path, buyer: Sandbox):
    """`pingpost backup` while leads are sold; the file is lost; `pingpost restore`."""
    with installed(tmp_path, buyer, PATIENT, "--no-flower") as house:
        for _ in _sell(house, buyer):
            done = house.command("backup", "copy")
            assert done.returncode == 0, done
        refused = house.command("restore", "copy", "--replace")
        assert (refused.returncode, "stop it first" in refused.stderr) == (1, True), refused
        assert house.stop() == 0

        refused = house.command("restore", "copy")
        assert (refused.returncode, "--replace" in refused.stderr) == (1, True), refused
        database = Path(str(make_url(ledger_default(house.data)).database))
        database.unlink()
        done = house.command("restore", str(tmp_path / "copy"))
        assert done.returncode == 0, done
        _after_the_restore(house, buyer, done.stdout)


@pytest.mark.postgresql
def test_a_postgresql_ledger_is_dumped_under_load_and_restored(tmp_path: Path, buyer: Sandbox, postgresql_url: str):
    """PostgreSQL's own tools bring the rows back, `pingpost restore` ends what was open; never beside somebody."""
    with ExitStack() as stack:
        url, other = (stack.enter_context(new_database(postgresql_url)) for _ in range(2))
        environment = {"PINGPOST_LEDGER_URL": url, **PATIENT}
        house = stack.enter_context(installed(tmp_path, buyer, environment, "--no-flower"))
        refused = house.command("backup", "copy")
        assert (refused.returncode, "pg_dump" in refused.stderr) == (2, True), refused
        for _ in _sell(house, buyer):
            _run("pg_dump", "--format=custom", f"--file={tmp_path / 'copy'}", f"--dbname={_libpq(url)}")
        assert house.stop() == 0

        _run("pg_restore", f"--dbname={_libpq(other)}", "--no-owner", "--exit-on-error", str(tmp_path / "copy"))
        house.environment["PINGPOST_LEDGER_URL"] = other
        somebody = Ledger.open(other)
        somebody.now_ms()  # its pool keeps the connection
        refused = house.command("restore")
        somebody.close()
        assert (refused.returncode, "others are connected" in refused.stderr) == (1, True), refused
        done = house.command("restore")
        assert done.returncode == 0, done
        _after_the_restore(house, buyer, done.stdout)


def _run(program: str, *arguments: str) -> None:
    subprocess.run([_program(program), *arguments], check=True, capture_output=True, timeout=60)


def _libpq(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
