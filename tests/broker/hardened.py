"""The shipped broker, as it is shipped, on a free port: a certificate authority, a broker, centres and units.

broker = Hardened(tmp_path)
ca, certificate, key = broker.unit("town/bridge/pole-07")
broker.start()
... connect to 127.0.0.1 (or localhost), broker.port ...
broker.kill()
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from edge_anpr.provision import authority
from edge_anpr.provision.authority import Authority
from edge_anpr.provision.certificates import Role
from tests.conftest import Broker, free_port, until

SHIPPED = Path(__file__).resolve().parents[2] / "deploy/broker"


class Files(NamedTuple):
    """What a client needs to be let in."""

    ca: Path
    certificate: Path
    key: Path


class Hardened(Broker):
    """mosquitto with deploy/broker's files; only the port, the folder and the user are others.

    ``unit`` and ``centre`` make a certificate when a name is first asked for (a running broker is then reloaded).
    ``instead`` replaces options of mosquitto.conf. The environment's MOSQUITTO is another program to run.
    """

    def __init__(self, folder: Path, **instead: str) -> None:
        program = os.environ.get("MOSQUITTO") or shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "mosquitto is missing; `make test` installs it"
        self.etc, self.authority_folder = folder / "etc", folder / "authority"
        port = free_port()
        super().__init__([*shlex.split(program), "-c", str(self.etc / "mosquitto.conf")], folder / "broker.log", port)
        authority.create(self.authority_folder, "test", 30, None)
        self.authority = Authority(self.authority_folder)
        (self.etc / "edge-anpr").mkdir(parents=True)
        local = [ip_address("127.0.0.1")]
        made = self.authority.issue(Role.BROKER, "localhost", 30, None, dns=["localhost"], ips=local).folder
        for name in ("broker.pem", "broker.key", "ca.pem"):
            shutil.copy(made / name, self.etc / "edge-anpr")
        conf = (SHIPPED / "mosquitto.conf").read_text("utf-8").replace("/etc/mosquitto/", f"{self.etc}/")
        options = {line.partition(" ")[0] for line in conf.splitlines()}
        assert options >= instead.keys(), f"not in the shipped file: {instead.keys() - options}"
        lines = [line for line in conf.splitlines() if line.partition(" ")[0] not in {"listener", *instead}]
        lines = [
            f"listener {port} 127.0.0.1",
            "user root",
            *(f"{key} {value}" for key, value in instead.items()),
            *lines,
        ]
        (self.etc / "mosquitto.conf").write_text("\n".join(lines) + "\n", "utf-8")
        self._files: dict[str, Files] = {}

    def start(self) -> None:
        self.install()
        super().start()

    def unit(self, name: str = "town/bridge/pole-07", cameras: tuple[str, ...] = ("cam-1",)) -> Files:
        """Certificate and key of a unit."""
        return self._of(Role.UNIT, name, cameras)

    def centre(self, name: str = "centre") -> Files:
        """Certificate and key of a process of the centre; two that run at once need two names."""
        return self._of(Role.CENTRE, name, ())

    def revoke(self, *names: str) -> None:
        """Take back all certificates of these names; the broker has the new list, and was told to read it."""
        self.authority.revoke([one.serial for one in self.authority.standing() if one.name in names], None)
        self.reload()

    def reload(self) -> None:
        """Give the broker the newest acl and crl.pem, and let it read them if it runs."""
        if self.running is not None:
            self.install()
            self.hangup()

    def hangup(self) -> None:
        """Let the running broker read its files again."""
        assert self.running is not None
        before = self.said().count("Reloading config")
        os.kill(self.running.pid, signal.SIGHUP)
        until(lambda: self.said().count("Reloading config") > before)
        # It says so when it begins, and forgets a SIGHUP that comes meanwhile; when it answers, it is through.
        trust = ssl.create_default_context(cafile=self.etc / "edge-anpr" / "ca.pem")
        with (
            socket.create_connection(("127.0.0.1", self.port), 10) as raw,
            trust.wrap_socket(raw, server_hostname="localhost"),
        ):
            pass

    def rss_mb(self) -> float:
        """What the running broker's process has in memory."""
        assert self.running is not None
        status = Path(f"/proc/{self.running.pid}/status").read_text("ascii")
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS:"))

    def install(self) -> None:
        """Put the newest acl and crl.pem where the broker reads them."""
        files = (self.authority_folder / "crl.pem", self.authority_folder / "acl")
        environment = os.environ | {
            "MOSQUITTO_ETC": str(self.etc), "MOSQUITTO_USER": str(os.getuid()), "MOSQUITTO_RELOAD": "true",
        }  # fmt: skip
        subprocess.run([SHIPPED / "install", *files], env=environment, check=True)

    def _of(self, role: Role, name: str, cameras: tuple[str, ...]) -> Files:
        if name not in self._files:
            folder = self.authority.issue(role, name, 30, None, cameras=cameras).folder
            kind = role.value
            self._files[name] = Files(folder / "ca.pem", folder / f"{kind}.pem", folder / f"{kind}.key")
            self.reload()
        return self._files[name]
