"""``edge-anpr centre watch | feedback | report``: what the control room sees of its records, and says of its hits."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any, TypeVar

import click

from edge_anpr.errors import Unusable

_T = TypeVar("_T")

db_option = click.option(
    "--db", "url", required=True, metavar="URL", envvar="EDGE_ANPR_DB",
    help="The records: sqlite:///FILE, or postgresql+pg8000://…; or in EDGE_ANPR_DB, where nobody sees a password.",
)  # fmt: skip
"""For every command that needs the records."""


def register(centre: click.Group) -> None:
    """Add these commands to ``edge-anpr centre``."""
    for command in (watch, feedback, report):
        centre.add_command(command)


@click.command()
@db_option
@click.option("--once", is_flag=True, help="Print it once, whole, and end; so it does where stdout is no terminal.")
def watch(url: str, once: bool) -> None:
    """Show all units and the newest hits, drawn anew each second, until Ctrl-C.

    \b
    state   SILENT: the centre heard nothing for three intervals. ALARM: see what. well: neither.
    seen    how long ago the unit itself last said something, by the centre's clock
    list    version of its list, and for how long it has had it
    wait    hits that wait on the unit      miss    messages that never came

    Ill units come first. Plates are shown: mind who sees the screen.
    """  # noqa: D301 - click wants a real backspace before lines that it is to keep
    need_libraries()
    from edge_anpr.centre.records import Records
    from edge_anpr.tools import watch as view

    def look() -> view.View:
        now = datetime.now(UTC)
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        hits_today, kept_aside = records.totals(today)
        return view.View(
            now, records.units(), records.newest(view.NEWEST), hits_today, kept_aside, records.last_judged()
        )

    with closing(Records(url)) as records:
        _asking(lambda: view.watch(look, once=once))


@click.command()
@db_option
@click.argument("hit_id", metavar="HIT_ID")
@click.argument("verdict", type=click.Choice(("confirmed", "misread", "stale")))
@click.option("--note", default="", help="For those who read it later; deleted with the hit.")
@click.option("--by", help="Who says so; otherwise who is logged in.")
def feedback(url: str, hit_id: str, verdict: str, note: str, by: str | None) -> None:
    """Say of a hit whether it was right. The last word counts.

    \b
    confirmed  the listed vehicle was there
    misread    it was another vehicle
    stale      it was that vehicle, but it should not be on the list any more

    HIT_ID may be shortened as long as it means one hit, as `centre watch` shows it. `centre report` counts the answers.
    """  # noqa: D301 - as above
    need_libraries()
    from edge_anpr.centre.records import Records
    from edge_anpr.centre.store import Store

    if not 4 <= len(hit_id) <= 32 or set(hit_id.lower()) - set("0123456789abcdef"):
        raise Unusable(
            "a hit's id, or its beginning, is 4 to 32 hexadecimal digits, as `edge-anpr centre watch` shows it"
        )

    def say() -> str:
        with closing(Records(url)) as records:
            found = records.beginning_with(hit_id.lower())
        if not found:
            raise Unusable(f"no hit begins with {hit_id}; it may have been deleted when its time was up")
        if len(found) > 1:
            raise Unusable(f"more than one hit begins with {hit_id}; type more of it")
        with closing(Store(url)) as store:
            store.feedback(found[0].unit, found[0].hit_id, verdict, note, by or getpass.getuser())
        return f"{found[0].hit_id[:8]} of {found[0].unit}: {verdict}"

    click.echo(_asking(say))


@click.command()
@db_option
@click.option(
    "--by", "dimension", type=click.Choice(("unit", "list", "class", "month")), default="list", show_default=True,
    help="One line for each.",
)  # fmt: skip
@click.option("--since", type=click.DateTime(("%Y-%m-%d",)), help="Hits that arrived from this day on, UTC.")
@click.option("--until", type=click.DateTime(("%Y-%m-%d",)), help="Hits that arrived before this day, UTC.")
@click.option("--json", "as_json", is_flag=True, help="All dimensions at once, for a program.")
def report(url: str, dimension: str, since: datetime | None, until: datetime | None, as_json: bool) -> None:
    """Count hits, and how many of them were right; and what was deleted. It names no plate.

    \b
    right      confirmed, of those that an operator judged; with the interval in which the true share lies (95 %)
    withdrawn  the unit itself took it back when the vehicle had passed
    late       it waited more than five minutes on the unit
    median s   from the picture to the records, where the unit's clock was right
    """  # noqa: D301 - as above
    need_libraries()
    from edge_anpr.centre.records import Records
    from edge_anpr.centre.tally import interval, tallied
    from edge_anpr.tools.terminal import table

    with closing(Records(url)) as records:
        with closing(records.counted(_utc(since), _utc(until))) as hits:
            total, groups = _asking(lambda: tallied(hits))
        deleted = _asking(records.deleted)
    if as_json:
        told: dict[str, Any] = {
            "schema": "anpr.report/1",
            "since": None if since is None else f"{since:%Y-%m-%d}",
            "until": None if until is None else f"{until:%Y-%m-%d}",
            "total": total.told(),
            "by": {
                name: [{name: value, **tally.told()} for value, tally in of_name.items()]
                for name, of_name in groups.items()
            },
            "deleted": [
                {
                    "kind": row.kind, "cause": row.cause, "number": row.number, "from_day": row.from_day,
                    "to_day": row.to_day,
                }
                for row in deleted
            ],
        }  # fmt: skip
        json.dump(told, sys.stdout, indent=2)
        click.echo()
        return
    rows = []
    for name, tally in [*groups[dimension].items(), ("all", total)]:
        right = "-"
        if tally.judged:
            low, high = interval(tally.confirmed, tally.judged)
            right = f"{tally.confirmed / tally.judged:.0%} ({low:.0%} to {high:.0%})"
        rows.append(
            (name, tally.hits, tally.confirmed, tally.misread, tally.stale, right, tally.withdrawn, tally.late,
             "-" if tally.median_s is None else f"{tally.median_s:.1f}")
        )  # fmt: skip
    heads = (dimension, "hits", "confirmed", "misread", "stale", "right", "withdrawn", "late", "median s")
    table("hits", heads, rows)
    table(
        "deleted",
        ("what", "why", "number", "arrived from", "to"),
        [
            (row.kind, {"time": "time was up", "room": "no room"}[row.cause], row.number, row.from_day, row.to_day)
            for row in deleted
        ],
    )


def _utc(day: datetime | None) -> datetime | None:
    return None if day is None else day.replace(tzinfo=UTC)


def need_libraries() -> None:
    """Raises Unusable when this is a unit's installation, without the centre's libraries."""
    if find_spec("sqlalchemy") is None:
        raise Unusable("the centre's libraries are missing; pip install 'edge-anpr[centre]'")


def _asking(work: Callable[[], _T]) -> _T:
    from edge_anpr.centre.database import StoreDown

    try:
        return work()
    except StoreDown as error:
        raise Unusable(str(error)) from error
