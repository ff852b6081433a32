"""``python -m tests.torture``: the long torture, or one of any length; `make torture` is its name."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_anpr.tools.terminal import progress, table
from tests.postgresql import server
from tests.torture.run import Aim, Result, torture
from tests.torture.site import Plan

# Passages come faster than the aim needs: recognisers are away a part of the time, and what one of them had open then
# has no second message.
HURRY = 1.25


def main() -> int:
    """Torture, print what happened, and return 0 when every promise was kept."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture",
        description="Kill, halt, cut and corrupt a whole site at random; look whether the centre has every hit once.",
    )
    parser.add_argument("--hits", type=int, default=20_000, help="at least so many (default 20000)")
    parser.add_argument("--faults", type=int, default=1_000, help="at least so many (default 1000); 0: none")
    parser.add_argument("--seconds", type=float, default=1_200.0, help="in about so many (default 1200)")
    parser.add_argument("--units", type=int, default=10)
    parser.add_argument("--centres", type=int, default=2, help="that share the work (default 2)")
    parser.add_argument("--seed", type=int, default=1, help="of the faults; moments still differ from run to run")
    parser.add_argument("--until", choices=("receipt", "puback"), default="receipt", help="puback is expected to lose")
    parser.add_argument("--tls", action="store_true", help="the shipped broker; bytes that are changed then only cut")
    parser.add_argument("--postgres", action="store_true", help="records in a PostgreSQL of its own, instead of SQLite")
    parser.add_argument("--folder", type=Path, help="keep everything there: outboxes, ledgers, logs")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    said = parser.parse_args()

    plan = Plan(
        units=said.units,
        centres=said.centres,
        rate=said.hits / said.seconds / said.units * HURRY,
        until=said.until,
        tls=said.tls,
        database=server().database() if said.postgres else None,
    )
    aim = Aim(hits=said.hits, faults=said.faults, seconds=said.seconds)
    folder = said.folder or Path(tempfile.mkdtemp(prefix="edge-anpr-torture-"))
    folder.mkdir(exist_ok=True)
    with progress(aim.hits, "torturing") as step:
        result = torture(folder.resolve(), plan, aim, said.seed, step)
    if said.json:
        json.dump(as_json(result), sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        show(result)
    if result.passed and said.folder is None:
        shutil.rmtree(folder)
    elif not result.passed:
        sys.stderr.write(f"outboxes, ledgers, database and logs are kept in {folder}\n")
    return 0 if result.passed else 1


def as_json(result: Result) -> dict[str, Any]:
    """Everything, for a program."""
    return {
        "passed": result.passed,
        **asdict(result.verdict),
        "faults": dict(sorted(result.faults.items())),
        "faults_total": result.faults.total(),
        "seconds": round(result.seconds, 1),
        "drain_s": round(result.drain_s, 1),
        "sent_megabytes": round(result.sent_megabytes, 1),
        "corrupted_chunks": result.corrupted,
    }


def show(result: Result) -> None:
    """Everything, for a person."""
    verdict = result.verdict
    table("Faults", ("kind", "times"), [*sorted(result.faults.items()), ("all", result.faults.total())])
    rows = [
        ("accepted by an outbox", verdict.accepted_hits, verdict.accepted_messages),
        ("stored by the centre", verdict.stored_hits, verdict.stored_messages),
    ]
    table("Hits", ("", "hits", "messages"), rows)
    table(
        "Found",
        ("what", "number"),
        [
            ("lost", verdict.lost),
            ("twice", verdict.twice),
            ("changed", verdict.changed),
            ("of nobody", verdict.unexplained),
            ("killed between commit and note", verdict.in_doubt),
            ("poison set aside", verdict.poison),
            ("chunks of bytes changed on the way", result.corrupted),
            ("most messages that passed one of their unit: live", verdict.passed_live),
            ("the same of the backlog", verdict.passed_backlog),
            ("megabytes sent by units", round(result.sent_megabytes, 1)),
            ("seconds", round(result.seconds, 1)),
            ("of these to drain", round(result.drain_s, 1)),
        ],
    )
    for wrong in verdict.wrong:
        sys.stdout.write(f"WRONG: {wrong}\n")
    sys.stdout.write("every promise was kept\n" if result.passed else "")


if __name__ == "__main__":
    sys.exit(main())
