"""The golden plates are read; and whatever computes otherwise, or stands otherwise in the file, is seen."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_anpr import demo
from edge_anpr.unit.pipeline import DETECTION_THRESHOLD, Misread, Pipeline
from edge_anpr.vision import golden
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.session import Network, Outputs, networks

Fault = Callable[[list[NDArray[np.float32]]], Outputs]


class Faulty:
    """A network whose arithmetic is wrong in some way."""

    def __init__(self, network: Network, fault: Fault) -> None:
        self._network, self._fault, self.card = network, fault, network.card

    def bind(self, array: NDArray[np.uint8]) -> SimpleNamespace:
        held = self._network.bind(array)
        return SimpleNamespace(run=lambda: self._fault([output.copy() for output in held.run()]))


def told(detector: object, ocr: object, known: golden.Golden | None = None) -> list[str]:
    return golden.complaints(
        known or golden.load(),
        Detector(detector, DETECTION_THRESHOLD),  # type: ignore[arg-type]
        Reader(ocr),  # type: ignore[arg-type]
    )


def test_the_shipped_networks_read_them_all() -> None:
    loaded = networks(None, None)
    assert told(loaded["detector"], loaded["ocr"]) == []


SCORE, QUAD = slice(0, 1), slice(5, 13)


def other(part: slice, change: Callable[[NDArray[np.float32]], NDArray[np.float32] | float]) -> Fault:
    """A fault in some of the detector's maps."""

    def fault(outputs: list[NDArray[np.float32]]) -> Outputs:
        outputs[0][:, part] = change(outputs[0][:, part])
        return outputs

    return fault


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (other(SCORE, lambda _: -20.0), "0 plates found of 2"),
        (other(SCORE, lambda _: np.nan), "0 plates found of 2"),
        (other(QUAD, lambda quad: np.roll(quad, 1, axis=2)), "corners are off by"),
        (other(QUAD, lambda quad: quad * 1.25), "corners are off by"),
        (other(QUAD, lambda _: np.nan), "corners are off by"),
    ],
)
def test_a_detector_that_computes_otherwise_is_seen(fault: Fault, says: str) -> None:
    loaded = networks(None, None)
    with np.errstate(invalid="ignore"):
        wrong = told(Faulty(loaded["detector"], fault), loaded["ocr"])
    assert any(says in words for words in wrong), wrong


@pytest.mark.parametrize(
    "fault",
    [
        lambda outputs: [outputs[0] * 0],
        lambda outputs: [np.roll(outputs[0], 1, axis=2)],  # each class for its neighbour
        lambda outputs: [outputs[0][:, ::-1]],
        lambda outputs: [np.where(np.arange(37) == 4, -9, outputs[0]).astype(np.float32)],  # one character is lost
    ],
)
def test_an_ocr_that_computes_otherwise_is_seen(fault: Fault) -> None:
    loaded = networks(None, None)
    wrong = told(loaded["detector"], Faulty(loaded["ocr"], fault))
    assert any("misread" in words for words in wrong), wrong


def test_what_is_wrong_is_told_without_a_text_and_the_unit_does_not_begin() -> None:
    loaded = networks(None, None)
    broken = Faulty(loaded["ocr"], lambda outputs: [outputs[0][:, ::-1]])
    pipeline = Pipeline(Detector(loaded["detector"], DETECTION_THRESHOLD), Reader(broken))  # type: ignore[arg-type]
    with pytest.raises(Misread, match=r"row 3 is misread.*run `edge-anpr self-test`") as caught:
        pipeline.prove()
    known = golden.load()
    texts = [text for _, _, several in known.pictures for text in several] + [text for _, text in known.rows]
    assert [text for text in texts if text in str(caught.value)] == []


def test_another_text_or_place_in_the_file_is_seen() -> None:
    loaded = networks(None, None)
    known = golden.load()
    picture, quads, texts = known.pictures[0]
    for altered in (
        golden.Golden([(picture, quads, ["0" + text[1:] for text in texts])], []),
        golden.Golden([(picture, quads + 8, texts)], []),
        golden.Golden([(np.zeros_like(picture), quads, texts)], []),
        golden.Golden([], [(row, text[:-1]) for row, text in known.rows]),
    ):
        assert told(loaded["detector"], loaded["ocr"], altered)


def test_no_plate_of_them_was_ever_issued_or_is_on_a_list_of_ours() -> None:
    known = golden.load()
    texts = [text for _, _, several in known.pictures for text in several] + [text for _, text in known.rows]
    # Dutch layouts with the letters that no Dutch series since 1978 has held.
    assert all(re.fullmatch(r"[ACEQU0-9]{6}", text) for text in texts)
    assert all(re.search(r"[ACEQU]", text) for text in texts)
    listed = (demo.FOLDER / "watchlist.json").read_text()
    assert [text for text in texts if text in listed] == []


def test_the_file_is_what_its_script_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = pytest.importorskip("golden")
    monkeypatch.setattr(drawing, "OUT", tmp_path / "golden.npz")
    assert drawing.main() == 0
    with np.load(tmp_path / "golden.npz") as drawn, np.load(golden.FILE) as shipped:
        assert sorted(drawn.files) == sorted(shipped.files)
        assert (drawn["row_texts"] == shipped["row_texts"]).all()
        for name in drawn.files:
            if name.startswith(("texts", "quads")):
                assert (drawn[name] == shipped[name]).all()
    assert golden.FILE.stat().st_size < 60_000
