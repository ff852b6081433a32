"""Roots of Debian 13, made once by mmdebstrap and kept: what a unit's package needs, and the broker of the tests.

``python -m tests.system.root`` makes those that are missing, where mmdebstrap can be watched.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SUITE = "trixie"
CACHE = Path(os.environ.get("EDGE_ANPR_ROOTS") or Path.home() / ".cache" / "edge-anpr" / "roots")
# What the package depends on; it is installed without a network, so one that is missing here is found out.
NEEDED = (
    "systemd", "systemd-sysv", "python3", "python3-click", "python3-cryptography", "python3-msgspec", "python3-nacl",
    "python3-numpy", "python3-onnxruntime", "python3-opencv", "python3-paho-mqtt", "python3-rich", "python3-systemd",
    "python3-yaml",
)  # fmt: skip
# A broker to speak to, and Dutch.
BESIDE = ("dbus", "locales", "mosquitto")
LANGUAGE = "nl_NL.UTF-8"
# Emulated, compiling all of Debian's Python modules takes half an hour, and nobody imports most of them.
PY3COMPILE = "/usr/bin/py3compile"
UNCOMPILED = (
    f'--essential-hook=chroot "$1" dpkg-divert --local --rename --divert {PY3COMPILE}.away --add {PY3COMPILE}',
    f'--essential-hook=ln -s true "$1{PY3COMPILE}"',
    f'--customize-hook=rm "$1{PY3COMPILE}" && chroot "$1" dpkg-divert --local --rename --remove {PY3COMPILE}',
)


def booting() -> Path:
    """A root of this machine's architecture that boots."""
    dutch = f'--customize-hook=chroot "$1" localedef -i nl_NL -f UTF-8 {LANGUAGE}'
    return _kept("arm64" if _is_arm64() else "amd64", (*NEEDED, *BESIDE), dutch)


def arm64() -> Path:
    """A root for arm64, which on another machine runs by qemu-user."""
    if _is_arm64():
        return booting()
    _emulate()
    return _kept("arm64", NEEDED, *UNCOMPILED)


def _kept(architecture: str, packages: tuple[str, ...], *options: str) -> Path:
    key = hashlib.sha256(json.dumps([SUITE, architecture, packages, options]).encode()).hexdigest()[:12]
    root = CACHE / f"{SUITE}-{architecture}-{key}"
    if not root.exists():
        part = root.with_name(f"{root.name}.part")
        sys.stderr.write(f"\nmaking {root}, once; this takes minutes, and an emulated one most of an hour\n")
        remove(part)
        CACHE.mkdir(parents=True, exist_ok=True)
        mmdebstrap(part, packages, f"--arch={architecture}", *options)
        part.rename(root)  # a half-made one is never taken
    return root


def mmdebstrap(part: Path, packages: Sequence[str], *options: str) -> None:
    """Make a root. It mounts this machine's /dev/shm into it, so it has mounts of its own, which end with it."""
    subprocess.run(
        [
            "unshare", "--mount",
            "mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory",
            f"--include={','.join(packages)}", *options, SUITE, part, _mirror(),
        ],
        check=True,
    )  # fmt: skip


def remove(part: Path) -> None:
    """Delete a root, and nothing of another file system that is mounted in it."""
    subprocess.run(["rm", "-rf", "--one-file-system", part], check=True)


def _mirror() -> str:
    """From where this machine has its own Debian."""
    if "EDGE_ANPR_MIRROR" in os.environ:
        return os.environ["EDGE_ANPR_MIRROR"]
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    return next((line.split()[1] for line in told if line.startswith("Debian ")), "http://deb.debian.org/debian")


def _is_arm64() -> bool:
    return os.uname().machine == "aarch64"


def _emulate() -> None:
    """Let the kernel run arm64 programs by qemu-user, as Debian's package has registered it."""
    registered = Path("/proc/sys/fs/binfmt_misc")
    if not (registered / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", registered], check=True)
    if not (registered / "qemu-aarch64").exists():
        subprocess.run(["update-binfmts", "--enable", "qemu-aarch64"], check=True)


if __name__ == "__main__":
    booting()
    arm64()
