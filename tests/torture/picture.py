"""Draws a torture that was kept with ``--folder`` (SQLite): ``python -m tests.torture.picture FOLDER PICTURE.png``.

Above, how long each hit took from the unit to the records; below, every fault.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import matplotlib.pyplot as plt
from sqlalchemy import create_engine, select

from edge_anpr.centre import tables

ROWS = {"kill": "kill -9", "centre": "kill -9", "halt": "halted", "bytes": "bytes twice or changed"}
OTHER = "network"
BUCKET_S = 5.0


def main() -> int:
    """Read the folder, write the picture."""
    folder, picture = map(Path, sys.argv[1:3])
    faults = [line.split(None, 2) for line in (folder / "faults.log").read_text("utf-8").splitlines()]
    last_s = float(faults[-1][0])
    began = datetime.fromtimestamp((folder / "faults.log").stat().st_mtime - last_s, UTC)
    engine = create_engine(f"sqlite:///{folder / 'centre.db'}")
    with engine.connect() as connection:
        times = connection.execute(select(tables.hit.c.captured_at, tables.hit.c.received_at)).all()
    buckets: dict[int, list[float]] = {}
    for captured, received in times:
        buckets.setdefault(int((captured - began).total_seconds() // BUCKET_S), []).append(
            max((received - captured).total_seconds(), 0.01)
        )
    moments = sorted(bucket for bucket in buckets if bucket >= 0)
    minutes = [(bucket + 0.5) * BUCKET_S / 60 for bucket in moments]

    plt.rcParams.update({"font.size": 8})
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 4), sharex=True, height_ratios=(3, 2))
    above.fill_between(minutes, [min(buckets[one]) for one in moments], [max(buckets[one]) for one in moments],
                       color="#c9d7e8", linewidth=0, label="all hits of five seconds")  # fmt: skip
    above.plot(minutes, [sorted(buckets[one])[len(buckets[one]) // 2] for one in moments],
               color="#1f4e79", linewidth=0.8, label="median")  # fmt: skip
    above.set_yscale("log")
    above.set_ylabel("seconds from unit to records")
    above.set_title(f"{len(times):,} hits, every one once in the records", loc="left")
    above.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False)
    rows = [*dict.fromkeys(ROWS.values()), OTHER]
    places: dict[str, list[float]] = {row: [] for row in rows}
    for at, kind, _ in faults:
        if kind not in ("mended", "calm"):
            places[ROWS.get(kind, OTHER)].append(float(at) / 60)
    below.eventplot([places[row] for row in rows], colors="#a33", linewidths=0.5, linelengths=0.7)
    below.set_yticks(range(len(rows)), [f"{row}: {len(places[row])}" for row in rows])
    below.set_xlabel("minutes")
    below.set_title(f"{sum(map(len, places.values())):,} faults", loc="left")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(picture, dpi=110)
    return 0


if __name__ == "__main__":
    sys.exit(main())
