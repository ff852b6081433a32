"""What runs on the unit at its first start: cut off before each of its steps, it ends as if it had not been."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "edge_anpr/provision/first_boot.sh"
CARD = {
    "packages/edge-anpr_0.1.0_all.deb": "the package",
    "credstore/edge-anpr.tls-key": "the key",
    "credstore/edge-anpr.identity": "the identity",
    "connections/edge-anpr-4g.nmconnection": "pin=4711",
    "etc/unit.yaml": "the config",
    "etc/ca.pem": "the authority",
    "network-config": "the cable",
}
# The commands that change something, and a way to lose the power before any one of them; a shred is half done by then.
STUB = """\
#!/bin/sh
name=${0##*/}
echo "$name $*" >>"$LOG"
read -r count <"$LOG.count"
echo $((count + 1)) >"$LOG.count"
if [ "$count" = "$CUT" ]; then
    if [ "$name" = shred ]; then for last in "$@"; do :; done; echo rubbish >"$last"; fi
    kill -9 $PPID
    exit 1
fi
case $name in
    systemctl|swapoff|journalctl|nmcli|sync) exit 0 ;;
    apt-get) exit "${APT:-0}" ;;
    install)
        # Nobody but root may give files away.
        for word in "$@"; do
            shift
            case $word in root|edge-anpr) continue ;; -o|-g) continue ;; esac
            set -- "$@" "$word"
        done ;;
esac
exec "/usr/bin/$name" "$@"
"""
NAMES = (
    "systemctl", "swapoff", "journalctl", "nmcli", "sync", "apt-get", "install", "mv", "cp", "shred", "find", "touch",
    "rm",
)  # fmt: skip


class Unit:
    """A folder that is the unit's disk and its card."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.card, self.log = folder, folder / "boot/firmware/edge-anpr", folder / "log"
        for place, content in CARD.items():
            (self.card / place).parent.mkdir(parents=True, exist_ok=True)
            (self.card / place).write_text(content, "utf-8")
        (folder / "boot/firmware/network-config").write_text("the cable and the wireless key", "utf-8")
        for place in ("edge-anpr", "cloud/cloud.cfg.d", "systemd/system/multi-user.target.d"):
            (folder / "etc" / place).mkdir(parents=True)
        self.again = folder / "etc/systemd/system/multi-user.target.d/edge-anpr-first-boot.conf"
        self.again.touch()
        (folder / "bin").mkdir()
        for name in NAMES:
            (folder / "bin" / name).write_text(STUB, "utf-8")
            (folder / "bin" / name).chmod(0o755)
        text = re.sub(r"(?<=[ >=])/(?=etc/|boot/)", f"{folder}/", SCRIPT.read_text("utf-8"))
        (folder / "script").write_text(text, "utf-8")

    def start(self, cut: int = 0, **environment: str) -> int:
        """Run the script, and lose the power before command number ``cut``; how many there were."""
        self.log.write_text("", "utf-8")
        (self.folder / "log.count").write_text("1\n", "utf-8")
        told = {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "LOG": str(self.log), "CUT": str(cut)}
        command = ["sh", str(self.folder / "script")]
        self.code = subprocess.run(command, env=told | environment, check=False, capture_output=True).returncode
        return len(self.log.read_text("utf-8").splitlines())

    def disk(self) -> dict[str, str]:
        return {
            path.relative_to(self.folder).as_posix(): path.read_text("utf-8")
            for place in ("etc", "boot") for path in (self.folder / place).rglob("*") if path.is_file()
        }  # fmt: skip


WANTED = {
    "etc/credstore/edge-anpr.tls-key": "the key",
    "etc/credstore/edge-anpr.identity": "the identity",
    "etc/NetworkManager/system-connections/edge-anpr-4g.nmconnection": "pin=4711",
    "etc/edge-anpr/unit.yaml": "the config",
    "etc/edge-anpr/ca.pem": "the authority",
    "etc/cloud/cloud.cfg.d/zz-edge-anpr.cfg": "datasource: {NoCloud: {fs_label: null}}\n",
    "boot/firmware/network-config": "the cable",
    "boot/firmware/edge-anpr/done": "",
}


def test_all_is_taken_and_then_nothing_is_left(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    unit.start()
    assert unit.code == 0
    assert unit.disk() == WANTED
    steps = unit.log.read_text("utf-8").splitlines()
    assert "systemctl mask --quiet swap.target" in steps
    started = next(number for number, step in enumerate(steps) if step.startswith("systemctl restart --no-block"))
    overwritten = [number for number, step in enumerate(steps) if step.startswith("shred ")]
    assert overwritten
    assert started < min(overwritten)


def test_a_unit_that_loses_its_power_at_any_step_goes_on_with_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    steps = Unit(tmp_path / "whole").start()
    assert steps > 30
    for cut in range(1, steps + 1):
        (tmp_path / str(cut)).mkdir()
        unit = Unit(tmp_path / str(cut))
        unit.start(cut)
        assert unit.code != 0
        assert unit.again.exists(), cut
        unit.start()
        disk = {name: text for name, text in unit.disk().items() if not name.endswith(".part")}
        assert (unit.code, disk) == (0, WANTED), cut


def test_nothing_is_overwritten_before_the_package_is_there(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    unit.start(APT="100")
    assert unit.code != 0
    assert unit.again.exists()
    assert all((unit.card / place).read_text("utf-8") == content for place, content in CARD.items())
    assert "apt-get -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold update" in unit.log.read_text("utf-8")
    unit.start()
    assert unit.disk() == WANTED


@pytest.mark.parametrize("taken", [True, False])
def test_a_card_that_was_taken_is_let_alone(tmp_path: Path, taken: bool) -> None:
    unit = Unit(tmp_path)
    if taken:
        unit.start()
    else:
        for path in sorted(unit.card.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (unit.card / "done").touch()
    before = unit.disk()
    assert unit.start() <= 1
    assert unit.disk() | {unit.again.relative_to(tmp_path).as_posix(): ""} == before | {
        unit.again.relative_to(tmp_path).as_posix(): ""
    }
