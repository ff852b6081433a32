"""Which kernels ONNX Runtime takes on a Raspberry Pi's processor, seen in the instructions that QEMU translates."""

from __future__ import annotations

import re
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_anpr.vision import golden
from edge_anpr.vision.session import Network, shipped
from tests.system import emulated, root
from tests.system.container import Container

pytestmark = pytest.mark.system

_TRANSLATED = re.compile(r"^0x([0-9a-f]+):\s+([0-9a-f]{8})\s", re.MULTILINE)
# Debian's 1.21 rounds the weights of the last convolutions, and is off by up to 0.6 % on noise; the same version gives
# the same bits on x86 and arm64. What is read is compared by ``test_arm64.py``.
MOST_OF_RANGE = 0.02

Outputs = dict[str, NDArray[np.float32]]


def inputs() -> dict[str, Any]:
    """A golden picture and a golden row, as the networks take them."""
    known = golden.load()
    picture = known.pictures[0][0][:384, :512]
    return {
        "detector": np.ascontiguousarray(picture[None, None]),
        "ocr": np.ascontiguousarray(known.rows[0][0][None, None]),
    }


def passes(cpu: str, folder: Path, own: Path | None) -> tuple[emulated.Ran, Outputs, Counter[str]]:
    """How it ran, the outputs, and how many instructions of a kind were translated inside the runtime."""
    qemu = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    assert qemu, "qemu-user-static is not installed; `make system-test` does it"
    folder.mkdir()
    np.savez(folder / "given.npz", **inputs())
    log, out = folder / "translated", folder / "out.npz"
    ran = emulated.run(
        [qemu, "-d", "in_asm", "-D", str(log)],
        cpu,
        root.arm64(),
        folder,
        [Path(emulated.__file__).with_name("passes.py"), folder / "given.npz", out, shipped("ocr").parent],
        own,
    )
    kinds: Counter[str] = Counter()
    if ran.code == 0:
        for address, opcode in _TRANSLATED.findall(log.read_text(errors="replace")):
            if ran.is_runtime(int(address, 16)):
                kinds.update(kind for kind, of in emulated.MULTIPLIES.items() if emulated.is_one(int(opcode, 16), of))
    log.unlink(missing_ok=True)
    return ran, dict(np.load(out)) if out.exists() else {}, kinds


def same(there: Outputs) -> None:
    """Fail unless it is what this machine computes, but for rounding."""
    for kind, decoder in (("detector", "quad13-s8"), ("ocr", "ctc")):
        for index, here in enumerate(Network(shipped(kind), kind, decoder).run(inputs()[kind])):
            off = np.abs(there[f"{kind}/{index}"] - here).max()
            assert off <= MOST_OF_RANGE * np.ptp(here), (kind, index, off, np.ptp(here))


def test_a_raspberry_pi_5_computes_by_dot_products(tmp_path: Path, figures: dict[str, object]) -> None:
    ran, outputs, kinds = passes(emulated.PI5, tmp_path / "run", None)
    assert ran.code == 0, ran.said[-2000:]
    figures["pi5_translated"] = {"runtime": ran.runtime} | kinds
    assert kinds["udot"] > 0, kinds  # the matrix products
    assert kinds["sdot"] > 0, kinds  # convolutions of 64 channels and more, without im2col
    assert not kinds["smull, smlal"], kinds
    same(outputs)


def test_a_raspberry_pi_4_has_none_and_computes_the_same(tmp_path: Path, figures: dict[str, object]) -> None:
    ran, outputs, kinds = passes(emulated.PI4, tmp_path / "run", emulated.wheel())
    assert ran.code == 0, ran.said[-2000:]
    figures["pi4_translated"] = {"runtime": ran.runtime} | kinds
    assert not kinds["udot"], kinds
    assert not kinds["sdot"], kinds
    assert kinds["smull, smlal"] > 0, kinds
    same(outputs)


def test_debian_s_runtime_does_not_load_on_a_raspberry_pi_4(tmp_path: Path) -> None:
    # 1.21.0 has half-precision constants in code that runs when it is loaded; 1.21.1 has not.
    ran, _, _ = passes(emulated.PI4, tmp_path / "run", None)
    assert ran.code == -signal.SIGILL, (
        "Debian has repaired it: take the warnings out of README.md, docs/install.md and docs/speed/arm.md; "
        + ran.said[-2000:]
    )


def test_the_package_says_that_it_does_not_work_there(package: Path, tmp_path: Path) -> None:
    at = Container(root.arm64(), tmp_path / "run")
    try:
        inside = tmp_path / "run/upper/root"
        inside.mkdir()
        shutil.copy(package, inside)
        said = at.once("env", f"QEMU_CPU={emulated.PI4}", "dpkg", "--install", f"/root/{package.name}", timeout_s=900)
    finally:
        at.gone()
    assert "edge-anpr: THIS UNIT READS NO PLATES: Debian's ONNX Runtime" in said
    assert "THE SELF-TEST FAILED" not in said
