"""The report as one page of HTML: it opens from disk, asks for nothing else, and holds no script.

What strangers wrote (sub sources, an operator's names of categories) is escaped by the template engine wherever it
stands; should that ever fail, the page's own policy (`Content-Security-Policy`) lets no script run.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from workers.report import rankings, sections
from workers.report.findings import Findings
from workers.report.measures import cells
from workers.report.words import counted, price, rate

_TEMPLATES: Final = Environment(
    loader=PackageLoader("workers.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(findings: Findings, made: datetime) -> str:
    """Draw the page. `made` (aware, UTC) is when the ledger was read."""
    found = bool(findings.whole.leads)
    return _TEMPLATES.get_template("page.html").render(
        span=findings.span,
        made=made,
        whole=findings.whole,
        figures=figures(findings) if found else (),
        payout=sections.payout(findings) if found else None,
        funnel=rankings.funnel(findings),
        outcomes=rankings.outcomes(findings),
        accepted=sections.accepted(findings),
        hours=sections.hours(findings),
        confirmed=sections.confirmed(findings),
        possible=sections.possible(findings),
        sources=rankings.sources(findings),
        categories=rankings.categories(findings),
    )


def figures(findings: Findings) -> tuple[tuple[str, str, str], ...]:
    """Give the figures on top: a name, the value, and what stands under it."""
    whole = findings.whole
    accept, average = cells(whole, "accept_rate", "average_bid")
    doubt = f"at {price(whole.possible_payout)}: ask the buyer" if whole.possible else "nothing to ask the buyer"
    return (
        ("payout", price(whole.payout), f"{price(whole.confirmed)} of it confirmed"),
        ("sold", f"{whole.sold:,}", f"{rate(whole.sold, whole.leads)} of {counted(whole.leads, 'lead')}"),
        ("accept rate", accept, f"{counted(whole.bids, 'bid')} of {whole.answered:,} answered"),
        (
            "average bid",
            f"$\N{NO-BREAK SPACE}{average}" if whole.bids else average,
            f"{counted(whole.pings, 'ping')} made",
        ),
        ("difference", price(whole.difference), "confirmed less quoted"),
        ("possible sales", f"{whole.possible:,}", doubt),
    )
