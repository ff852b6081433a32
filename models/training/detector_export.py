"""Turn a trained detector into what ships: int8 ONNX, its card, and the float weights.

    python detector_export.py --data DATA            # writes ../detector.onnx, ../detector.json, weights/

The first convolution (one channel: nothing to gain) and the heads (they need the precision) stay in float.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import detector_measure
import numpy as np
import onnxruntime
import torch
from detector_measure import Infer
from detector_model import PAD, STRIDE, Detector, Exported, FloatArray, decode, macs
from export import export_onnx, quantize, write_card
from run import read_weights, training_facts, write_weights
from scenes import HEIGHT, WIDTH
from splits import TRAIN_SETS, Gray, Photo, held_back_photos, load, training_photos

OUTPUTS = ("heads",)
CALIBRATION_PHOTOS = 240
PASTED_VIEWS = 300


def calibration(photos: list[Photo], count: int = CALIBRATION_PHOTOS) -> Iterator[Gray]:
    """Training photos as the network sees them, evenly over all sets, every third one enlarged."""
    for index, photo in enumerate(photos[:: max(1, len(photos) // count)]):
        picture = detector_measure.fit(photo.gray)[0]
        if index % 3 == 0 and len(photo.boxes):
            x1, y1, x2, y2 = photo.boxes[0].astype(int)
            margin = x2 - x1
            part = photo.gray[max(0, y1 - margin) : y2 + margin, max(0, x1 - margin) : x2 + margin]
            picture = detector_measure.fit(np.ascontiguousarray(part))[0]
        yield picture[None, None]


def session(path: Path) -> onnxruntime.InferenceSession:
    """Open a model on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def onnx_infer(path: Path) -> Infer:
    """Wrap an ONNX file as the measuring functions want it."""
    model = session(path)

    def infer(picture: Gray) -> tuple[FloatArray, FloatArray, FloatArray]:
        (heads,) = model.run(list(OUTPUTS), {"image": picture[None, None]})
        return 1 / (1 + np.exp(-heads[0, :1])), heads[0, 1:5], heads[0, 5:]

    return infer


def milliseconds(path: Path, height: int, width: int, runs: int = 60) -> float:
    """Median time of one inference on one thread."""
    model = session(path)
    picture = np.random.default_rng(0).integers(0, 256, (1, 1, height, width), dtype=np.uint8)
    times: list[float] = []
    for _ in range(runs):
        start = time.perf_counter()
        model.run(list(OUTPUTS), {"image": picture})
        times.append(1000 * (time.perf_counter() - start))
    return round(statistics.median(times[5:]), 2)


def agreement(one: Infer, other: Infer, photos: list[Photo], threshold: float = 0.4) -> dict[str, float]:
    """Compare two models: how many plates of the first the second finds too, and how far corners move."""
    found, plates = 0, 0
    moved: list[float] = []
    for photo in photos:
        picture = detector_measure.fit(photo.gray)[0]
        a, b = decode(*one(picture), threshold=threshold), decode(*other(picture), threshold=threshold / 2)
        plates += len(a.boxes)
        overlap = detector_measure.iou(a.boxes, b.boxes)
        for index in range(len(a.boxes)):
            if overlap.shape[1] and overlap[index].max() > 0.6:
                found += 1
                way = np.linalg.norm(a.quads[index] - b.quads[overlap[index].argmax()], axis=1).mean()
                moved.append(float(way))
    return {"plates": plates, "found": found, "corner_px": round(float(np.mean(moved)), 3) if moved else 0.0}


def main() -> None:
    """Export, quantize, measure, write the card."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--checkpoint", type=Path, help="a run's checkpoint; without it the weights that ship are taken"
    )
    parser.add_argument("--out", type=Path, default=here.parent, help="folder for detector.onnx and detector.json")
    parser.add_argument("--also", nargs="*", default=[], help="sets that are measured and never trained on")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    weights = args.out / "training" / "weights" / "detector.safetensors"
    state, facts = read_weights(args.checkpoint or weights)
    net = Detector()
    net.load_state_dict(state)
    facts = training_facts(facts)
    write_weights(net, weights, facts)
    net.load_state_dict(read_weights(weights)[0])  # measured and shipped is what the file holds
    net.eval()
    training, held = training_photos(args.data), held_back_photos(args.data)
    scenery = [photo for name in TRAIN_SETS[::2] for photo in held[name]]
    held |= {"pasted": detector_measure.pasted(scenery, PASTED_VIEWS)}
    held |= {name: [photo for photo, _ in load(args.data, name)] for name in args.also}
    float_path, int8_path = here / "runs" / "detector-float.onnx", args.out / "detector.onnx"
    float_path.parent.mkdir(exist_ok=True)
    example = torch.zeros(1, 1, HEIGHT, WIDTH, dtype=torch.uint8)
    axes = {name: {2: f"{name}_h", 3: f"{name}_w"} for name in ("image", *OUTPUTS)}
    export_onnx(Exported(net).eval(), example, float_path, ["image"], list(OUTPUTS), axes)
    quantize(float_path, int8_path, calibration(training), exclude_nodes=lambda names: [names[0], names[-1]])
    one, other = onnx_infer(float_path), onnx_infer(int8_path)
    measured: dict[str, object] = {
        "ms_one_thread_x86": {
            f"{w}x{h}": {"int8": milliseconds(int8_path, h, w), "float": milliseconds(float_path, h, w)}
            for h, w in ((HEIGHT, WIDTH), (256, 448))
        },
        "int8_against_float": {name: agreement(one, other, part) for name, part in held.items()},
        "held_back": {name: detector_measure.measure(other, part) for name, part in held.items()},
        "held_back_448x256": {name: detector_measure.measure(other, part, 256, 448) for name, part in held.items()},
        "held_back_float_ap50": {name: detector_measure.measure(one, part)["ap50"] for name, part in held.items()},
    }
    write_card(
        args.out / "detector.json",
        name="detector",
        kind="detector",
        decoder="quad13-s8",
        input={
            "name": "image",
            "dtype": "uint8",
            "layout": "NCHW",
            "height": HEIGHT,
            "width": WIDTH,
            "pad": PAD,
        },
        outputs=list(OUTPUTS),
        stride=STRIDE,
        licence="MIT",
        parameters=sum(p.numel() for p in net.parameters()),
        macs=macs(HEIGHT, WIDTH),
        training=facts
        | {
            "photos": len(training),
            "data": [
                "openimages_plates (CC BY 4.0)",
                "ro_dashcam (MIT)",
                "pl_photos (public domain)",
                "rendered plates",
            ],
        },
        measured=measured,
    )
    print(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
