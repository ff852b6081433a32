import hashlib
import itertools
import json
from importlib import resources

import numpy as np
import pytest
from confusion import measure
from evaluate_hits import outcomes, told
from figures import Figures
from passages import Seen, passages

from edge_anpr.datatypes import PlateRead
from edge_anpr.plates.layouts import LAYOUTS
from edge_anpr.plates.text import ALPHABET, encode, reveal
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.session import Network, shipped
from edge_anpr.watch.confusion import parse
from edge_anpr.watch.probability import DRIVES

DUTCH = next(layout for layout in LAYOUTS if layout.name == "sidecode 9")


def seen(text: str, said: str | None = None, sure: float = 0.97, **other: float) -> Seen:
    """A passage of ``text`` read as ``said``; B1=.2 gives that mass to B at place 1."""
    classes = encode(said or text)
    posteriors = np.full((len(classes), 36), 1e-4, np.float32)
    posteriors[np.arange(len(classes)), classes] = sure
    for name, mass in other.items():
        posteriors[int(name[-1]), ALPHABET.index(name.strip("_")[0])] = mass
    return Seen(text, DUTCH, PlateRead(classes, posteriors, posteriors.max(axis=1), 5, 5))


def test_rendered_passages_are_read_by_the_units_own_code_and_come_again_with_their_seed() -> None:
    reader = Reader(Network(shipped("ocr"), "ocr", "ctc"))
    first, again = (list(itertools.islice(passages(4, reader, "drawn"), 12)) for _ in range(2))
    assert [one.text for one in first] == [one.text for one in again]
    read = [one for one in first if one.read]
    assert len(read) >= 6
    right = [one for one in read if one.read and reveal(one.read.classes) == one.text]
    assert len(right) >= 0.7 * len(read)
    assert all(one.read.frames >= 3 and one.read.agree >= 2 for one in read if one.read)


def test_the_table_counts_what_was_misread_and_what_the_picture_spoke_for() -> None:
    clear = [seen("DB234D") for _ in range(80)]
    doubtful = [seen("DB234D", _81=0.3) for _ in range(10)]
    wrong = [seen("DB234D", "D8234D", 0.6) for _ in range(10)]
    table = parse(measure([*clear, *doubtful, *wrong, seen("DB234D", "D234D"), Seen("DB234D", DUTCH, None)]))
    b, eight, d = (ALPHABET.index(character) for character in "B8D")
    assert table.read[b].sum() == pytest.approx(0.1, rel=0.2)
    assert table.read[b, eight] == table.read.max()
    assert table.evident[:, b, eight] == pytest.approx([0.1, 0.1, 0.1, 0.1, 0, 0, 0])  # 0.3 of 0.97: the fourth ratio
    assert not table.evident[:, d].any()
    assert table.slips == pytest.approx(1 / 101, abs=1e-4)
    shares = [share for share, _, _ in table.levels]
    assert shares == pytest.approx([0.1, 0, 0.9])
    assert table.levels[0][1] == pytest.approx(10)  # all misread characters stand in a tenth of the passages
    assert table.more == 1.0


def test_a_listed_plate_is_right_as_often_as_it_drives_and_wrong_as_often_as_its_layout_is_full() -> None:
    (right,) = outcomes([seen("DB234D")])
    assert (right.right, right.exact, right.weight) == (True, True, DRIVES)
    (wrong,) = outcomes([seen("DB234D", "DR234D")])
    assert (wrong.right, wrong.exact) == (False, True)
    assert 0.1 < wrong.weight < 0.5  # of the sidecodes of today a fourth exists
    exact, other = outcomes([seen("NN234D", M0=0.3)])
    assert (exact.right, other.right, other.exact) == (True, False, False)


def test_the_reliability_of_hits_is_drawn_and_its_error_told() -> None:
    figures = Figures()
    told([seen("DB234D") for _ in range(40)] + [seen("NN234D", M0=0.45) for _ in range(40)], figures)
    counts = {what: (right, of) for what, right, of in figures.counts}
    right, of = counts["hits, exact: the listed plate was there"]
    assert right == of > 5
    assert figures.numbers["hits, exact: calibration error of probability (ECE)"] < 0.1
    assert figures.curves["hits: share right by probability"]
    assert figures.numbers["look-alikes for 1000 right exact hits, told from probability 0: wrong"] > 0


def test_the_table_in_use_was_measured_with_the_ocr_that_ships() -> None:
    # Red after another model came: run models/training/confusion.py, four minutes.
    table = json.loads(resources.files("edge_anpr.watch").joinpath("confusion.json").read_text())
    assert table["ocr_sha256"] == hashlib.sha256(shipped("ocr").read_bytes()).hexdigest()
    assert table["passages"]["driven"] >= 10_000
