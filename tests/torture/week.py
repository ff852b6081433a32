"""A broker that was away for a week: how a unit's 5,000 hits drain, and whether new ones wait behind them.

``python -m tests.torture.week`` prints the figures; the week is that of the outbox's own clock.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import create_engine, select

from edge_anpr.centre import tables
from edge_anpr.privacy import keys
from edge_anpr.tools.invented import Inventor
from edge_anpr.tools.load import percentile
from edge_anpr.tools.terminal import progress, table
from edge_anpr.unit.clock import Uptime
from edge_anpr.unit.outbox import Outbox
from tests.conftest import until
from tests.torture import ledger
from tests.torture.judge import passes
from tests.torture.ledger import Ledger
from tests.torture.pole import Pole
from tests.torture.site import CAMERA, Plan, Site, Unit

WEEK_S = 7 * 24 * 3600.0
PATIENT_S = 3.0  # so long the publisher tries in vain before its memory is looked at
LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Found:
    """What was found. ``passed``: the most messages of the backlog that passed one of it.

    ``live``: hits that were made while the others drained, from their making to their record.
    """

    waited: int
    lost: int
    drain_s: float
    messages_per_s: float
    rss_before_mb: float
    rss_most_mb: float
    passed: int
    live: int
    live_p50_s: float | None
    live_most_s: float | None


def week(
    folder: Path, messages: int, *, tls: bool, live_per_s: float = 5.0, step: Callable[[int], None] = lambda _: None
) -> Found:
    """Fill an outbox, let its publisher wait without a broker, then start broker and centre, and a recogniser."""
    with Site(folder, Plan(units=1, centres=1, rate=live_per_s, tls=tls, direct=True)) as site:
        (unit,) = site.units
        old = _fill(unit, folder / "keys" / "hits.pub", messages, folder / "old.txt")
        unit.publisher.start()
        time.sleep(PATIENT_S)
        before = most = _rss_mb(unit)
        site.start_broker()
        for part in (*(centre.part for centre in site.centres), unit.recogniser):
            part.start()
        left, deadline = messages, time.monotonic() + messages / 10 + 60
        while left:
            assert time.monotonic() < deadline, f"{left} of {messages} messages still wait"
            time.sleep(LOOK_S)
            now = unit.waiting(up_to=messages)
            step(left - now)
            left, most = now, max(most, _rss_mb(unit))
        unit.recogniser.end()
        until(lambda: not unit.waiting())
        return _found(site, unit, old, before, most)


def _fill(unit: Unit, public: Path, messages: int, notes: Path) -> list[ledger.Entry]:
    """A week of hits, before the unit was switched off and on again."""
    passed = 0

    def now() -> Uptime:
        return Uptime("0" * 16, 1000.0 + WEEK_S * passed / messages)

    with closing(Outbox(unit.outbox, 1_000_000_000, "recogniser", now=now)) as outbox:
        inventor = Inventor(unit.name, CAMERA, random.Random(1))
        pole = Pole(outbox, Ledger(notes), inventor, keys.read(public, "x25519", secret=False))
        while passed < messages:
            for message in inventor.passage():
                if passed < messages:
                    pole.say(message)
                    passed += 1
    return ledger.read(notes).taken


def _rss_mb(unit: Unit) -> float:
    status = Path(f"/proc/{unit.publisher.pid}/status").read_text("ascii")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


def _found(site: Site, unit: Unit, old: list[ledger.Entry], before: float, most: float) -> Found:
    engine = create_engine(site.database)
    with engine.connect() as connection:
        report, hit = tables.report.c, tables.hit.c
        columns = report.hit_id, report.phase, report.sha256, report.received_at
        arrived = connection.execute(select(*columns).order_by(report.id)).all()
        times = connection.execute(select(hit.hit_id, hit.captured_at, hit.received_at)).all()
    engine.dispose()
    order = {entry.place: number for number, entry in enumerate(old)}
    backlog = [row for row in arrived if (row.hit_id, row.phase) in order]
    wanted = {entry.sha256 for entry in (*old, *ledger.read(unit.ledger).taken)}
    ids = {row.hit_id for row in backlog}
    first, last = backlog[0].received_at, backlog[-1].received_at
    live = [row for row in times if row.hit_id not in ids and first <= row.captured_at <= last]
    drain_s = (last - first).total_seconds()
    live_s = [(row.received_at - row.captured_at).total_seconds() for row in live]
    return Found(
        waited=len(old),
        lost=len(wanted - {row.sha256 for row in arrived}),
        drain_s=round(drain_s, 1),
        messages_per_s=round(len(backlog) / max(drain_s, 0.001), 1),
        rss_before_mb=round(before, 1),
        rss_most_mb=round(most, 1),
        passed=max(passes([order[row.hit_id, row.phase] for row in backlog])),
        live=len(live),
        live_p50_s=percentile(live_s, 50),
        live_most_s=max(live_s, default=None),
    )


def main() -> int:
    """Measure, print, and return 0 when the figures are those that are promised."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.week", description=__doc__)
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument(
        "--plain", action="store_true", help="a mosquitto with its own defaults, instead of the shipped one"
    )
    parser.add_argument("--json", action="store_true")
    said = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="edge-anpr-week-") as folder,
        progress(said.messages, "draining") as step,
    ):
        found = week(Path(folder), said.messages, tls=not said.plain, step=step)
    if said.json:
        sys.stdout.write(json.dumps(asdict(found), indent=1) + "\n")
    else:
        names = [name.replace("_", " ") for name in asdict(found)]
        table("A week without a broker", ("what", "number"), list(zip(names, asdict(found).values(), strict=True)))
    kept = found.lost == 0 and found.messages_per_s >= 500 and (found.live_most_s or 0.0) <= 2
    return 0 if kept and found.rss_most_mb - found.rss_before_mb <= 10 else 1


if __name__ == "__main__":
    sys.exit(main())
