"""A card, and a machine that starts from it: nobody types anything, and a heartbeat arrives. Then its camera.

    make system-test        or: pytest -m system tests/system/test_guest.py

The machine is emulated: its seconds are several of a real one.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edge_anpr import cli
from edge_anpr.provision.certificates import Role
from edge_anpr.provision.cloud_config import wifi_key
from tests.broker.client import Client
from tests.broker.hardened import Hardened
from tests.conftest import until
from tests.system.guest import HOST, Guest

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
CONFIG = """\
unit: {{org: any, site: any, id: any}}
camera: {{source: v4l2, width: 640, height: 360, pixels: yuyv, stall_s: 60.0}}
watchlist: {{path: stolen.signed, keys: [authority.pub], identity: identity.key}}
mqtt: {{host: {host}, port: {port}}}
health: {{interval_s: 5.0}}
"""
ORDER = (
    "--list-id", "stolen", "--version", "1", "--unit", "pole-07", "--valid-until", "2099-12-31", "--regime", "test",
    "--reference", "T-1", "--authority", "nobody", "--mandate-until", "2099-12-31",
)  # fmt: skip
TABLE = "plate,country,reason,not_after,priority\nQA-12-CE,NL,stolen,2099-12-31,1\n"
FIRST_HEARTBEAT_S, LATER_S = 1800.0, 900.0


class Pole:
    """The desk, the broker, the card and the machine on the pole."""

    def __init__(self, folder: Path, package: Path) -> None:
        self.folder, self.package, self.seed = folder, package, folder / "seed.img"
        self.broker = Hardened(folder)
        made = self.broker.authority.issue(
            Role.BROKER, "localhost", 30, None, renew=True,
            dns=["localhost"], ips=[ip_address("127.0.0.1"), ip_address(HOST)],
        ).folder  # fmt: skip
        for name in ("broker.pem", "broker.key"):
            shutil.copy(made / name, self.broker.etc / "edge-anpr")
        self.guest = Guest(folder, (self.seed,))
        self._provision()
        self.broker.start()
        self.centre = Client(self.broker.port, self.broker.centre())
        self.centre.subscribe("anpr/v1/#")

    def close(self) -> None:
        self.guest.pull_the_plug()
        self.centre.close()
        self.broker.kill()

    def since_power_on(self) -> int:
        """Seconds, whole."""
        return round(time.monotonic() - self.guest.power_on)

    def heartbeats(self) -> list[dict[str, Any]]:
        topic = "anpr/v1/town/bridge/pole-07/health"
        return [json.loads(payload) for heard, payload in list(self.centre.heard) if heard == topic]

    def next_heartbeat(self, wanted: Mapping[str, Any] | None = None, timeout_s: float = LATER_S) -> dict[str, Any]:
        """The next one in which the recogniser says ``wanted``, or any."""
        seen = len(self.heartbeats())
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            assert self.guest.alive(), self.guest.said()
            for one in self.heartbeats()[seen:]:
                if wanted is None or all((one.get("recogniser") or {}).get(key) == wanted[key] for key in wanted):
                    return one
            time.sleep(0.1)
        last = self.heartbeats()[-1:]
        words = self.guest.run(
            "systemctl status --no-pager edge-anpr-*; journalctl -b --no-pager | grep -v cloud-init | tail -60",
            check=False,
        )
        pytest.fail(f"no heartbeat with {wanted} in {timeout_s} s; the last: {last}\n{words}\n{self.guest.said()}")

    def sees(self) -> None:
        """Wait until frames of the camera go through the networks."""
        before = self.next_heartbeat({"state": "running"})["recogniser"]["frames"]
        deadline = time.monotonic() + LATER_S
        while self.next_heartbeat({"state": "running"})["recogniser"]["frames"] in {0, before}:
            assert time.monotonic() < deadline, "no frame"

    def _provision(self) -> None:
        _command("watchlist", "keygen", self.folder / "authority-of-lists")
        _command("watchlist", "keygen", self.folder / "identity")
        shutil.move(self.folder / "authority-of-lists.pub", self.folder / "authority.pub")
        (self.folder / "stolen.csv").write_text(TABLE, "utf-8")
        _command("watchlist", "make", self.folder / "stolen.csv", "--out", self.folder / "stolen.json", *ORDER)
        _command(
            "watchlist", "sign", self.folder / "stolen.json", "--key", self.folder / "authority-of-lists.key",
            "--out", self.folder / "stolen.signed",
        )  # fmt: skip
        (self.folder / "unit.yaml").write_text(CONFIG.format(host=HOST, port=self.broker.port), "utf-8")
        (self.folder / "passphrase").write_text("correct horse battery", "utf-8")
        (self.folder / "pin").write_text("4711", "utf-8")
        self.card = self.folder / "card"
        self.card.mkdir()
        _command(
            "provision", "card", "--org", "town", "--site", "bridge", "--unit", "pole-07",
            "--config", self.folder / "unit.yaml", "--authority", self.broker.authority_folder,
            "--package", self.package,
            "--ssh-key", self.guest.key.with_suffix(".pub"), "--wifi", "poles", "--wifi-country", "NL",
            "--wifi-passphrase-file", self.folder / "passphrase", "--apn", "internet.m2m",
            "--pin-file", self.folder / "pin", "--time-server", "ntp.example.org", "--out", self.card,
        )  # fmt: skip
        with self.seed.open("wb") as file:
            file.truncate(64_000_000)
        subprocess.run(["mkfs.vfat", "-n", "CIDATA", self.seed], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["mcopy", "-s", "-i", self.seed, *self.card.iterdir(), "::"], check=True)

    def secrets(self) -> dict[str, bytes]:
        """What must be found nowhere on the seed after the first start, by what it is."""
        found = {path.name: path.read_bytes().split()[-1] for path in (self.card / "edge-anpr/credstore").iterdir()}
        key = (self.card / "edge-anpr/credstore/edge-anpr.tls-key").read_bytes().splitlines()[1]
        identity = (self.card / "edge-anpr/credstore/edge-anpr.identity").read_bytes().split()[2]
        wifi = wifi_key("poles", "correct horse battery").encode()
        plate = (self.card / "edge-anpr/etc/stolen.signed").read_bytes()[:400]
        return found | {
            "edge-anpr.tls-key": key, "edge-anpr.identity": identity, "wifi": wifi, "pin": b"pin=4711", "list": plate,
        }  # fmt: skip


@pytest.fixture(scope="module")
def pole(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pole]:
    made = Pole(tmp_path_factory.mktemp("card"), package)
    yield made
    made.close()


def test_a_machine_starts_from_a_card_and_its_heartbeat_arrives(pole: Pole, figures: dict[str, object]) -> None:
    raw = pole.seed.read_bytes()
    assert not [name for name, secret in pole.secrets().items() if secret not in raw], "the search finds nothing"
    pole.guest.start()
    heartbeat = pole.next_heartbeat(timeout_s=FIRST_HEARTBEAT_S)
    figures["emulated machine: from power on to the first heartbeat, first start, s"] = pole.since_power_on()
    assert heartbeat["publisher"]["connected_s"] is not None, heartbeat

    run = pole.guest.run
    run("until systemctl show -P Result,ActiveState edge-anpr-first-boot | grep -q inactive; do sleep 1; done")
    states = "systemctl is-active edge-anpr.target edge-anpr-recogniser edge-anpr-publisher"
    # It reads its list and warms up: the target is there when both services are.
    run("until systemctl is-active --quiet edge-anpr.target; do sleep 1; done")
    assert run(states).split() == ["active"] * 3
    assert run("hostname").strip() == "pole-07"
    told = json.loads(run("cloud-init status --wait --format json", check=False))
    assert (told["status"], told["errors"]) == ("done", []), told
    assert "Invalid" not in run("cloud-init schema --system 2>&1")


def test_the_first_start_has_put_everything_in_its_place(pole: Pole) -> None:
    run = pole.guest.run
    places = run('stat -c "%n %a %U %G" /etc/credstore/* /etc/edge-anpr/* /etc/NetworkManager/system-connections/*')
    assert set(places.splitlines()) >= {
        "/etc/credstore/edge-anpr.tls-key 600 root root",
        "/etc/credstore/edge-anpr.identity 600 root root",
        "/etc/edge-anpr/unit.yaml 640 root edge-anpr",
        "/etc/edge-anpr/unit.pem 640 root edge-anpr",
        "/etc/edge-anpr/authority.pub 640 root edge-anpr",
        "/etc/edge-anpr/stolen.signed 640 root edge-anpr",
        "/etc/NetworkManager/system-connections/edge-anpr-4g.nmconnection 600 root root",
    }
    # The image has a swap file in fstab; a unit's memory is not to be found on a disk.
    assert len(run("cat /proc/swaps").splitlines()) == 1
    effective = run("sshd -T").splitlines()
    assert {"passwordauthentication no", "permitrootlogin no", "kbdinteractiveauthentication no"} <= set(effective)
    assert run("passwd -S technician").split()[1] == "L"
    assert "Storage=persistent" in run("systemd-analyze cat-config systemd/journald.conf")
    assert run("ls /var/log/journal").strip()
    assert "ntp.example.org" in run("cat /etc/systemd/timesyncd.conf.d/cloud-init.conf")
    assert "edge-anpr-4g" in run("nmcli -g NAME connection show")
    assert "poles" in run("cat /etc/netplan/50-cloud-init.yaml")


def test_nothing_secret_is_left_on_the_seed_and_the_second_start_takes_nothing(
    pole: Pole, figures: dict[str, object]
) -> None:
    run = pole.guest.run
    host_key, before = run("cat /etc/ssh/ssh_host_ed25519_key.pub"), run("cat /proc/sys/kernel/random/boot_id")
    pole.guest.power_off()
    raw = pole.seed.read_bytes()
    assert [name for name, secret in pole.secrets().items() if secret in raw] == []
    left = subprocess.run(
        ["mdir", "-/", "-b", "-i", pole.seed, "::"], check=True, capture_output=True, text=True
    ).stdout
    assert sorted(left.split()) == [
        "::/edge-anpr/", "::/edge-anpr/done", "::/meta-data", "::/network-config", "::/user-data",
    ]  # fmt: skip
    pole.guest.start()
    pole.next_heartbeat()
    figures["emulated machine: from power on to the first heartbeat, second start, s"] = pole.since_power_on()
    assert run("cat /proc/sys/kernel/random/boot_id") != before
    assert run("cat /etc/ssh/ssh_host_ed25519_key.pub") == host_key
    assert "first-boot" not in run("journalctl -b --no-pager -u edge-anpr-first-boot -o cat; systemctl --failed")
    assert run("ls /var/lib/cloud/instances").split() == [_instance(pole)]
    assert len(run("cat /proc/swaps").splitlines()) == 1
    # What was taken from the seed is still known to the system.
    assert "poles" in run("cat /etc/netplan/50-cloud-init.yaml")
    assert pole.secrets()["wifi"].decode() in run("cat /etc/netplan/50-cloud-init.yaml")


def test_a_camera_of_the_kernel_gives_frames_in_the_format_that_was_asked_for(pole: Pole) -> None:
    run = pole.guest.run
    pole.sees()
    assert "YUYV" in run("v4l2-ctl -d /dev/video0 --get-fmt-video")
    assert "MJPG" not in run("v4l2-ctl -d /dev/video0 --list-formats"), "vivid offers it now: ask for it here, too"
    run("sed -i s/yuyv/mjpeg/ /etc/edge-anpr/unit.yaml && systemctl restart --no-block edge-anpr-recogniser")
    journal = "journalctl -b -u edge-anpr-recogniser -o cat --no-pager"
    until(lambda: "BGR3 instead of 640x360 MJPG" in run(journal), LATER_S)
    run("sed -i s/mjpeg/yuyv/ /etc/edge-anpr/unit.yaml && systemctl restart --no-block edge-anpr-recogniser")
    pole.sees()


def test_a_camera_that_is_unplugged_and_plugged_in_again_gives_frames_again(pole: Pole) -> None:
    run = pole.guest.run
    pole.sees()
    process = run("systemctl show -P MainPID edge-anpr-recogniser")
    run("echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind")
    assert pole.next_heartbeat({"state": "camera lost"})["recogniser"]["source_losses"] > 0
    run("echo vivid.0 >/sys/bus/platform/drivers/vivid/bind")
    pole.sees()
    assert run("systemctl show -P MainPID edge-anpr-recogniser") == process


def test_on_raspberry_pi_os_a_stick_in_the_machine_is_no_seed(pole: Pole) -> None:
    """Judged by cloud-init itself; the seed that is attached here has the label that it looks for everywhere."""
    script = (ROOT / "edge_anpr/provision/first_boot.sh").read_text("utf-8")
    (line,) = [line.strip() for line in script.splitlines() if "fs_label" in line]
    run = pole.guest.run
    run("mkdir -p /boot/firmware && echo instance-id: of-the-card >/boot/firmware/meta-data")
    run('echo "#cloud-config" >/boot/firmware/user-data')
    # As Raspberry Pi OS has it.
    place = "/etc/cloud/cloud.cfg.d/99_raspberry-pi.cfg"
    run(f'echo "datasource: {{NoCloud: {{seedfrom: file:///boot/firmware}}}}" >{place}')
    judged = f'python3 -c "{_JUDGED}"'
    assert run(judged).split()[-1] == _instance(pole)
    pole.guest.run(line.replace("'", '"'))
    assert run(judged).split()[-1] == "of-the-card"


_JUDGED = """\
from cloudinit.stages import Init
from cloudinit.sources.DataSourceNoCloud import DataSourceNoCloud
init = Init()
init.read_cfg()
source = DataSourceNoCloud(init.cfg, init.distro, init.paths)
assert source.get_data()
print(source.get_instance_id())
"""


def _instance(pole: Pole) -> str:
    lines = (pole.card / "meta-data").read_text("utf-8").splitlines()
    return next(line.split()[1] for line in lines if line.startswith("instance-id:"))


def _command(*words: str | Path) -> None:
    done = CliRunner().invoke(cli.main, list(map(str, words)))
    assert done.exit_code == 0, done.output
