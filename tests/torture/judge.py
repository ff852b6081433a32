"""Compares what the ledgers say that units accepted with what stands in the centre's database."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import create_engine, func, inspect, select

from edge_anpr.centre import tables
from edge_anpr.centre.arrival import RANK
from edge_anpr.unit.delivery import BACKLOG, LIVE
from tests.torture import ledger
from tests.torture.site import Site

PLATE = re.compile(rb"TEST\d{8}")
"""The plates of ``tools/invented.py``; no log may hold one."""


@dataclass
class Verdict:
    """What was found; ``wrong`` in words, empty when every promise was kept."""

    accepted_messages: int = 0
    accepted_hits: int = 0
    stored_messages: int = 0
    stored_hits: int = 0
    lost: int = 0
    twice: int = 0
    changed: int = 0
    unexplained: int = 0
    in_doubt: int = 0
    refused: int = 0
    poison: int = 0
    waiting: int = 0
    passed_live: int = 0
    passed_backlog: int = 0
    """So many later messages of its unit passed the most passed message, in either lane of the publisher."""
    wrong: list[str] = field(default_factory=list)


def units_heard(database: str) -> int:
    """Of how many units the centre has stored a hit; 0 while it has not even made its tables."""
    engine = create_engine(database)
    try:
        if not inspect(engine).has_table(tables.report.name):
            return 0
        with engine.connect() as connection:
            units = select(func.count(tables.report.c.unit.distinct()))
            return int(connection.execute(units).scalar_one())
    finally:
        engine.dispose()


def judge(site: Site, *, corrupted: int) -> Verdict:
    """The verdict, when everything has drained; ``corrupted``: so many chunks were changed or repeated on the way."""
    verdict = Verdict(waiting=site.waiting())
    engine = create_engine(site.database)
    with engine.connect() as connection:
        report = tables.report.c
        arrived = connection.execute(
            select(report.unit, report.hit_id, report.phase, report.sha256).order_by(report.id)
        ).all()
        hits = connection.execute(select(tables.hit.c.unit, tables.hit.c.hit_id, tables.hit.c.phase)).all()
        poison = connection.execute(select(tables.poison.c.sha256, tables.poison.c.reason)).all()
    engine.dispose()

    ours: set[str] = set()
    for unit in site.units:
        account = ledger.read(unit.ledger)
        ours |= {entry.sha256 for entry in (*account.taken, *account.in_doubt)}
        here = [(hit_id, phase, sha256) for name, hit_id, phase, sha256 in arrived if name == unit.name]
        _count(verdict, account, here)
        most = _most_passed(account, here)
        if unit.backlog:
            verdict.passed_backlog = max(verdict.passed_backlog, most)
        else:
            verdict.passed_live = max(verdict.passed_live, most)
        _check_phases(verdict, account, {row.hit_id: row.phase for row in hits if row.unit == unit.name})
    verdict.stored_messages, verdict.stored_hits = len(arrived), len(hits)
    verdict.unexplained += len(arrived) - sum(unit.name == row.unit for row in arrived for unit in site.units)
    verdict.poison = len(poison)
    good = sum(sha256 in ours for sha256, _ in poison)
    if good:
        verdict.wrong.append(f"{good} messages that a unit made stand among the poison")
    if verdict.poison and (site.plan.tls or not corrupted):
        verdict.wrong.append(f"{verdict.poison} poison messages, and no byte could be changed on the way")
    for most, which, window in ((verdict.passed_live, "live", LIVE), (verdict.passed_backlog, "backlog", BACKLOG)):
        if most >= window and site.plan.until == "receipt":
            verdict.wrong.append(f"{most} messages passed one of the {which}, of which {window} may be on their way")
    for number, what in (
        (verdict.lost, "accepted messages are not in the database"),
        (verdict.twice, "messages or hits stand there twice"),
        (verdict.changed, "messages are not those that the unit made"),
        (verdict.unexplained, "records were never made by a unit"),
        (verdict.waiting, "messages still wait on units, though the centre has them"),
    ):
        if number:
            verdict.wrong.append(f"{number} {what}")
    _look_into_logs(site, verdict)
    return verdict


def _count(verdict: Verdict, account: ledger.Account, here: Sequence[tuple[str, str, str]]) -> None:
    made = {entry.place: entry.sha256 for entry in (*account.taken, *account.in_doubt)}
    taken = {entry.place for entry in account.taken}
    places = [(hit_id, phase) for hit_id, phase, _ in here]
    verdict.accepted_messages += len(taken)
    verdict.accepted_hits += len({hit_id for hit_id, _ in taken})
    verdict.in_doubt += len(account.in_doubt)
    verdict.refused += len(account.refused)
    verdict.lost += len(taken - set(places))
    verdict.twice += len(places) - len(set(places))
    verdict.unexplained += sum(place not in made for place in set(places))
    verdict.changed += sum((hit_id, phase) in made and made[hit_id, phase] != sha256 for hit_id, phase, sha256 in here)


def _most_passed(account: ledger.Account, here: Sequence[tuple[str, str, str]]) -> int:
    order = {entry.place: number for number, entry in enumerate(account.taken)}
    arrived = [order[hit_id, phase] for hit_id, phase, _ in here if (hit_id, phase) in order]
    return max(passes(arrived), default=0)


def _check_phases(verdict: Verdict, account: ledger.Account, stored: Mapping[str, str]) -> None:
    """Of a hit's messages the one that ranks highest is what the records show."""
    accepted: dict[str, str] = {}
    for entry in account.taken:
        accepted[entry.hit_id] = max(entry.phase, accepted.get(entry.hit_id, "first"), key=RANK.__getitem__)
    possible = accepted | {entry.hit_id: entry.phase for entry in account.in_doubt}
    for hit_id, phase in stored.items():
        if phase not in (accepted.get(hit_id), possible.get(hit_id)):
            verdict.wrong.append(f"hit {hit_id[:8]} stands there as {phase}, which is not the last that its unit said")


def passes(arrived: Sequence[int]) -> list[int]:
    """For each message how many later ones came before it; ``arrived`` are their numbers in the order of arrival."""
    # A Fenwick tree: 40,000 messages in a quadratic loop would take longer than the torture.
    size = max(arrived, default=-1) + 2
    tree = [0] * (size + 1)
    result = []
    for seen, number in enumerate(arrived):
        before, at = 0, number + 1
        while at:
            before += tree[at]
            at -= at & -at
        result.append(seen - before)
        at = number + 1
        while at <= size:
            tree[at] += 1
            at += at & -at
    return result


def _look_into_logs(site: Site, verdict: Verdict) -> None:
    for part in site.parts:
        said = part.said()
        if PLATE.search(said):
            verdict.wrong.append(f"a plate stands in the log of {part}")
        if b"Traceback" in said:
            verdict.wrong.append(f"{part} wrote a traceback; see {part.log}")
        if part.fell:
            verdict.wrong.append(f"{part} ended by itself, with code {', '.join(map(str, part.fell))}")
