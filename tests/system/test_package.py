"""The package in a booted machine: installed, upgraded, removed and purged, with hits that wait."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import packages, root
from tests.system.container import Container, within
from tests.system.unit import PUBLISHER, RECOGNISER, SERVICES, ControlRoom, Service, furnish, waiting

pytestmark = pytest.mark.system

# Where Debian's own programs keep their accounts of what was installed and started.
ACCOUNTS = ("/var/log", "/var/cache", "/var/lib/apt", "/var/lib/dpkg", "/var/lib/systemd", "/tmp", "/var/tmp", "/root")
LEFT = {"/etc/credstore/edge-anpr.identity", "/etc/credstore/edge-anpr.tls-key"}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Container]:
    made = Container(root.booting(), tmp_path / "machine")
    try:
        made.boot()
        yield made
        made.off()
    finally:
        made.gone()


def test_installed_upgraded_removed_and_purged(
    machine: Container, package: Path, room: ControlRoom, tmp_path: Path
) -> None:
    before, users = places(machine), machine.path("/etc/passwd").read_text()
    packages.install(machine, package)
    assert machine.run("edge-anpr", "--version").startswith("edge-anpr")
    assert machine.run("systemctl", "is-enabled", "edge-anpr.target", *SERVICES).split() == 3 * ["enabled"]
    # Without a config they wait, and nothing has failed.
    assert machine.run("systemctl", "is-active", "edge-anpr.target", *SERVICES, check=False).split() == [
        "active", "inactive", "inactive",
    ]  # fmt: skip
    assert machine.run("systemctl", "--failed", "--plain", "--no-legend") == ""

    furnish(machine, room)
    machine.run("systemctl", "restart", "edge-anpr.target")
    running = [Service(machine, name) for name in SERVICES]
    for service in running:
        service.comes_back(0, 60)
    within(lambda: len(waiting(machine)) >= 2, 60)
    config, kept, processes = settings(machine), waiting(machine), [service.pid for service in running]

    packages.install(machine, packages.later(package, tmp_path))
    assert machine.run("dpkg-query", "--show", "--showformat=${Version}", "edge-anpr").endswith("+later")
    for service, before_pid in zip(running, processes, strict=True):
        service.comes_back(before_pid, 60)  # it runs what was installed
    assert settings(machine) == config
    assert kept <= waiting(machine)

    machine.run("apt-get", "remove", "--yes", "edge-anpr", timeout_s=120)
    assert [service.state for service in running] == ["inactive", "inactive"]
    assert machine.run("find", "/proc", "-maxdepth", "1", "-group", "edge-anpr") == ""
    assert not machine.path("/usr/bin/edge-anpr").exists()
    assert settings(machine) == config
    kept = waiting(machine)
    assert kept

    packages.install(machine, package)  # back again: with its config it begins at once, and what waited still does
    for service in running:
        service.comes_back(0, 60)
    assert kept <= waiting(machine)

    said = machine.run("apt-get", "purge", "--yes", "edge-anpr", timeout_s=120)
    assert "/etc/credstore" in said  # what stays is told
    assert places(machine) - before == LEFT
    assert not machine.path("/run/edge-anpr").exists()
    new = set(machine.path("/etc/passwd").read_text().splitlines()) - set(users.splitlines())
    assert {line.split(":")[0] for line in new} == {RECOGNISER, PUBLISHER}  # a user's number is not given to another
    assert machine.run("systemctl", "list-unit-files", "--no-legend", "edge-anpr*", check=False) == ""
    assert machine.run("systemctl", "--failed", "--plain", "--no-legend") == ""


def places(at: Container) -> set[str]:
    prune = " -o ".join(f"-path {one}" for one in (*ACCOUNTS, "/usr/share/demo-clip.mp4"))
    return set(at.run("sh", "-c", f"find / -xdev \\( {prune} \\) -prune -o -print").splitlines())


def settings(at: Container) -> dict[str, str]:
    folder = at.path("/etc/edge-anpr")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
