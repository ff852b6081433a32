"""A guest of Debian 13 with a kernel of its own, in qemu without hardware's help: what a container cannot show.

Its image is made once by mmdebstrap and kept. It has what a unit's image has (cloud-init, netplan with NetworkManager,
SSH) and what the package depends on, but not the package, and a swap file, which a unit should not use. A camera is
there by `modprobe vivid`.

with Guest(folder, (seed,)) as guest:
    guest.start()
    guest.run("systemctl is-system-running")
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType

from tests.conftest import free_port
from tests.system.root import CACHE, mmdebstrap, remove

USER = "technician"
HOST = "10.0.2.2"
"""As the guest sees this machine (its loopback), by qemu's own network."""
PACKAGES = (
    "ca-certificates", "cloud-init", "dbus", "e2fsprogs", "iproute2", "kmod", "linux-image-amd64", "mosquitto-clients",
    "netplan.io", "network-manager", "openssh-server", "python3-click", "python3-msgspec", "python3-nacl",
    "python3-numpy", "python3-onnxruntime", "python3-opencv", "python3-paho-mqtt", "python3-rich", "python3-systemd",
    "python3-yaml", "sudo", "systemd-sysv", "systemd-timesyncd", "udev", "v4l-utils",
)  # fmt: skip
# Of the kernel's modules the initrd gets those alone that it needs here, and nothing runs that nobody needs: each
# second counts tenfold in an emulated machine.
_CUSTOMIZE = """\
set -e
printf '/dev/vda / ext4 noatime 0 1\\n/swapfile none swap sw 0 0\\n' >"$1/etc/fstab"
dd if=/dev/zero of="$1/swapfile" bs=1M count=16 status=none
chmod 600 "$1/swapfile"
chroot "$1" mkswap -q /swapfile
printf 'network:\\n  version: 2\\n  renderer: NetworkManager\\n' >"$1/usr/lib/netplan/00-network-manager-all.yaml"
chmod 600 "$1/usr/lib/netplan/00-network-manager-all.yaml"
echo 'options vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0' >"$1/etc/modprobe.d/vivid.conf"
# As on Raspberry Pi OS: cloud-init waits for the boot partition, where there is one.
for unit in cloud-init-main cloud-init-local; do
  mkdir -p "$1/usr/lib/systemd/system/$unit.service.d"
  printf '[Unit]\\nRequiresMountsFor=/boot/firmware\\n' >"$1/usr/lib/systemd/system/$unit.service.d/41-firmware.conf"
done
rm -f "$1"/etc/ssh/ssh_host_*
chroot "$1" systemctl mask --quiet apt-daily.timer apt-daily-upgrade.timer systemd-binfmt.service \
  systemd-networkd.service NetworkManager-wait-online.service e2scrub_reap.service
printf 'MODULES=list\\nCOMPRESS=lz4\\n' >"$1/etc/initramfs-tools/conf.d/guest"
printf 'virtio_pci\\nvirtio_blk\\next4\\n' >>"$1/etc/initramfs-tools/modules"
chroot "$1" update-initramfs -u
touch "$1/etc/.updated" "$1/var/.updated"
"""
# Time limits of a real machine are too short for an emulated one on a busy host.
_PATIENCE = "modules_load=vivid systemd.default_timeout_start_sec=900 systemd.default_device_timeout_sec=900"


def image() -> Path:
    """A folder with ``disk.img``, ``vmlinuz`` and ``initrd.img``, made when it is first asked for."""
    key = hashlib.sha256(json.dumps([PACKAGES, _CUSTOMIZE]).encode()).hexdigest()[:12]
    folder = CACHE / f"trixie-amd64-guest.{key}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever comes while it is being made, waits
        if not folder.exists():
            _make(folder)
    return folder


def _make(folder: Path) -> None:
    part = folder.with_name(f"{folder.name}.part")
    logging.getLogger(__name__).warning("making %s, once; this takes some minutes", folder)
    remove(part)
    part.mkdir(parents=True)
    hook = part / "customize"
    hook.write_text(f"#!/bin/sh\n{_CUSTOMIZE}", "utf-8")
    hook.chmod(0o755)
    root = part / "root"
    mmdebstrap(
        root, PACKAGES, "--arch=amd64", '--aptopt=APT::Install-Recommends "false"',
        "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
        f"--customize-hook={hook}",
    )  # fmt: skip
    for name in ("vmlinuz", "initrd.img"):
        shutil.copy(next((root / "boot").glob(f"{name}-*")), part / name)
    subprocess.run(["mkfs.ext4", "-q", "-d", root, part / "disk.img", "6G"], check=True)
    remove(root)
    part.rename(folder)  # a half-made one is never taken


class Guest:
    """One machine; its disk is a layer over the image, and what it wrote is there at its next start."""

    def __init__(self, folder: Path, disks: tuple[Path, ...] = ()) -> None:
        self._image, self._disks, self._port = image(), disks, free_port()
        self._disk, self.key, self.console = folder / "disk.qcow2", folder / "id_ed25519", folder / "console.log"
        self._running: subprocess.Popen[bytes] | None = None
        self.power_on = 0.0
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", self._image / "disk.img", self._disk],
            check=True,
        )

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.pull_the_plug()

    def start(self, *disks: Path) -> None:
        """Switch it on, with its disks and ``disks`` beside them; this does not wait for anything."""
        assert self._running is None
        drives = [f"file={disk},format=raw,if=virtio" for disk in (*self._disks, *disks)]
        self._running = subprocess.Popen(
            [
                "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "Nehalem", "-smp", "2",
                "-m", "2048", "-nographic", "-nodefaults", "-no-reboot", "-serial", f"file:{self.console}",
                "-kernel", str(self._image / "vmlinuz"), "-initrd", str(self._image / "initrd.img"),
                "-append", f"root=/dev/vda ro console=ttyS0 quiet {_PATIENCE}",
                "-drive", f"file={self._disk},if=virtio,cache=unsafe",
                *(word for drive in drives for word in ("-drive", drive)),
                "-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{self._port}-:22",
                "-device", "virtio-net-pci,netdev=net", "-device", "virtio-rng-pci",
            ],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.power_on = time.monotonic()

    def alive(self) -> bool:
        """Whether qemu runs."""
        return self._running is not None and self._running.poll() is None

    def run(self, command: str, *, check: bool = True, timeout_s: float = 900.0) -> str:
        """What a command, run as root, prints; SSH is tried until it answers."""
        deadline = time.monotonic() + timeout_s
        words = ("sudo", "sh", "-c", f"'{command}'")
        assert "'" not in command
        while True:
            done = subprocess.run(
                [
                    "ssh", "-q", "-p", str(self._port), "-i", self.key, "-o", "StrictHostKeyChecking=no",
                    "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=60", "-o", "BatchMode=yes",
                    "-o", "ServerAliveInterval=30", f"{USER}@127.0.0.1", *words,
                ],
                capture_output=True, text=True, check=False, timeout=timeout_s,
            )  # fmt: skip
            if done.returncode != 255:  # ssh's own
                break
            assert self.alive(), f"the guest has ended\n{self.said()}"
            assert time.monotonic() < deadline, f"no SSH in {timeout_s} s\n{self.said()}"
            time.sleep(1)
        assert done.returncode == 0 or not check, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def power_off(self) -> None:
        """In good order."""
        assert self._running is not None
        self.run("systemctl poweroff --no-block")
        self._running.wait(900)
        self._running = None

    def pull_the_plug(self) -> None:
        """At once, with what the disk has by then."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            self._running = None

    def said(self) -> str:
        """The console's last words."""
        return self.console.read_text("utf-8", "replace")[-4000:] if self.console.exists() else ""
