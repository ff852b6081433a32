"""The two services as they ship, under a real systemd: up, stopped, killed, without a broker, and what they say."""

from __future__ import annotations

import time

import pytest

from tests.system.container import Container, within
from tests.system.unit import (
    PLATES,
    PUBLISHER,
    RECOGNISER,
    ControlRoom,
    Service,
    explained,
    waiting,
)

pytestmark = pytest.mark.system

MOST_MB = {RECOGNISER: 130, PUBLISHER: 40}  # with Debian's own packages
WATCHDOG_S, STOP_S = 30, 10  # WatchdogSec= and, when it does not die of SIGABRT, TimeoutStopSec=
BACK_S = 5


def test_status_is_one_living_line(recogniser: Service, publisher: Service) -> None:
    within(lambda: "12 frames/s; armed: list demo version 1, " in recogniser.status, 60)
    within(lambda: "connected for " in publisher.status, 60)
    before = publisher.status
    within(lambda: publisher.status != before, 130)  # it shows minutes
    for service in (recogniser, publisher):
        shown = service.pole.run("systemctl", "status", service.name)
        assert f'Status: "{service.status}"' in shown
        assert not any(plate in shown for plate in PLATES)


def test_their_memory(room: ControlRoom, recogniser: Service, publisher: Service, figures: dict[str, object]) -> None:
    # A hit's picture is made and sent: that takes the last libraries.
    within(lambda: room.records("SELECT hit_id FROM report WHERE phase = 'final'"), 90)
    held = {service.name: memory_mb(service) for service in (recogniser, publisher)}
    figures["memory_mb"] = held
    assert all(held[name] <= most for name, most in MOST_MB.items()), held


def test_one_that_stands_still_is_started_anew(
    recogniser: Service, publisher: Service, figures: dict[str, object]
) -> None:
    both = (recogniser, publisher)
    before = {service: service.pid for service in both}
    began = time.monotonic()
    for service in both:
        service.signal("STOP")
    took: dict[str, float] = {}
    for service in both:
        service.comes_back(before[service], WATCHDOG_S + STOP_S + 2 * BACK_S + began - time.monotonic())
        took[service.name] = round(ready_s(service) - began, 1)
        assert service.pole.show(service.name, "NRestarts") != "0"
        assert "watchdog timeout" in service.pole.journal("-u", service.name, "-g", "watchdog timeout").lower()
    figures["stopped_until_ready_s"] = took


def test_one_that_is_killed_is_back_at_once_and_no_hit_is_lost(
    pole: Container, room: ControlRoom, recogniser: Service, publisher: Service, figures: dict[str, object]
) -> None:
    pole.run("systemctl", "stop", "mosquitto")
    within(lambda: len(waiting(pole)) >= 2, 60)
    took = {service.name: killed_until_ready(service) for service in (recogniser, publisher)}
    figures["killed_until_ready"] = took
    within(lambda: len(waiting(pole)) >= 4, 60)
    kept = waiting(pole)
    pole.run("systemctl", "start", "mosquitto")
    # One that is killed while it delivers, too.
    within(lambda: len(waiting(pole)) < len(kept) or publisher.status.count("connected"), 60)
    publisher.signal("KILL")
    arrived = "SELECT hit_id, phase FROM report"
    within(lambda: kept <= set(room.records(arrived)) and not kept & waiting(pole), 90)
    assert room.records("SELECT missing FROM unit") == [(0,)]
    assert all(one["without_others_s"] <= BACK_S for one in took.values()), took


def test_without_a_broker_a_unit_is_well_and_says_what_to_do(
    pole: Container, room: ControlRoom, recogniser: Service, publisher: Service
) -> None:
    within(lambda: "connected for " in publisher.status, 60)
    processes = recogniser.pid, publisher.pid
    pole.run("systemctl", "stop", "mosquitto")
    within(lambda: "no broker: " in publisher.status, 60)
    english, dutch = explained(pole, "broker-lost"), explained(pole, "broker-lost", "nl_NL.UTF-8")
    assert "Subject: There is no connection to the broker" in english
    assert "Check the network (ip address; ping the broker)" in english
    assert "Subject: Er is geen verbinding met de broker" in dutch
    assert "Controleer het netwerk (ip address; ping de broker)" in dutch
    assert "edge-anpr-publisher[" in dutch  # the line that happened stands above what explains it
    time.sleep(WATCHDOG_S + 5)
    assert (recogniser.pid, publisher.pid) == processes
    assert (recogniser.state, publisher.state) == ("active", "active")
    within(lambda: waiting(pole), 60)
    kept = waiting(pole)
    pole.run("systemctl", "start", "mosquitto")
    within(lambda: kept <= set(room.records("SELECT hit_id, phase FROM report")), 60)
    within(lambda: "connected for " in publisher.status, 60)
    assert "Subject: Connected to the broker" in explained(pole, "broker-connected")
    assert (recogniser.pid, publisher.pid) == processes


def test_no_plate_is_in_the_journal(pole: Container) -> None:
    """All fields of all entries of all boots and services, at every level, after all of the above."""
    fields = pole.journal("-o", "export")
    assert "armed with list demo" in fields
    assert "EDGE_ANPR_EVENT=broker-lost" in fields
    assert [plate for plate in PLATES if plate.lower() in fields.lower()] == []


def killed_until_ready(service: Service) -> dict[str, float]:
    """How long it took; how long without the time in which it waited for a processor that others had; and its own."""
    before, began = service.pid, time.monotonic()
    service.signal("KILL")
    service.comes_back(before, 60)
    took_s = ready_s(service) - began
    cgroup = service.pole.path(f"/sys/fs/cgroup/system.slice/{service.name}.service")
    waited_us = int((cgroup / "cpu.pressure").read_text().splitlines()[0].rsplit("total=")[1])
    used_us = int((cgroup / "cpu.stat").read_text().split()[1])
    found = {"s": took_s, "without_others_s": took_s - waited_us / 1e6, "processor_s": used_us / 1e6}
    return {name: round(value, 1) for name, value in found.items()}


def memory_mb(service: Service) -> float:
    """What its main process holds of the machine's memory, in MB of 2**20 bytes."""
    status = service.pole.run("cat", f"/proc/{service.pid}/status").splitlines()
    return round(next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024, 1)


def ready_s(service: Service) -> float:
    """When it became active, by the kernel's clock, which is this machine's as well."""
    return int(service.pole.show(service.name, "ActiveEnterTimestampMonotonic")) / 1e6
