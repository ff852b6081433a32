"""One program of the arm64 root on a processor of a Raspberry Pi, by qemu-user and without entering the root.

QEMU looks for every file below ``-L`` first and on this machine next, so nothing is mounted, and nothing needs root.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.system.root import CACHE

# Raspberry Pi 4 and 5. A Jetson Orin's Cortex-A78AE has the instructions of the A76, and QEMU 7.2 does not know it.
PI4, PI5 = "cortex-a72", "cortex-a76"
REPOSITORY = Path(__file__).resolve().parents[2]
# Debian 13's own is 1.21.0. Of the wheels the newest is taken that this was measured with.
WHEEL = "1.32.0"
# The runtime reads these for the size of its caches, and falls over those of a virtual machine.
ONE_CORE = {
    "sys/devices/system/cpu/possible": "0\n",
    "sys/devices/system/cpu/present": "0\n",
    "proc/cpuinfo": "processor\t: 0\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\n"
    "CPU part\t: 0xd08\nCPU revision\t: 3\n",
}
# Opcodes of A64 as (mask, value): which of its bits are fixed, and what they are.
DOT = {
    "udot": ((0xBFE0FC00, 0x2E809400), (0xBFC0F400, 0x2F80E000)),
    "sdot": ((0xBFE0FC00, 0x0E809400), (0xBFC0F400, 0x0F80E000)),
}
MULTIPLIES = DOT | {
    # s8 × s8 to s16, eight at once; the sums of pairs are then added to s32 by SADALP.
    "smull, smlal": ((0xBFE0FC00, 0x0E20C000), (0xBFE0FC00, 0x0E208000)),
    "fmla": ((0xBFA0FC00, 0x0E20CC00), (0xBF80F400, 0x0F801000)),
}


def is_one(opcode: int, of: Sequence[tuple[int, int]]) -> bool:
    """Whether the opcode is one of these instructions."""
    return any(opcode & mask == value for mask, value in of)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a program printed, how it ended (negative: by that signal), and where the runtime's code was."""

    said: str
    code: int

    @property
    def runtime(self) -> str:
        """The version of ONNX Runtime."""
        return next(line.split()[1] for line in self.said.splitlines() if line.startswith("version "))

    def is_runtime(self, address: int) -> bool:
        """Whether code at this address belongs to ONNX Runtime."""
        maps = [line.split()[1].split("-") for line in self.said.splitlines() if line.startswith("map ")]
        return any(int(first, 16) <= address < int(last, 16) for first, last in maps)


def wheel() -> Path:
    """The runtime from PyPI for arm64 and Debian 13's Python, fetched once and kept beside the roots."""
    kept = CACHE / f"onnxruntime-{WHEEL}-cp313-cp313-manylinux_2_28_aarch64.whl"
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [
                sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                "--platform=manylinux_2_28_aarch64", "--python-version=313", f"--dest={CACHE}", f"onnxruntime=={WHEEL}",
            ],
            check=True,
        )  # fmt: skip
    return kept


def run(
    qemu: Sequence[str | Path],
    cpu: str,
    root: Path,
    folder: Path,
    program: Sequence[str | Path],
    own: Path | None = None,
) -> Ran:
    """Run Python in the root on the processor; it can import the checkout, and ``own``, a wheel, before Debian's.

    ``qemu`` is the emulator with options; ``folder`` is empty, and takes a directory that looks like the root.
    """
    prefix = folder / "prefix"
    for name, text in ONE_CORE.items():
        (prefix / name).parent.mkdir(parents=True, exist_ok=True)
        (prefix / name).write_text(text)
    for name in ("usr", "lib", "bin", "etc"):
        (prefix / name).symlink_to(root / name)
    paths = [REPOSITORY]
    if own is not None:
        with zipfile.ZipFile(own) as archive:
            archive.extractall(folder / "wheel")
        paths.insert(0, folder / "wheel")
    libraries = "/usr/lib/aarch64-linux-gnu"
    done = subprocess.run(
        [*qemu, "-L", prefix, "-cpu", cpu, root / "usr/bin/python3", *program],
        env={
            "PYTHONPATH": ":".join(map(str, paths)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LD_LIBRARY_PATH": f"{libraries}/blas:{libraries}/lapack",  # else found by links that are absolute
        },
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900, check=False,
    )  # fmt: skip
    return Ran(done.stdout, done.returncode)
