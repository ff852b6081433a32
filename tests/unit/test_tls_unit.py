"""Whole processes with TLS: a clock that is ten years off, and a broker that knows its clients by certificate."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_anpr.unit import clock
from tests.conftest import Broker as RealBroker
from tests.conftest import Process, until
from tests.unit.linking import Authority, restart

ROOT = str(Path(__file__).parents[2])
RECOGNISER = "import time\nfrom pathlib import Path\nPath('recogniser.ran').touch()\ntime.sleep(60)\n"
RUN = """
import sys
from pathlib import Path
from edge_anpr import config
from edge_anpr.unit import journal, supervisor
journal.begin("supervisor")
supervisor.RECOGNISE = ["stub_recogniser"]
path = Path(sys.argv[1])
sys.exit(supervisor.run(path, config.load(path), lambda topic, payload: print("shown", topic, flush=True)))
"""

Start = Callable[..., Process]


@pytest.fixture
def authority(tmp_path: Path, mosquitto: RealBroker) -> Authority:
    """And a broker that knows its clients by certificate, and takes a client's name from there."""
    made = Authority(tmp_path)
    made.issue("server", san=("localhost",))
    made.issue("pole-07")
    restart(
        mosquitto, f"cafile {made.path}", f"certfile {tmp_path}/server.pem", f"keyfile {tmp_path}/server.key",
        "require_certificate true", "use_identity_as_username true", "use_username_as_clientid true",
        "allow_anonymous false",
    )  # fmt: skip
    return made


@pytest.fixture
def unit(authority: Authority, mosquitto: RealBroker, unit_yaml: Callable[..., Path]) -> Path:
    path = unit_yaml(mosquitto.port, "  tls: {ca: ca.pem, certificate: pole-07.pem, key: pole-07.key}\n")
    path.write_text(path.read_text("utf-8").replace("host: 127.0.0.1", "host: localhost"), "utf-8")
    (path.parent / "pictures").mkdir()
    (path.parent / "list.json").touch()
    return path


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    made: list[Process] = []

    def process(command: list[str], **environment: str) -> Process:
        made.append(
            Process(["env", *(f"{name}={value}" for name, value in environment.items()), *command], tmp_path / "log")
        )
        made[-1].start()
        return made[-1]

    yield process
    for one in made:
        one.kill()
        sys.stdout.write(one.said())  # what pytest shows when something was waited for in vain


@pytest.mark.parametrize(
    ("off", "words"), [("-10y", "certificate is not yet valid"), ("+10y", "certificate has expired")]
)
def test_a_clock_ten_years_off_is_said_and_when_it_is_set_the_unit_connects(
    unit: Path, start: Start, mosquitto: RealBroker, off: str, words: str
) -> None:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        pytest.fail("libfaketime is missing; `make test` installs it (Debian: faketime)")
    now = unit.parent / "now"
    now.write_text(off, "utf-8")
    # It must not read the file anew at every call: threads that do so at once tell each other wrong times, one in a
    # thousand. Once a second it does it right.
    process = start(
        [sys.executable, "-m", "edge_anpr", "publish", "-c", str(unit)],
        LD_PRELOAD=str(library), FAKETIME_TIMESTAMP_FILE=str(now), FAKETIME_CACHE_DURATION="1", DONT_FAKE_MONOTONIC="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1", PYTHONPATH=ROOT,
    )  # fmt: skip
    until(lambda: f"cannot reach the broker: its certificate is not accepted ({words}) on 20" in process.said())
    advice = "check the broker's certificate" if clock.quality().sync else "set the clock first (NTP)"
    assert advice in process.said()
    assert "retry in" in process.said()
    now.write_text("+0y", "utf-8")
    until(lambda: "connected to the broker" in process.said())
    assert process.said().count("cannot reach") == 1
    assert "u'pole-07'" in mosquitto.said()


def test_a_unit_that_is_known_by_its_certificate_has_one_client(
    unit: Path, start: Start, mosquitto: RealBroker
) -> None:
    """A second one, to show messages here, would throw out the publisher, for ever."""
    (unit.parent / "stub_recogniser.py").write_text(RECOGNISER, "utf-8")
    process = start(
        ["sh", "-c", f"cd {unit.parent} && exec {sys.executable} -c '{RUN}' {unit}"],
        PYTHONPATH=os.pathsep.join((str(unit.parent), ROOT)),
    )
    until(lambda: "connected to the broker" in process.said())
    until((unit.parent / "recogniser.ran").exists)
    assert process.said().count("no messages are shown here") == 1
    assert process.running is not None
    process.running.terminate()
    assert process.ends() == 0
    assert mosquitto.said().count("New client connected") == 1
    assert "already connected" not in mosquitto.said()
    assert "shown anpr/" not in process.said()
