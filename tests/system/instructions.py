"""How many instructions a pass takes on a Raspberry Pi's processor, counted under emulation, where time means nothing.

    python -m tests.system.instructions --qemu qemu-aarch64      # writes docs/speed/instructions.json

Needs gcc, the extra ``train``, the arm64 root of ``make system-test`` and a dynamic qemu-user 4.2 to 8.2 that takes
plugins: Debian 12's package qemu-user is one (``apt-get download`` and ``dpkg-deb -x`` do). Each pass is also counted
with a twin whose activations are signed, number for number the same network.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from export import sha256_of
from onnx import numpy_helper

from edge_anpr.vision.session import shipped
from tests.system import emulated, root

OUT = emulated.REPOSITORY / "docs/speed/instructions.json"
SIZES = {"detector": ((384, 640), (384, 512), (256, 448), (192, 320)), "ocr": ((32, 128),)}
RUNS = (
    ("Cortex-A72", emulated.PI4, True),
    ("Cortex-A76", emulated.PI5, True),
    ("Cortex-A76", emulated.PI5, False),
)


def signed_twin(kind: str, folder: Path) -> None:
    """The shipped network with its activations shifted from 0..255 to -128..127, their zero points with them."""
    model = onnx.load(str(shipped(kind)))
    shifts = {name for node in model.graph.node if "quantize" in node.op_type.lower() for name in node.input[2:]}
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.UINT8 and tensor.name in shifts:
            moved = numpy_helper.to_array(tensor).astype(np.int16) - 128
            tensor.CopyFrom(numpy_helper.from_array(moved.astype(np.int8), tensor.name))
    onnx.save(model, str(folder / f"{kind}.onnx"))
    card = json.loads(shipped(kind).with_suffix(".json").read_bytes())
    card["sha256"] = sha256_of(folder / f"{kind}.onnx")
    (folder / f"{kind}.json").write_text(json.dumps(card))


def inputs() -> dict[str, Any]:
    """Noise, by names like ``detector 640x384``; what a pass takes does not depend on what it sees."""
    rng = np.random.default_rng(0)
    return {
        f"{kind} {width}x{height}": rng.integers(0, 256, (1, 1, height, width), np.uint8)
        for kind, sizes in SIZES.items()
        for height, width in sizes
    }


def told(path: Path) -> dict[str, int]:
    """What a pass executed: all, in blocks that multiply (and the rest of them), and the multiplications by kind."""
    blocks: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for line in path.read_text("ascii").splitlines():
        address, _, opcode, ran = line.split()
        blocks[address].append((int(opcode, 16), int(ran)))
    found: Counter[str] = Counter()
    for block in blocks.values():
        kinds: Counter[str] = Counter()
        for code, times in block:
            kinds.update({kind: times for kind, of in emulated.MULTIPLIES.items() if emulated.is_one(code, of)})
        found += kinds
        executed = sum(times for _, times in block)
        found["all"] += executed
        found["multiplying blocks"] += executed if kinds else 0
    return dict(found)


def count(qemu: Path, cpu: str, models: Path, own: Path | None, plugin: Path) -> tuple[str, dict[str, Any], Any]:
    """The runtime's version, what each input's pass executed, and the outputs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "given.npz", **inputs())
        ran = emulated.run(
            [qemu, "-plugin", f"{plugin},out={folder / 'ran'}"], cpu, root.arm64(), folder,
            [Path(__file__).with_name("passes.py"), folder / "given.npz", folder / "out.npz", models], own,
        )  # fmt: skip
        if ran.code:
            raise SystemExit(f"{cpu}: {ran.code}: {ran.said[-2000:]}")
        passes = {one: told(folder / f"ran.{number}") for number, one in enumerate(inputs())}
        with np.load(folder / "out.npz") as out:
            return ran.runtime, passes, dict(out)


def main() -> None:
    """Count, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qemu", type=Path, default=Path(shutil.which("qemu-aarch64") or "qemu-aarch64"))
    qemu: Path = parser.parse_args().qemu
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        plugin, twins = Path(name, "counted.so"), Path(name)
        source = Path(__file__).with_name("counted.c")
        subprocess.run(
            ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o", plugin, source], check=True
        )
        for kind in SIZES:
            signed_twin(kind, twins)
        for processor, cpu, is_wheel in RUNS:
            own = emulated.wheel() if is_wheel else None
            runtime, passes, outputs = count(qemu, cpu, shipped("ocr").parent, own, plugin)
            _, signed, twin_outputs = count(qemu, cpu, twins, own, plugin)
            same = all(np.array_equal(outputs[one], twin_outputs[one]) for one in outputs)
            found.append(
                {"processor": processor, "runtime": runtime, "u8s8": passes, "s8s8": signed, "same outputs": same}
            )
            print(processor, runtime, {one: f"{told['all'] / 1e6:.1f} M" for one, told in passes.items()}, same)  # noqa: T201
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
