"""The screen of ``pingpost up``: from what is known to what a person sees. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tasks.core.outcome import Status
from tasks.gates import Gate
from workers.part import State
from workers.watching import Look, Trouble

PART_COLOURS: Final = {
    State.READY: "green",
    State.STARTING: "yellow",
    State.WAITING: "red",
    State.STOPPING: "yellow",
    State.STOPPED: "dim",
}
STATUS_COLOURS: Final = {
    Status.SOLD: "green",
    Status.UNKNOWN: "red",
    Status.FAILED: "red",
    Status.BLOCKED: "red",
    Status.CAPPED: "yellow",
    Status.EXPIRED: "yellow",
}
BARS: Final = " ▁▂▃▄▅▆▇█"
LATELY_S: Final = 10
BOX: Final = 38  # two beside each other on eighty columns
LONG_QUEUE: Final = 100

PartLine = tuple[str, State, int | None, int]
"""A part's name, where it stands, its process and how often it was started."""


def screen(
    parts: Sequence[PartLine], places: Mapping[str, str], look: Look | None, troubles: Iterable[Trouble]
) -> RenderableType:
    """Give the whole screen. Without a `look`, everything is still starting."""
    rows: list[RenderableType] = [_parts(parts)]
    if look is not None:
        rows += [_now(look), Columns([_today(look), _queues(look)], padding=(0, 1)), _gates(look.gates)]
        rows.append(_troubles(list(troubles)))
        if look.missing:
            rows.append(Text(f"cannot be read now: {', '.join(look.missing)}", style="red"))
    if places:
        rows.append(_places(places))
    return Group(*rows)


def _parts(parts: Sequence[PartLine]) -> RenderableType:
    line = Text()
    for name, state, pid, starts in parts:
        said = [str(pid)] if state is State.READY and pid else [state.value]
        said += [f"started {starts} times"] if starts > 1 else []
        line.append("●\N{NO-BREAK SPACE}", style=PART_COLOURS[state])
        line.append(name, style="bold")
        line.append(
            "\N{NO-BREAK SPACE}" + "\N{NO-BREAK SPACE}".join(said).replace(" ", "\N{NO-BREAK SPACE}"), style="dim"
        )
        line.append("   ")
    return Panel(line, title="parts", title_align="left", border_style="dim")


def _now(look: Look) -> RenderableType:
    lately = look.by_second[-LATELY_S:]
    ended, sold = (sum(second[place] for second in lately) / max(1, len(lately)) for place in (0, 1))
    most = max((second[0] for second in look.by_second), default=0)
    plot = Text()
    for all_, sold_ in look.by_second:
        plot.append(_bar(all_, most), style="green" if sold_ * 2 >= all_ else "yellow")
    line = Text.assemble(
        (f"{ended:5.1f}", "bold"),
        " leads/s  ",
        (f"{sold:5.1f}", "bold green"),
        " sold/s   ",
        plot,
        (f" most {most}/s", "dim"),
    )
    return Panel(line, title="now, and the last minute", title_align="left", border_style="dim")


def _bar(value: int, most: int) -> str:
    if value <= 0 or most <= 0:
        return BARS[0]
    return BARS[max(1, round(value / most * (len(BARS) - 1)))]


def _today(look: Look) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    total = sum(look.counts.values())
    for status in Status:
        number = look.counts.get(status, 0)
        if not number and status is not Status.SOLD:
            continue
        share = f"{100 * number / total:.1f} %" if total else ""
        paid = f"$ {Decimal(look.payout_micros).scaleb(-6):,.2f}" if status is Status.SOLD else ""
        colour = STATUS_COLOURS.get(status, "default") if number else "dim"
        table.add_row(Text(status.value, style=colour), Text(f"{number:,}", style="bold", justify="right"), share, paid)
    return Panel(table, title="the buyer's day", title_align="left", border_style="dim", width=BOX)


def _queues(look: Look) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for queue, depth in look.depths.items():
        style = "bold" if depth < LONG_QUEUE else "bold yellow"
        table.add_row(queue, Text(f"{depth:,}", style=style, justify="right"), "")
    oldest = f"oldest {look.waiting.oldest_ms / 1000:.1f} s" if look.waiting.leads else ""
    table.add_row("no outcome yet", Text(f"{look.waiting.leads:,}", style="bold", justify="right"), oldest)
    return Panel(table, title="queues", title_align="left", border_style="dim", width=BOX)


def _gates(gates: Sequence[Gate]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for gate in gates:
        if not gate.closed and gate.reason is None and gate.calls_per_s is None:
            continue
        words = [
            " ".join(filter(None, (str(gate.code or ""), gate.reason))),
            f"{gate.calls_per_s:g} calls a second" if gate.calls_per_s else "",
            f"{gate.turned_away:,} turned away" if gate.turned_away else "",
            f"until {gate.until:%m-%d %H:%M:%S} UTC" if gate.closed and gate.until else "",
        ]
        state = Text("closed", style="red") if gate.closed else Text("open", style="green")
        table.add_row(Text(gate.scope, style="bold"), state, Text("; ".join(filter(None, words))))
    if not table.row_count:
        table.add_row(Text("all open", style="green"))
    return Panel(table, title="gates", title_align="left", border_style="dim")


def _troubles(troubles: Sequence[Trouble]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for one in troubles:
        styles = ("dim", "", "yellow" if one.level == "warning" else "red", "", "")
        cells = (one.at[11:19], one.part, one.event, one.lead_id, one.reason)
        table.add_row(*(_cut(cell, style) for cell, style in zip(cells, styles, strict=True)))
    if not troubles:
        table.add_row(Text("none", style="green"))
    return Panel(table, title="last warnings and errors", title_align="left", border_style="dim")


def _places(places: Mapping[str, str]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for name, place in places.items():
        table.add_row(Text(name, style="dim"), _cut(place, "dim"))
    return table


def _cut(text: str, style: str) -> Text:
    return Text(text, style=style, overflow="ellipsis", no_wrap=True)
