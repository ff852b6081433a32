"""Turn OCR weights into models/ocr.onnx (int8), its card, and the float weights kept in the repository.

python ocr_export.py runs/ocr/checkpoint.safetensors       # or weights/ocr.safetensors, to quantize anew
python ocr_export.py runs/ocr/checkpoint.safetensors --blend 0.3    # with three tenths of what it started from

A run that starts from older weights learns what it is shown most and loses a little of the rest. Between the two lies
what does both; how much of each is found on rendered plates (near and far) that trained neither.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import ocr_measure
import torch
from export import export_onnx, macs_of, quantize, write_card
from faces import font_faces
from ocr_calibrate import temperature
from ocr_io import ALPHABET, BLANK, CROP_H, CROP_W, MEAN, MIN_STD, TARGET_STD, standardise
from ocr_model import DeployNet, OcrNet, scaled
from ocr_train import HELD_OUT_SEED
from run import read_weights, training_facts, write_weights

CALIBRATION_SEED, CALIBRATION = 990_003, 288
TEMPERATURE_SEED, CALIBRATED_ON = 990_007, 4096


def export_ocr(weights: Path, models: Path, blend: float = 0.0) -> None:
    """Write ocr.onnx, ocr.json and training/weights/ocr.safetensors under `models`.

    `blend`: the share of the weights that are kept there now.
    """
    kept = models / "training/weights/ocr.safetensors"
    state, facts = read_weights(weights)
    facts = training_facts(facts)
    if blend:
        before, _ = read_weights(kept)
        state = {name: torch.lerp(value.float(), before[name].float(), blend) for name, value in state.items()}
        facts["blended_with_its_start"] = blend
    net = OcrNet()
    net.load_state_dict(state)
    write_weights(net, kept, facts)
    net.load_state_dict(read_weights(kept)[0])  # measured and shipped is what the file holds
    net.eval()

    crops, _ = ocr_measure.rendered(CALIBRATION, CALIBRATION_SEED)
    plates = standardise(crops)[:, None]
    int8 = models / "ocr.onnx"
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "ocr.onnx"
        example = torch.from_numpy(plates[:2])
        found, texts = ocr_measure.rendered(CALIBRATED_ON, TEMPERATURE_SEED)
        with torch.inference_mode():
            parts = torch.split(torch.from_numpy(standardise(found))[:, None], 256)
            logits = torch.cat([net(scaled(part)) for part in parts]).numpy()
        by, errors = temperature(logits, [text for (text,) in texts])
        deployed = DeployNet(net, by)
        export_onnx(deployed, example, plain, ["plate"], ["logits"], {"plate": {0: "n"}, "logits": {0: "n"}})
        quantize(
            plain,
            int8,
            (plates[i : i + 32] for i in range(0, CALIBRATION, 32)),
            lambda convs: [convs[0], convs[-1]],
        )
        measured = measure(plain, int8) | {"temperature": by} | errors
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
        training=facts
        | {
            "data": "rendered plates, and one in eight a row of a real one, labelled by agreement (labeller.py)",
            "held_out_seed": HELD_OUT_SEED,
            "fonts": {"files": len(font_faces()), "drawn": 120, "how": "models/training/fonts.sh, glyphs.py"},
        },
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
    parser.add_argument("--blend", type=float, default=0.0, help="share of the weights kept so far, 0 to 1")
    parser.add_argument("--models", type=Path, default=Path(__file__).parents[1])
    args = parser.parse_args()
    torch.set_num_threads(1)
    np.seterr(all="raise", under="ignore")
    export_ocr(args.weights, args.models, args.blend)


if __name__ == "__main__":
    main()
