"""A few units are played against a real broker and a real centre, and cut off meanwhile."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_anpr.cli import main
from edge_anpr.tools.crowd import Figures, Storm
from edge_anpr.tools.load import merged, percentile
from tests.conftest import Broker, Process, Subscriber, free_port, until


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    assert CliRunner().invoke(main, ["centre", "keygen", str(tmp_path / "keys")]).exit_code == 0
    return tmp_path / "keys"


@pytest.fixture
def centre(tmp_path: Path, mosquitto: Broker, keys: Path) -> Iterator[Process]:
    command = [
        sys.executable, "-m", "edge_anpr", "centre", "serve", "--broker", f"127.0.0.1:{mosquitto.port}",
        "--key", str(keys / "hits.key"), "--receipt-key", str(keys / "receipt.key"),
        "--db", f"sqlite:///{tmp_path / 'load.db'}",
    ]  # fmt: skip
    process = Process(command, tmp_path / "centre.log")
    process.start()
    until(lambda: "taking hits" in process.said())
    yield process
    process.kill()


def load(port: int, keys: Path, *more: str) -> list[str]:
    return [
        "load", "--broker", f"127.0.0.1:{port}", "--seal-to", str(keys / "hits.pub"),
        "--receipt-key", str(keys / "receipt.pub"), *more,
    ]  # fmt: skip


def test_plays_units_through_a_storm_and_tells_what_it_cost(mosquitto: Broker, centre: Process, keys: Path) -> None:
    assert mosquitto.running is not None
    watched = ["--pid", f"broker={mosquitto.running.pid}"]

    said = CliRunner().invoke(
        main,
        load(mosquitto.port, keys, "--units", "6", "--hits-per-minute", "120", "--seconds", "3", "--storm", "--json")
        + watched,
    )

    assert said.exit_code == 0, said.output
    told = json.loads(said.stdout)
    assert told["units"] == told["reconnects"] == 6
    assert told["appended"] == told["receipted"] > 10
    assert told["calm"]["messages"] + told["stormy"]["messages"] == told["receipted"]
    assert 0 < told["calm"]["p50_s"] <= told["calm"]["p99_s"] <= told["calm"]["max_s"]
    (storm,) = told["storms"]
    assert storm["lost"] == 6
    assert 0 < storm["connected_after_s"] <= storm["settled_after_s"]
    assert [process["name"] for process in told["processes"]] == ["broker", "this tool"]
    assert all(process["rss_megabytes"] > 1 for process in told["processes"])


def test_prints_tables_and_leaves_nothing_behind(
    mosquitto: Broker, centre: Process, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    subscribe: Callable[[int], Subscriber],
) -> None:  # fmt: skip
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()

    said = CliRunner().invoke(main, load(mosquitto.port, keys, "--units", "1", "--seconds", "1"))

    assert said.exit_code == 0, said.output
    for title in ("Played", "From append to receipt", "Processes of this machine", "this tool"):
        assert title in said.stdout
    assert list((tmp_path / "temporary").iterdir()) == []
    subscriber = subscribe(mosquitto.port)
    subscriber.publish("end", b"")  # comes after all that was retained
    until(lambda: subscriber.heard)
    assert [topic for topic, _, _ in subscriber.heard] == ["end"]


def test_who_is_interrupted_says_goodbye_and_an_alarm_of_all_units_is_one_line(
    mosquitto: Broker, keys: Path, tmp_path: Path, subscribe: Callable[[int], Subscriber]
) -> None:
    words = load(mosquitto.port, keys, "--units", "3", "--hits-per-minute", "600", "--seconds", "60")
    playing = Process([sys.executable, "-m", "edge_anpr", *words], tmp_path / "load.log")
    playing.start()
    until(lambda: "nobody subscribes to the hits" in playing.said(), 30)
    time.sleep(2)  # for the other two
    assert playing.running is not None
    playing.running.send_signal(signal.SIGINT)

    assert playing.ends(30) == 130
    assert playing.said().count("nobody subscribes to the hits") == 1
    late = subscribe(mosquitto.port)
    late.publish("end", b"")
    until(lambda: late.heard)
    assert [topic for topic, _, _ in late.heard] == ["end"]


def test_says_why_units_cannot_come(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = CliRunner().invoke(main, load(free_port(), keys, "--units", "2", "--patience", "1"))

    assert said.exit_code == 2
    assert "2 of 2 units could not connect" in said.stderr
    assert "nothing listens there" in said.stderr


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (["--broker", "example.org"], "--broker takes HOST:PORT"),
        (["--pid", "broker"], "--pid takes NAME=PID"),
        (["--pid", "broker=4194999"], "there is no such process"),
        (["--org", "Town Hall"], "--org takes 1 to 32"),
        (["--certificates", "/nowhere"], "edge-anpr provision unit"),
    ],
)
def test_a_mistake_in_an_option_is_named(keys: Path, more: list[str], complaint: str) -> None:
    said = CliRunner().invoke(main, load(1, keys, "--units", "1", *more))
    assert said.exit_code == 2
    assert complaint in said.stderr


def test_storms_of_several_processes_are_one_when_they_overlap() -> None:
    one, two = Figures(2, connecting_s=1.0, appended=3, calm_s=[0.1]), Figures(3, connecting_s=2.0, calm_s=[0.2, 0.3])
    one.storms = [Storm(10.0, 2, 11.0, 12.0), Storm(50.0, 2, 51.0, None)]
    two.storms = [Storm(10.2, 3, 13.0, 14.0)]

    whole = merged([one, two])

    assert (whole.units, whole.connecting_s, whole.appended, whole.calm_s) == (5, 2.0, 3, [0.1, 0.2, 0.3])
    assert whole.storms == [Storm(10.0, 5, 13.0, 14.0), Storm(50.0, 2, 51.0, None)]


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([], 50, None), ([1.0], 99, 1.0), ([4.0, 1.0, 3.0, 2.0], 50, 2.0), (list(map(float, range(1, 201))), 99, 198.0)],
)
def test_percentiles_are_values_that_occurred(values: list[float], percent: float, expected: float | None) -> None:
    assert percentile(values, percent) == expected
