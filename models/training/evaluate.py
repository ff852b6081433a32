"""Measure the shipped models on labelled material; prints tables with 95 % intervals, writes them as JSON and pictures.

    python models/training/evaluate.py DATA [--only PART ...] [--out FOLDER] [--readme FILE] [--document FILE]

DATA holds the folders that exist of: nl_clips, eu_crops (measure only), ro_dashcam, openimages_plates, pl_photos
(their held-back parts). Parts: clips, crops, detection, rendered, negatives, calibration, hits (the probability of
matches, and the budget of false ones: rendered, needs nothing of DATA), and peer: eu_crops read with RapidOCR's
recogniser. Exact is letter by letter; folded takes O for 0 and I for 1, one drawing in many fonts.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import evaluate_corners
import evaluate_detector
import evaluate_far
import evaluate_hits
import evaluate_ocr
import evaluate_turned
from figures import Figures
from splits import TRAIN_SETS

from edge_anpr.tools.terminal import table
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.session import Network, shipped

PARTS = ("clips", "crops", "detection", "rendered", "negatives", "calibration", "hits", "peer")


def measure(data: Path, parts: tuple[str, ...], figures: Figures) -> None:
    """Fill the figures with what DATA allows."""
    reader = Reader(Network(shipped("ocr"), "ocr", "ctc"))
    network = Network(shipped("detector"), "detector", "quad13-s8")
    photos = all((data / name).is_dir() for name in TRAIN_SETS)
    if "clips" in parts and (folder := data / "nl_clips").is_dir():
        evaluate_detector.clips(folder, figures)
        evaluate_corners.corners(folder, network, figures)
    if "crops" in parts and (folder := data / "eu_crops").is_dir():
        evaluate_ocr.crops(folder, network, reader, figures)
    if "detection" in parts and photos:
        evaluate_detector.held_back(data, network, figures)
        evaluate_far.far(data, network, figures)
    if "rendered" in parts:
        evaluate_ocr.rendered(reader, figures)
        evaluate_detector.sweep(data if photos else None, figures)
        evaluate_turned.turned(data if photos else None, network, reader, figures)
    if "negatives" in parts and photos:
        evaluate_detector.negatives(data, figures)
    if "peer" in parts and (folder := data / "eu_crops").is_dir():
        evaluate_ocr.peer(folder, figures)
    if "hits" in parts:
        evaluate_hits.hits(reader, figures)
        evaluate_hits.budget(figures)
    if "calibration" in parts:
        evaluate_ocr.calibration(data / "eu_crops", reader, figures)


def cards(figures: Figures) -> None:
    """Float against int8, size and time, as the export measured them and the cards hold them."""
    for name in ("detector", "ocr"):
        card = json.loads(shipped(name).with_suffix(".json").read_text())
        measured = card["measured"]
        figures.numbers[f"{name}: kB, int8"] = round(shipped(name).stat().st_size / 1e3, 1)
        figures.numbers[f"{name}: M multiply-accumulates"] = round(card["macs"] / 1e6, 1)
        if name == "ocr":
            for kind in ("float", "int8"):
                figures.numbers[f"ocr: rendered rows folded, {kind}, %"] = round(
                    100 * measured[f"rendered_folded_{kind}"], 2
                )
                figures.numbers[f"ocr: ms a row, 1 thread, {kind}"] = measured[f"ms_x86_one_thread_{kind}"]
            continue
        for kind, milliseconds in measured["ms_one_thread_x86"]["640x384"].items():
            figures.numbers[f"detector: ms at 640x384, 1 thread, {kind}"] = milliseconds
        for part, exact in measured["held_back_float_ap50"].items():
            figures.numbers[f"detector at 640x384 alone, {part}: AP50 float"] = exact
            figures.numbers[f"detector at 640x384 alone, {part}: AP50 int8"] = measured["held_back"][part]["ap50"]


# What the README shows of all this; the document shows the rest.
HEADLINE = (
    "nl_clips: plate", "nl_clips: other", "nl_clips: total ms", "nl_clips: error", "detector: kB", "ocr: kB",
    "eu_crops: by `read`, one row, exact", "eu_crops: by `read`, one row, folded", "eu_crops: by `read`, two rows",
    "eu_crops: by `read`, one row, shrunk to 40", "eu_crops: OCR alone, one row", "eu_crops: OCR alone, two rows",
    "eu_crops: one row, shrunk to 40",
    "eu_crops: RapidOCR", "eu_crops: calibration", "rendered sweep", "plate-free", "peak RSS",
    "dayride", "nightride", "openimages", "pl_photos",
)  # fmt: skip


def publish(readme: Path, figures: Figures, only: tuple[str, ...] = ("",)) -> None:
    """Write the figures as Markdown between the marks ``<!-- figures -->`` and ``<!-- /figures -->`` of a file."""
    before, _, rest = readme.read_text().partition("<!-- figures -->")
    _, mark, after = rest.partition("<!-- /figures -->")
    if not mark:
        sys.exit(f"{readme}: has no marks <!-- figures --> and <!-- /figures -->")
    readme.write_text(f"{before}<!-- figures -->\n{figures.markdown(only)}\n{mark}{after}")


def main() -> None:
    """Measure what there is below DATA."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="measure these parts only")
    parser.add_argument("--out", type=Path, help="write figures.json and the pictures into this folder")
    parser.add_argument("--readme", type=Path, help="write the headline figures into this file, between two marks")
    parser.add_argument("--document", type=Path, help="write all figures into this file, between two marks")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        sys.exit(f"{arguments.data}: no such folder; give the one that holds nl_clips, eu_crops and the others")
    figures = Figures()
    if set(arguments.only) != {"hits"}:
        cards(figures)
    measure(arguments.data, tuple(arguments.only), figures)
    if not figures.counts:
        sys.exit(f"{arguments.data}: holds none of nl_clips, eu_crops, ro_dashcam, openimages_plates")
    rows = [
        (what, right, of, f"{right / max(of, 1):.1%}", f"{low:.1%} to {high:.1%}")
        for what, right, of, low, high in figures.shares()
    ]
    table("Right of all, with 95 % interval", ("what", "right", "of", "share", "interval"), rows)
    table("Other figures", ("what", "value"), list(figures.numbers.items()))
    if arguments.readme:
        publish(arguments.readme, figures, HEADLINE)
    if arguments.document:
        publish(arguments.document, figures)
    if arguments.out:
        from draw import draw_failures, draw_figures  # noqa: PLC0415 - needs matplotlib, which a run without --out does without

        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "figures.json").write_text(json.dumps(figures.as_json(), indent=1) + "\n")
        draw_figures(figures, arguments.out)
        if figures.failures:
            draw_failures(figures, arguments.out / "failures.png")


if __name__ == "__main__":
    main()
