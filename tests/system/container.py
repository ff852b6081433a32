"""A throw-away copy of a root under systemd-nspawn: booted, for a real systemd to break, or for one command."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# Over the root, which stays as it is, lies what the container writes. All mounts and processes end with this one, which
# ends with the tests. /run is empty, so that nspawn asks no systemd of this machine for anything, and runs where it is.
ENTER = """
set -eu
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/merged"
mount -t tmpfs tmpfs /run
echo $$ >"$3/cgroup.procs"
exec systemd-nspawn --quiet --directory="$2/merged" --machine="${2##*/}" --register=no --keep-unit --console=pipe \
    --private-network --resolv-conf=off --timezone=off --link-journal=no "${@:4}"
"""
# A service with a RootDirectory= gets an os-release in /run/host, where a machine has nothing and nspawn its own.
LIKE_A_MACHINE = """\
[Unit]
DefaultDependencies=no
Before=basic.target shutdown.target
[Service]
Type=oneshot
ExecStart=sh -c 'mount -o remount,rw /run/host; umount /run/host/os-release; rm /run/host/os-release'
"""
CGROUPS = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup"))


class Container:
    """``folder`` holds what it writes, boot after boot; ``options`` go to systemd-nspawn."""

    def __init__(self, root: Path, folder: Path, options: Sequence[str] = ()) -> None:
        self._root, self.folder, self._options = root, folder, options
        for name in ("upper", "work", "merged"):
            (folder / name).mkdir(parents=True)
        units = folder / "upper/etc/systemd/system"
        (units / "basic.target.wants").mkdir(parents=True)
        (units / "like-a-machine.service").write_text(LIKE_A_MACHINE)
        (units / "basic.target.wants/like-a-machine.service").symlink_to("../like-a-machine.service")
        self._cgroup = f"edge-anpr-{os.getpid()}-{folder.name}"
        self._process: subprocess.Popen[bytes] | None = None
        self.leader = 0
        self.boot_s = 0.0

    def boot(self) -> None:
        """Until systemd has started all that it is to start."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified, (self.folder / "console").open("ab") as out:
            place = self.folder / "notify"
            place.unlink(missing_ok=True)
            notified.bind(str(place))
            notified.settimeout(60)
            began = time.monotonic()
            self._process = subprocess.Popen(
                self._program("--boot", "--notify-ready=yes", *self._options),
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env={**os.environ, "NOTIFY_SOCKET": str(place), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            )  # fmt: skip
            said = ""
            while "READY=1" not in said.splitlines():
                try:
                    said += notified.recv(4096).decode() + "\n"
                except TimeoutError:
                    raise AssertionError(f"did not boot: {(self.folder / 'console').read_text()[-2000:]}") from None
            (nspawn,) = _children(self._process.pid)
            (self.leader,) = _children(nspawn)
            self.run("systemctl", "is-system-running", "--wait", check=False)
            self.boot_s = time.monotonic() - began

    def once(self, *command: str, timeout_s: float) -> str:
        """What the command printed, alone in there, with nothing booted."""
        try:
            done = subprocess.run(
                self._program("--as-pid2", *command),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=timeout_s, check=False,
            )  # fmt: skip
        finally:
            _remove_cgroups(self._cgroup)
        said = done.stdout.decode(errors="replace")
        assert done.returncode == 0, f"{command}: {done.returncode}: {said[-3000:]}"
        return said

    def _program(self, *options: str) -> list[str]:
        cgroup = next(one for one in CGROUPS if (one / "cgroup.procs").exists()) / self._cgroup
        cgroup.mkdir(exist_ok=True)
        return [
            "setpriv", "--pdeathsig", "KILL",
            "unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child",
            "bash", "-c", ENTER, "enter", str(self._root), str(self.folder), str(cgroup), *options,
        ]  # fmt: skip

    def path(self, inside: str) -> Path:
        """A path of the running container as this machine sees it."""
        return Path(f"/proc/{self.leader}/root{inside}")

    def entering(self, *command: str | Path, network_only: bool = False) -> list[str]:
        """The command, as root in the container; or this machine's own program on the container's network."""
        if network_only:
            return ["nsenter", f"--target={self.leader}", "--net", *map(str, command)]
        clean = [
            "env",
            "--ignore-environment",
            "--chdir=/",
            "PATH=/usr/sbin:/usr/bin",
            "LC_ALL=C.UTF-8",
            "SYSTEMD_PAGER=",
        ]
        return ["nsenter", f"--target={self.leader}", "--all", *clean, *map(str, command)]

    def run(self, *command: str | Path, check: bool = True, timeout_s: float = 60) -> str:
        """What it printed, on both ways."""
        done = subprocess.run(
            self.entering(*command),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout_s, check=False,
        )  # fmt: skip
        said = done.stdout.decode(errors="replace")
        assert not check or done.returncode == 0, f"{command}: {done.returncode}: {said[-3000:]}"
        return said

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def journal(self, *options: str) -> str:
        return self.run("journalctl", "--no-pager", "--all", *options)

    def off(self) -> None:
        """Power off as the button does; what is left after that is killed. What it wrote is there for another boot."""
        if self._process is None:
            return
        if self._process.poll() is None and self.leader:
            os.kill(self.leader, signal.SIGRTMIN + 4)
        try:
            self._process.wait(40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._process = None
            self.leader = 0
            _remove_cgroups(self._cgroup)

    def gone(self) -> None:
        """End at once, and leave nothing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            _remove_cgroups(self._cgroup)
        shutil.rmtree(self.folder)


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _remove_cgroups(name: str) -> None:
    """Deepest first; the kernel takes a moment to let go of what was killed. systemd's old hierarchy has it too."""
    for top in (place / name for place in CGROUPS):
        for folder in (*sorted(top.rglob("*/"), reverse=True), top):
            for _ in range(100):
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.05)
                else:
                    break


def within(condition: Callable[[], object], timeout_s: float) -> float:
    """Wait for it; how many seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + timeout_s, f"waited {timeout_s} s in vain"
        time.sleep(0.05)
    return time.monotonic() - began
