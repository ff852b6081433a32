"""The package, a unit on which it is installed, and a control room that hears from it."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import packages, root
from tests.system.container import Container
from tests.system.unit import PUBLISHER, RECOGNISER, REPOSITORY, ControlRoom, Service, furnish, with_broker

FIGURES = REPOSITORY / "build" / "system-test.json"


@pytest.fixture(scope="session", autouse=True)
def _can_boot() -> None:
    if os.geteuid():
        pytest.exit("only root can boot systemd in a container: sudo make system-test", 2)
    if missing := [name for name in ("mmdebstrap", "systemd-nspawn", "nsenter") if shutil.which(name) is None]:
        pytest.exit(f"{', '.join(missing)}: not installed; `make system-test` does it", 2)


@pytest.fixture(scope="session")
def figures() -> Iterator[dict[str, object]]:
    """What was measured, for the docs to cite; `make system-test` prints it."""
    measured: dict[str, object] = {}
    yield measured
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(measured, indent=1) + "\n")


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packages.build(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="session")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlRoom]:
    made = ControlRoom(tmp_path_factory.mktemp("room"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def pole(package: Path, room: ControlRoom, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A unit with the package, its list and its broker, booted as at the roadside; it reports to ``room``."""
    folder = tmp_path_factory.mktemp("pole")
    # There is no driver for video here: a node that opens all the same, because there is a device behind it.
    device = folder / "video0"
    os.mknod(device, stat.S_IFCHR, os.makedev(10, 200))
    shutil.chown(device, group="video")
    device.chmod(0o660)
    made = Container(root.booting(), folder, [f"--bind={device}:/dev/video0"])
    try:
        made.boot()
        packages.install(made, package)
        furnish(made, room)
        with_broker(made, room)
        made.off()
        made.boot()
        room.serve(made)
        yield made
        made.off()
    finally:
        made.gone()


@pytest.fixture
def recogniser(pole: Container) -> Service:
    return _well(Service(pole, RECOGNISER))


@pytest.fixture
def publisher(pole: Container) -> Service:
    return _well(Service(pole, PUBLISHER))


def _well(service: Service) -> Service:
    """Each test begins with both services up and nothing broken by the one before."""
    service.pole.run("systemctl", "start", "mosquitto", service.name)
    return service
