"""The units that ship, by systemd's own judgement, without a running systemd."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.systemd.conftest import SHIPPED, tool

RECOGNISER, PUBLISHER = "edge-anpr-recogniser.service", "edge-anpr-publisher.service"


def settings(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (SHIPPED / name).read_text().splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def exposure(unit: Path) -> float:
    done = subprocess.run(
        [tool("systemd-analyze"), "security", "--offline=true", "--no-pager", unit],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Unknown" not in done.stderr
    level = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert level, done.stdout + done.stderr
    return float(level[1])


@pytest.mark.parametrize(("name", "most"), [(RECOGNISER, 0.6), (PUBLISHER, 1.0)])
def test_exposure(name: str, most: float) -> None:
    assert exposure(SHIPPED / name) <= most


def test_a_network_camera_opens_one_address_and_no_more(tmp_path: Path) -> None:
    (tmp_path / f"{RECOGNISER}.d").mkdir()
    (tmp_path / RECOGNISER).write_text((SHIPPED / RECOGNISER).read_text())
    (tmp_path / f"{RECOGNISER}.d" / "rtsp.conf").write_text((SHIPPED / "recogniser-rtsp.conf").read_text())
    assert exposure(tmp_path / RECOGNISER) <= 1.2
    assert settings(RECOGNISER)["IPAddressDeny"] == ["any"]
    assert "IPAddressDeny" not in settings("recogniser-rtsp.conf")


@pytest.mark.parametrize("drop_in", [None, "recogniser-rtsp.conf", "recogniser-jetson.conf"])
def test_systemd_finds_nothing_wrong(tmp_path: Path, drop_in: str | None) -> None:
    for name in (RECOGNISER, PUBLISHER, "edge-anpr.target"):
        text = (SHIPPED / name).read_text().replace("/usr/bin/edge-anpr ", "/bin/true ")  # it is not installed here
        (tmp_path / name).write_text(text)
    units = sorted(tmp_path.iterdir())
    if drop_in:
        (tmp_path / f"{RECOGNISER}.d").mkdir()
        (tmp_path / f"{RECOGNISER}.d" / "more.conf").write_text((SHIPPED / drop_in).read_text())
    done = subprocess.run(
        [tool("systemd-analyze"), "verify", "--man=no", *units],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "edge-anpr" in line]  # others' units may be wrong here
    assert (said, done.returncode) == ([], 0)


def test_a_jetson_opens_the_gpu_and_code_made_at_run_time_and_no_more(tmp_path: Path) -> None:
    (tmp_path / f"{RECOGNISER}.d").mkdir()
    (tmp_path / RECOGNISER).write_text((SHIPPED / RECOGNISER).read_text())
    (tmp_path / f"{RECOGNISER}.d" / "jetson.conf").write_text((SHIPPED / "recogniser-jetson.conf").read_text())
    assert exposure(tmp_path / RECOGNISER) <= 0.8
    more = settings("recogniser-jetson.conf")
    assert set(more) == {
        "MemoryDenyWriteExecute", "DeviceAllow", "SupplementaryGroups", "CacheDirectory", "CacheDirectoryMode",
        "TimeoutStartSec",
    }  # fmt: skip
    assert all(re.fullmatch(r"/dev/(nv|dri/renderD)\S+ rw", line) for line in more["DeviceAllow"])
    assert more["CacheDirectoryMode"] == ["0700"]


@pytest.mark.parametrize("name", [RECOGNISER, PUBLISHER])
def test_what_keeps_a_unit_up_and_its_plates_off_the_disk(name: str) -> None:
    service = settings(name)
    for key, value in {
        "Type": "notify", "NotifyAccess": "main", "Restart": "always", "StartLimitIntervalSec": "0",
        "MemorySwapMax": "0", "LimitCORE": "0", "Group": "edge-anpr", "User": name.removesuffix(".service"),
    }.items():  # fmt: skip
        assert service[key] == [value]
    assert 5 <= int(service["WatchdogSec"][0]) <= 60
    assert "ProcSubset" not in service  # ONNX Runtime's cpuinfo, and the boot id


def test_the_recogniser_gets_cameras_and_not_the_key_in_the_board() -> None:
    service = settings(RECOGNISER)
    allowed = {line.split()[0] for line in service["DeviceAllow"]}
    assert allowed == {"char-video4linux", "char-media", "char-dma_heap"}
    assert (service["DevicePolicy"], service["PrivateNetwork"]) == (["closed"], ["yes"])
    assert service["RestrictAddressFamilies"] == ["AF_UNIX"]


def test_users_and_folders(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give folders to users")
    sysusers: list[str | Path] = [tool("systemd-sysusers"), f"--root={tmp_path}", SHIPPED / "edge-anpr.sysusers"]
    (tmp_path / "etc").mkdir()
    subprocess.run(sysusers, check=True, capture_output=True)
    tmpfiles: list[str | Path] = [
        tool("systemd-tmpfiles"),
        "--create",
        f"--root={tmp_path}",
        SHIPPED / "edge-anpr.tmpfiles",
    ]
    subprocess.run(tmpfiles, check=True, capture_output=True)
    groups = dict(line.split(":")[::2] for line in (tmp_path / "etc/group").read_text().splitlines())
    users = [line.split(":")[0] for line in (tmp_path / "etc/passwd").read_text().splitlines()]
    for name in (RECOGNISER, PUBLISHER):
        service = settings(name)
        assert service["User"][0] in users
        for folder in service["ReadWritePaths"][0].split():
            made = tmp_path.joinpath(folder.lstrip("+/")).stat()
            assert oct(made.st_mode) == "0o42770"  # a file of one is the other's to write and delete
            assert made.st_gid == int(groups[service["Group"][0]])
