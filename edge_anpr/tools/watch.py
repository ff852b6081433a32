"""The centre's live view: units, the ill ones first, and the newest hits; beside terminal.py the only one to name rich.

On a terminal it is drawn anew each second. Where output goes to a file or a pipe it is plain text, once, and whole.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edge_anpr.centre.database import StoreDown
from edge_anpr.centre.records import HitRecord, UnitRecord

REFRESH_S = 1.0
NEWEST = 50
WIDE = 110  # columns from which on there is room for words instead of codes
PIPED_WIDTH = 140
NOT_JUDGED_S = 60.0  # a centre judges every few seconds
_STATES = {"SILENT": "bold red", "ALARM": "bold yellow", "unheard": "dim", "well": "green"}
_VERDICTS = {"confirmed": "green", "misread": "red", "stale": "yellow"}


@dataclass(frozen=True, slots=True)
class View:
    """What there is to see at ``now``, by the clock of who looks. ``problem``: why it is not newer than that."""

    now: datetime
    units: Sequence[UnitRecord]
    hits: Sequence[HitRecord] = field(repr=False)
    hits_today: int
    kept_aside: int
    last_judged: datetime | None
    problem: str | None = None


def watch(look: Callable[[], View], *, once: bool, file: TextIO | None = None) -> None:
    """Show what ``look`` finds, until Ctrl-C; or once. A database that does not answer is said, and asked again."""
    console = Console(file=file, highlight=False)
    if once or not console.is_terminal:
        width = console.width if console.is_terminal or "COLUMNS" in os.environ else PIPED_WIDTH
        console.print(drawn(look(), width, None), width=width)
        return
    view = look()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(drawn(view, console.width, console.height), refresh=True)
            time.sleep(REFRESH_S)
            try:
                view = look()
            except StoreDown as error:
                view = View(
                    view.now, view.units, view.hits, view.hits_today, view.kept_aside, view.last_judged, str(error)
                )


def drawn(view: View, width: int, height: int | None) -> RenderableType:
    """The view in so many columns and lines, or in as many lines as it takes."""
    ordered = sorted(view.units, key=lambda unit: (list(_STATES).index(_state(unit)), unit.name))
    ill = sum(_state(unit) in ("SILENT", "ALARM") for unit in ordered)
    head = _head(view, ill)
    if height is None:
        units, hits = len(ordered), len(view.hits)
    else:
        room = max(height - len(head) - 4, 4)  # two headings, a line between them, and what is not shown
        hits = min(len(view.hits), max(room // 2, room - len(ordered)))
        units = min(len(ordered), room - hits)
    parts: list[RenderableType] = [*head, _units(ordered[:units], view.now, width)]
    if not ordered:
        parts.append(Text("no unit has been heard of yet", "dim"))
    elif units < len(ordered):
        parts.append(_not_shown(ordered[units:]))
    parts += [Text(""), _hits(view.hits[:hits], view.now, width)]
    if not view.hits:
        parts.append(Text("no hit yet", "dim"))
    return Group(*parts)


def _head(view: View, ill: int) -> list[RenderableType]:
    line = Text(no_wrap=True, overflow="ellipsis").append("edge-anpr centre", "bold")
    line.append(f"  {view.now:%H:%M:%S}Z ", "dim")
    if ill:
        line.append(f" {ill} of {len(view.units)} units ill ", "bold red")
    else:
        line.append(f" {len(view.units)} units, none ill ", "green")
    line.append(f" {view.hits_today} hits today")
    if view.kept_aside:
        line.append(f"  {view.kept_aside} kept aside", "yellow")
    head: list[RenderableType] = [line]
    if view.problem is not None:
        head.append(Text(f"old: {_clean(view.problem)}", "bold red", no_wrap=True, overflow="ellipsis"))
    elif view.last_judged is None:
        head.append(Text("no centre has run yet: start `edge-anpr centre serve`", "bold red"))
    elif (age := view.now - view.last_judged) > timedelta(seconds=NOT_JUDGED_S):
        head.append(Text(f"old: no centre has run for {_age(age)}: start `edge-anpr centre serve`", "bold red"))
    return head


def _units(units: Sequence[UnitRecord], now: datetime, width: int) -> Table:
    wide = width >= WIDE
    table = _table()
    table.add_column("state", width=7)
    table.add_column("unit", width=30 if wide else 21)
    table.add_column("seen", width=5, justify="right")
    if wide:
        table.add_column("version", width=9)
    table.add_column("list", width=22 if wide else 9)
    table.add_column("wait", width=4, justify="right")
    table.add_column("miss", width=4, justify="right")
    table.add_column("what", ratio=1)
    for unit in units:
        state = _state(unit)
        cells = [
            Text(state, _STATES[state]),
            Text(_end(unit.name, 30 if wide else 21)),
            Text("never" if unit.last_seen is None else _age(now - unit.last_seen)),
            Text(_clean(unit.birth.get("version"))),
            _list(unit, now, wide=wide),
            _count(_part(unit.health, "publisher", "outbox").get("hits")),
            _count(unit.missing),
            _what(unit, wide=wide),
        ]
        table.add_row(*(cells if wide else cells[:3] + cells[4:]))
    return table


def _hits(hits: Sequence[HitRecord], now: datetime, width: int) -> Table:
    wide = width >= WIDE
    table = _table()
    table.add_column("came", width=8)
    table.add_column("unit", width=30 if wide else 14)
    table.add_column("plate", width=10)
    if wide:
        table.add_column("listed", width=10)
    table.add_column("match", width=14 if wide else 9)
    table.add_column("reason", ratio=1)
    table.add_column("", width=4)
    table.add_column("said", width=9)
    table.add_column("hit", width=8)
    for hit in hits:
        back = hit.phase == "withdrawn"
        listed = "" if hit.read == hit.listed else _clean(hit.listed)
        likely = "" if hit.probability is None else f" {hit.probability:.0%}"
        reason = _clean(hit.reason)
        if listed and not wide:
            reason = f"≠{listed} {reason}"
        cells = [
            Text(f"{hit.received_at:%H:%M:%S}" if hit.received_at.date() == now.date() else f"{hit.received_at:%d %b}"),
            Text(_end(hit.unit, 30 if wide else 14)),
            Text("withdrawn", "red") if back else Text(_clean(hit.read), "bold"),
            Text(listed, "yellow"),
            Text("" if back else f"{_clean(hit.match_class) if wide else _short(hit.match_class)}{likely}"),
            Text(reason, "cyan", no_wrap=True, overflow="ellipsis"),
            Text("late", "yellow") if hit.late else Text(""),
            Text(hit.verdict or "", _VERDICTS.get(hit.verdict or "", "")),
            Text(hit.hit_id[:8], "dim"),
        ]
        table.add_row(*(cells if wide else cells[:3] + cells[4:]))
    return table


def _table() -> Table:
    return Table(box=None, expand=True, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim", show_edge=False)


def _state(unit: UnitRecord) -> str:
    if any(alarm.raised_by == "centre" and alarm.code == "silent" for alarm in unit.alarms):
        return "SILENT"
    if unit.alarms:
        return "ALARM"
    return "unheard" if unit.last_seen is None else "well"


def _not_shown(units: Sequence[UnitRecord]) -> Text:
    counts = {state: sum(_state(unit) == state for unit in units) for state in _STATES}
    told = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    ill = counts["SILENT"] + counts["ALARM"]
    return Text(f"and {told} not shown", "bold red" if ill else "dim")


def _list(unit: UnitRecord, now: datetime, *, wide: bool) -> Text:
    if unit.list_id is None:
        return Text("-" if not unit.birth else "none", "dim" if not unit.birth else "red")
    age = "" if unit.list_since is None else f" {_age(now - unit.list_since)}"
    name = f"{_clean(unit.list_id)} " if wide else ""
    return Text(f"{name}v{_clean(unit.list_version)}{age}")


def _what(unit: UnitRecord, *, wide: bool) -> Text:
    what = Text(no_wrap=True, overflow="ellipsis")
    word = unit.status.get("status")
    if isinstance(word, str) and word not in ("online", *(alarm.code for alarm in unit.alarms)):
        what.append(_clean(word), "red" if word == "lost" else "yellow")
    for alarm in unit.alarms:
        what.append(", " if what else "")
        what.append(_clean(alarm.code), "red")
        if wide and alarm.text:
            what.append(f": {_clean(alarm.text)}")
    return what


def _count(value: object) -> Text:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return Text("-", "dim")
    return Text(str(value) if value < 10_000 else f"{min(value // 1000, 999)}k", "yellow" if value else "dim")


def _age(age: timedelta) -> str:
    seconds = max(int(age.total_seconds()), 0)
    for unit, name in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * unit:
            return f"{min(seconds // unit, 9999)}{name}"
    return f"{seconds}s"


def _short(match_class: str) -> str:
    return "conf." if match_class == "confusable" else _clean(match_class)


def _end(name: str, width: int) -> str:
    """The end of a unit's name: that is where units differ."""
    clean = _clean(name)
    return clean if len(clean) <= width else f"…{clean[1 - width :]}"


def _part(body: dict[str, Any], *keys: str) -> dict[str, Any]:
    for key in keys:
        part = body.get(key)
        body = part if isinstance(part, dict) else {}
    return body


def _clean(value: object) -> str:
    if value is None:
        return "-"
    return "".join(character if character.isprintable() else "?" for character in str(value))
