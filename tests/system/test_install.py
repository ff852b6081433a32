"""docs/install.md, command by command: at a desk, at a broker and on a pole, with a clip in the place of the camera."""

from __future__ import annotations

import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from rich.text import Text

from edge_anpr import demo
from tests.system import root
from tests.system.container import Container, within
from tests.system.unit import BROKER, REPOSITORY, long_clip, records

pytestmark = pytest.mark.system

PAGE = REPOSITORY / "docs" / "install.md"
PICTURES = REPOSITORY / "build" / "install"
BLOCKS = re.findall(r"^```(\w+) (\S+)\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
CARD = "/media/bootfs"
# What the container has not: another user to become root from, and a way in.
SSHD = """\
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=true
ExecReload=true
[Install]
WantedBy=multi-user.target
"""


class Site:
    """The desk is a folder of this machine; the broker and the pole share a container, and its network the desk."""

    def __init__(self, folder: Path, pole: Container, package: Path) -> None:
        self.desk, self.card, self.pole = folder / "desk", folder / "card", pole
        self.desk.mkdir()
        self.card.mkdir()
        shutil.copy(package, self.desk)
        (self.desk / "technician.pub").write_text("ssh-ed25519 " + "A" * 68 + " technician\n")
        (folder / "hosts").write_text(f"127.0.0.1 localhost {BROKER}\n")
        (folder / "bin").mkdir()
        (folder / "bin/edge-anpr").write_text(f'#!/bin/sh\nexec {sys.executable} -m edge_anpr "$@"\n')
        (folder / "bin/edge-anpr").chmod(0o755)
        self.hosts = folder / "hosts"
        self.serving: subprocess.Popen[bytes] | None = None
        self._environment = os.environ | {"PATH": f"{folder}/bin:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}

    def at_desk(self, block: str) -> str:
        text = block.replace(CARD, str(self.card))
        return self._run(["bash", "-euo", "pipefail", "-c", text]).stdout

    def serve(self, block: str) -> None:
        script = f"mount --bind {self.hosts} /etc/hosts; {block}"
        self.serving = subprocess.Popen(
            self.pole.entering("unshare", "-m", "bash", "-euc", script, network_only=True),
            cwd=self.desk, env=self._environment, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def at_broker(self, block: str) -> str:
        if not (folder := self.pole.path("/root/broker")).exists():
            shutil.copytree(REPOSITORY / "deploy/broker", folder)
        issued = self.desk / "authority/broker" / BROKER / "1"
        for path in (*issued.iterdir(), self.desk / "authority/crl.pem", self.desk / "authority/acl"):
            shutil.copy(path, folder)
        return self.on_pole(f"cd /root/broker\n{block}")

    def on_pole(self, block: str) -> str:
        return self.pole.run("bash", "-euc", f'sudo() {{ "$@"; }}\n{block}', timeout_s=300)

    def first_start(self) -> None:
        """The card is put in, and what its user-data has cloud-init run is run."""
        shutil.copytree(self.card, self.pole.path("/boot/firmware"), dirs_exist_ok=True)
        for file in yaml.safe_load((self.card / "user-data").read_text())["write_files"]:
            place = self.pole.path(file["path"])
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(file["content"])
        self.pole.path("/etc/systemd/system/ssh.service").write_text(SSHD)
        self.pole.path("/etc/cloud/cloud.cfg.d").mkdir(parents=True)
        shutil.copy(long_clip(), self.pole.path("/usr/share/demo-clip.mp4"))
        self.on_pole(
            "systemctl daemon-reload; systemctl start systemd-journald; sh /usr/local/sbin/edge-anpr-first-boot"
        )
        config = self.pole.path("/etc/edge-anpr/unit.yaml")
        told = yaml.safe_load(config.read_text())
        assert told["camera"]["source"] == "picamera2"
        told["camera"] = {"source": "clip", "path": "/usr/share/demo-clip.mp4", "pace": "live"}
        told["watchlist"]["most_hits_percent"] = 100
        config.write_text(yaml.safe_dump(told))
        self.on_pole("systemctl restart edge-anpr-recogniser edge-anpr-publisher")

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=self.desk, env=self._environment, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}{done.stderr}"
        return done


@pytest.fixture
def site(tmp_path: Path, package: Path) -> Iterator[Site]:
    pole = Container(root.booting(), tmp_path / "install")
    site = None
    try:
        pole.boot()
        with pole.path("/etc/hosts").open("a") as hosts:
            hosts.write(f"127.0.0.1 localhost {BROKER}\n")
        site = Site(tmp_path, pole, package)
        yield site
        pole.off()
    finally:
        if site is not None and site.serving is not None:
            site.serving.kill()
            site.serving.wait()
        pole.gone()


def test_every_command_of_the_page_from_a_card_to_a_hit(site: Site) -> None:
    assert {place for _, place, _ in BLOCKS} == {"desk", "stolen.csv", "broker", "poles.yaml", "serve", "pole"}
    said: dict[str, str] = {}
    for kind, place, text in BLOCKS:
        if kind in {"csv", "yaml"}:
            (site.desk / place).write_text(text)
        elif place == "serve":
            site.serve(text)
            site.first_start()
            within(lambda: records(site.desk / "records.db", "SELECT read FROM hit WHERE phase = 'final'"), 150)
        else:
            run = {"desk": site.at_desk, "broker": site.at_broker, "pole": site.on_pole}[place]
            said[text.split("\n")[0]] = run(text)
    status = next(out for line, out in said.items() if line.startswith("systemctl status"))
    assert status.count("Active: active (running)") == 2
    assert "running" in status
    journal = next(out for line, out in said.items() if line.startswith("journalctl"))
    assert "Defined-By: edge-anpr" in journal or "-- Subject:" in journal
    assert "stolen" in next(out for line, out in said.items() if line.startswith("edge-anpr centre report"))
    for plate in json.loads((demo.FOLDER / "truth.json").read_text())["passages"]:
        assert plate["plate"] not in status + journal
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture("systemctl status --no-pager edge-anpr-recogniser edge-anpr-publisher", status, PICTURES / "status.svg")
    picture("journalctl -x", "\n".join(journal.splitlines()[-24:]), PICTURES / "journal.svg")


def picture(command: str, said: str, path: Path) -> None:
    """A terminal in which the command has been typed; the container has this machine's name."""
    said = said.replace(f" {platform.node()} ", " pole-07 ")
    terminal = Console(record=True, width=118, file=io.StringIO(), highlight=False)
    terminal.print(Text.assemble(("$ ", "green"), (command, "bold"), "\n", said.rstrip()))
    terminal.save_svg(str(path), title="pole-07")
