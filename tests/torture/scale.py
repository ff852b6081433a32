"""``edge-anpr load`` against the shipped broker and one centre, all on this machine, with a certificate for each unit.

``python -m tests.torture.scale --units 500 --storm``: options are those of ``edge-anpr load``, and some more.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from tests.broker.hardened import Hardened
from tests.conftest import until
from tests.postgresql import server
from tests.torture.parts import ROOT, Part
from tests.torture.site import LISTENS, PROGRAM, make_keys


def main() -> int:
    """Start everything, play, and return the exit code of the load tool."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.scale", description=__doc__)
    parser.add_argument("--units", type=int, default=500)
    parser.add_argument("--postgres", action="store_true", help="records in a PostgreSQL of its own, instead of SQLite")
    parser.add_argument(
        "--broker-falls", type=float, metavar="S", help="kill -9 it S seconds after the start of it all"
    )
    said, more = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="edge-anpr-scale-") as name:
        folder = Path(name)
        broker = Hardened(folder)
        for number in range(1, said.units + 1):
            broker.unit(f"load/test/load-{number:04d}")
        files = broker.centre()
        keys = folder / "keys"
        make_keys(keys)
        url = server().database() if said.postgres else f"sqlite:///{folder / 'records.db'}"
        centre = Part(
            "centre",
            [
                *PROGRAM, "centre", "serve", "--broker", f"localhost:{broker.port}", "--db", url,
                "--key", str(keys / "hits.key"), "--receipt-key", str(keys / "receipt.key"),
                "--ca", str(files.ca), "--certificate", str(files.certificate), "--tls-key", str(files.key),
            ],
            folder / "centre.log",
        )  # fmt: skip
        try:
            broker.start()
            centre.start()
            until(lambda: LISTENS in centre.said())
            assert broker.running is not None
            if said.broker_falls is not None:
                threading.Timer(said.broker_falls, _fall, [broker]).start()
            return subprocess.run(
                [
                    *PROGRAM, "load", "--units", str(said.units), "--broker", f"localhost:{broker.port}",
                    "--certificates", str(broker.authority_folder), "--seal-to", str(keys / "hits.pub"),
                    "--receipt-key", str(keys / "receipt.pub"), "--pid", f"broker={broker.running.pid}",
                    "--pid", f"centre={centre.pid}", *more,
                ],
                cwd=ROOT,
                check=False,
                env={**os.environ, "TMPDIR": "/dev/shm"},  # each unit has a disk of its own, which this machine lacks
            ).returncode  # fmt: skip
        finally:
            centre.kill()
            broker.kill()


def _fall(broker: Hardened) -> None:
    broker.kill()
    broker.start()


if __name__ == "__main__":
    sys.exit(main())
