"""What the two services cannot do, tried: the shipped units, with a probe in place of their program."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.container import Container
from tests.system.unit import PUBLISHER, RECOGNISER, Service

pytestmark = pytest.mark.system

# All else is as in the unit. It ends by itself, so systemd waits for it, not for its word.
INSTEAD = """\
[Service]
Type=oneshot
Restart=no
WatchdogSec=0
ExecStart=
ExecStart=/usr/bin/python3 /usr/lib/edge-anpr-probe.py {deeds}
"""
# The same program and user, and no sandbox: what a probe finds closed there would prove nothing.
BARE = "systemd-run --quiet --wait --pipe --property=SupplementaryGroups=video --gid=edge-anpr --uid"
PROBE = ("/usr/bin/python3", "/usr/lib/edge-anpr-probe.py")

# By seccomp, or by the kernel itself where it can (6.3).
CLOSED = {"EPERM", "EACCES"}

Probe = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def prepared(pole: Container) -> Container:
    shutil.copy(Path(__file__).with_name("probe.py"), pole.path("/usr/lib/edge-anpr-probe.py"))
    # Places that only the sandbox closes: anybody may read and write there.
    pole.run("sh", "-ec", "mkdir -m 777 /srv/open /home/open; echo x >/home/open/file; echo x >/var/log/open")
    return pole


@pytest.fixture
def probe(prepared: Container) -> Iterator[Probe]:
    used: list[str] = []

    def run(name: str, *deeds: str) -> dict[str, Any]:
        used.append(name)
        folder = prepared.path(f"/run/systemd/system/{name}.service.d")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "probe.conf").write_text(INSTEAD.format(deeds=" ".join(f'"{deed}"' for deed in deeds)))
        prepared.run("systemctl", "daemon-reload")
        prepared.run("systemctl", "restart", name)
        said = prepared.journal("-n1", "-o", "cat", "-t", name, "_COMM=python3", "-g", "^{")
        answers: dict[str, Any] = json.loads(said)
        assert list(answers) == list(deeds)
        return answers

    yield run
    for name in used:
        shutil.rmtree(prepared.path(f"/run/systemd/system/{name}.service.d"), ignore_errors=True)
        prepared.run("systemctl", "daemon-reload")
        prepared.run("systemctl", "restart", name)


def bare(pole: Container, name: str, *deeds: str) -> dict[str, Any]:
    answers: dict[str, Any] = json.loads(pole.run(*BARE.split(), name, *PROBE, *deeds))
    return answers


def test_the_recogniser_has_no_network(prepared: Container, probe: Probe) -> None:
    families = ("inet", "inet6", "netlink")
    assert bare(prepared, RECOGNISER, *families) == dict.fromkeys(families, "done")
    # Two locks, each for itself: it runs in a network of its own, and gets no socket of one.
    assert network(prepared, Service(prepared, RECOGNISER).pid) != network(prepared, 1)
    assert network(prepared, Service(prepared, PUBLISHER).pid) == network(prepared, 1)
    assert probe(RECOGNISER, *families, "unix") == {**dict.fromkeys(families, "EAFNOSUPPORT"), "unix": "done"}


def test_the_recogniser_sees_no_home_and_writes_to_its_data_only(prepared: Container, probe: Probe) -> None:
    closed = ("read:/home/open/file", "write:/home/open", "write:/srv/open")
    assert set(bare(prepared, RECOGNISER, *closed).values()) == {"done"}
    found = probe(RECOGNISER, *closed, "write:/var/lib/edge-anpr", "write:/run/edge-anpr/inbox", "write:/tmp")
    assert found["read:/home/open/file"] in {"ENOENT", "EACCES"}
    assert found["write:/home/open"] in {"ENOENT", "EACCES", "EROFS"}
    assert found["write:/srv/open"] == "EROFS"
    own = ("write:/var/lib/edge-anpr", "write:/run/edge-anpr/inbox", "write:/tmp")
    assert {found[deed] for deed in own} == {"done"}


def test_the_recogniser_makes_no_code_and_sees_nobody_and_its_networks_run(prepared: Container, probe: Probe) -> None:
    outside = bare(prepared, RECOGNISER, "processes of others", "write+execute", "user namespace")
    assert outside.pop("processes of others") > 0
    assert set(outside.values()) == {"done"}
    found = probe(RECOGNISER, "processes of others", "write+execute", "user namespace", "models")
    assert found.pop("write+execute") in CLOSED
    assert found == {"processes of others": 0, "user namespace": "EPERM", "models": "CPUExecutionProvider"}


def test_the_publisher_has_no_camera(prepared: Container, probe: Probe) -> None:
    assert bare(prepared, PUBLISHER, "open:/dev/video0") == {"open:/dev/video0": "done"}
    found = probe(PUBLISHER, "open:/dev/video0", "devices", "inet", "netlink", "write+execute", "user namespace")
    assert found.pop("open:/dev/video0") == "ENOENT"
    assert not {name for name in found.pop("devices") if name.startswith(("video", "media", "dma", "tun", "vcio"))}
    assert found.pop("write+execute") in CLOSED
    assert found == {"inet": "done", "netlink": "EAFNOSUPPORT", "user namespace": "EPERM"}


def test_the_publisher_reads_nothing_of_the_recogniser_and_little_of_the_disk(
    prepared: Container, probe: Probe
) -> None:
    within = f"/proc/{Service(prepared, RECOGNISER).pid}"
    credential = f"/run/credentials/{RECOGNISER}.service/edge-anpr.identity"
    assert prepared.path(credential).read_bytes()  # it is there
    found = probe(
        PUBLISHER, f"read:{credential}", "read:/etc/credstore/edge-anpr.identity", f"read:{within}/mem",
        "list:/var/log", "list:/home", "/", "processes of others",
    )  # fmt: skip
    # What it starts with, and the empty places that systemd makes for it.
    assert set(found.pop("/")) <= {
        "bin",
        "dev",
        "etc",
        "lib",
        "lib64",
        "proc",
        "root",
        "run",
        "sys",
        "tmp",
        "usr",
        "var",
    }
    assert found.pop("processes of others") == 0
    assert set(found.values()) <= {"ENOENT", "EACCES"}, found


def network(pole: Container, pid: int) -> str:
    return pole.run("readlink", f"/proc/{pid}/ns/net")
