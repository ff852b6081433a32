"""Turn OCR weights into models/ocr.onnx (int8), its card, and the float weights kept in the repository.

python ocr_export.py runs/ocr/checkpoint.safetensors       # or weights/ocr.safetensors, to quantize anew
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import ocr_measure
import torch
from export import export_onnx, macs_of, quantize, write_card
from faces import font_faces
from ocr_io import ALPHABET, BLANK, CROP_H, CROP_W, MEAN, MIN_STD, TARGET_STD, standardise
from ocr_model import DeployNet, OcrNet
from ocr_train import BATCH, HELD_OUT_SEED
from safetensors import safe_open
from safetensors.torch import save_file

CALIBRATION_SEED, CALIBRATION = 990_003, 288


def load_weights(path: Path) -> tuple[OcrNet, dict[str, Any]]:
    """Load the averaged weights of a checkpoint, or a weights file; also its training facts."""
    with safe_open(path, "pt") as file:
        tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 – not a dict
        facts: dict[str, Any] = json.loads((file.metadata() or {}).get("facts", "{}"))
    state = {k.removeprefix("mean."): v for k, v in tensors.items() if not k.startswith(("net.", "adam."))}
    net = OcrNet()
    net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return net.eval(), facts


def training_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """Turn a checkpoint's counters into what the card says about training."""
    if "samples" in facts:
        return facts
    return {
        "data": "rendered plates only, no real picture",
        "samples": facts["step"] * BATCH,
        "minutes": round(facts["seconds"] / 60, 1),
        "threads": 1,
        "seed": facts.get("seed", 1),
        "held_out_seed": HELD_OUT_SEED,
        "fonts": {
            "files": len(font_faces()),
            "drawn": 120,
            "how": "models/training/fonts.sh, models/training/glyphs.py",
        },
    }


def export_ocr(weights: Path, models: Path) -> None:
    """Write ocr.onnx, ocr.json and training/weights/ocr.safetensors under `models`."""
    net, facts = load_weights(weights)
    facts = training_facts(facts)
    kept = models / "training/weights/ocr.safetensors"
    kept.parent.mkdir(parents=True, exist_ok=True)
    # half precision costs nothing measurable and keeps the file below a megabyte
    half = {k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    save_file({k: v.contiguous() for k, v in half.items()}, kept, {"facts": json.dumps(facts)})
    net, _ = load_weights(kept)

    crops, _ = ocr_measure.rendered(CALIBRATION, CALIBRATION_SEED)
    plates = standardise(crops)[:, None]
    int8 = models / "ocr.onnx"
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "ocr.onnx"
        example = torch.from_numpy(plates[:2])
        export_onnx(DeployNet(net), example, plain, ["plate"], ["logits"], {"plate": {0: "n"}, "logits": {0: "n"}})
        quantize(
            plain,
            int8,
            (plates[i : i + 32] for i in range(0, CALIBRATION, 32)),
            lambda convs: [convs[0], convs[-1]],
        )
        measured = measure(plain, int8)
    write_card(
        models / "ocr.json",
        name="ocr",
        kind="ocr",
        decoder="ctc",
        input={
            "name": "plate",
            "dtype": "uint8",
            "layout": "NCHW",
            "height": CROP_H,
            "width": CROP_W,
            "standardise": {"target_std": int(TARGET_STD), "min_std": int(MIN_STD), "mean": int(MEAN)},
        },
        outputs=["logits"],
        alphabet=ALPHABET,
        blank=BLANK,
        licence="MIT",
        parameters=sum(p.numel() for p in net.parameters()),
        macs=macs_of(net, torch.zeros(1, 1, CROP_H, CROP_W)),
        training=facts,
        measured=measured,
    )


def measure(plain: Path, int8: Path) -> dict[str, Any]:
    """Score both models on rendered crops that training has not seen."""
    crops, labels = ocr_measure.rendered(4096, ocr_measure.MEASURE_SEED)
    found: dict[str, Any] = {"rendered_crops": len(labels)}
    for name, path in (("float", plain), ("int8", int8)):
        model = ocr_measure.session(path)
        result = ocr_measure.score(ocr_measure.read(model, crops), labels)
        print(name, result)
        found[f"rendered_exact_{name}"] = round(result.exact / result.count, 4)
        found[f"rendered_folded_{name}"] = round(result.folded / result.count, 4)
        found[f"ms_x86_one_thread_{name}"] = round(ocr_measure.milliseconds(model), 3)
    return found


def main() -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="checkpoint.safetensors of a run, or weights/ocr.safetensors")
    parser.add_argument("--models", type=Path, default=Path(__file__).parents[1])
    args = parser.parse_args()
    torch.set_num_threads(1)
    np.seterr(all="raise", under="ignore")
    export_ocr(args.weights, args.models)


if __name__ == "__main__":
    main()
