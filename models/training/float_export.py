"""Writes both networks in float, with their cards, for execution providers that take no int8 of ours.

python float_export.py FOLDER       # from the weights that ship; then models.detector and models.ocr of the config

XNNPACK, CUDA and TensorRT: see docs/providers.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from detector_export import OUTPUTS
from detector_model import Detector, Exported
from export import export_onnx
from ocr_model import DeployNet, OcrNet
from run import read_weights

MODELS = Path(__file__).resolve().parent.parent


def main() -> None:
    """Export both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    detector, ocr = Detector(), OcrNet()
    detector.load_state_dict(read_weights(MODELS / "training/weights/detector.safetensors")[0])
    ocr.load_state_dict(read_weights(MODELS / "training/weights/ocr.safetensors")[0])
    axes = {name: {2: f"{name}_h", 3: f"{name}_w"} for name in ("image", *OUTPUTS)}
    size = json.loads((MODELS / "detector.json").read_text())["input"]
    picture = torch.zeros(1, 1, size["height"], size["width"], dtype=torch.uint8)
    export_onnx(Exported(detector.eval()).eval(), picture, out / "detector.onnx", ["image"], list(OUTPUTS), axes)
    card = json.loads((MODELS / "ocr.json").read_text())
    rows = torch.from_numpy(np.zeros((2, 1, card["input"]["height"], card["input"]["width"]), np.uint8))
    deployed = DeployNet(ocr.eval(), card["measured"]["temperature"])
    export_onnx(deployed, rows, out / "ocr.onnx", ["plate"], ["logits"], {"plate": {0: "n"}, "logits": {0: "n"}})
    for name in ("detector", "ocr"):
        card = json.loads((MODELS / f"{name}.json").read_text())
        card["sha256"] = hashlib.sha256((out / f"{name}.onnx").read_bytes()).hexdigest()
        # What was measured was measured with int8.
        card["measured"] = {}
        (out / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    main()
