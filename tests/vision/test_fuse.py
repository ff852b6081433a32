import numpy as np
import pytest

from edge_anpr.datatypes import Box, PlateReading
from edge_anpr.plates.text import ALPHABET, reveal
from edge_anpr.vision.fuse import DECIDED, MOST_READINGS, Passage, align, forget_read


def reading(text: str, sure: float = 0.95, clarity: float = 1.0) -> PlateReading:
    posteriors = np.full((len(text), 36), (1 - sure) / 35, np.float32)
    for position, character in enumerate(text):
        posteriors[position, ALPHABET.index(character)] = sure
    return PlateReading(posteriors, 1, clarity)


def fused(*readings: PlateReading) -> tuple[str, int, int]:
    passage = Passage()
    for item in readings:
        passage.add(item)
    read = passage.fuse()
    assert read is not None
    return reveal(read.classes), read.frames, read.agree


def test_most_frames_win_and_those_that_say_the_same_are_counted() -> None:
    assert fused(reading("DB01DB"), reading("DB01D8", 0.5), reading("DB01DB")) == ("DB01DB", 3, 2)


def test_a_cut_reading_does_not_change_the_length() -> None:
    assert fused(reading("DB01DB"), reading("B01DB"), reading("DB01DB")) == ("DB01DB", 3, 2)


def test_a_sharp_near_frame_outweighs_far_ones() -> None:
    far = [reading("DB01D8", 0.6, 0.2) for _ in range(3)]
    assert fused(*far, reading("DB01DB", 0.97, 1.0))[0] == "DB01DB"


def test_a_character_that_the_edge_cost_most_frames_is_resolved_by_those_that_saw_it() -> None:
    cut = [reading("B01DB", 0.9) for _ in range(3)]
    assert fused(*cut, reading("DB01DB", 0.97), reading("DB01DB", 0.97))[0] == "DB01DB"


def test_a_doubtful_mark_at_the_edge_is_no_character() -> None:
    doubtful = reading("1DB01DB", 0.95)
    doubtful.posteriors[0] = reading("1", 0.4).posteriors[0]
    assert fused(doubtful, doubtful, doubtful, reading("DB01DB"), reading("DB01DB"))[0] == "DB01DB"


def test_a_reading_with_a_character_less_speaks_for_the_others() -> None:
    torn = []
    for _ in range(2):
        torn += [reading("DB01D8"), reading("B01DB", 0.99)]
        torn[-2].posteriors[-1] = reading("8", 0.5).posteriors[0]
    assert fused(*torn)[0] == "DB01DB"


def test_alignment_leaves_out_what_is_too_much_and_opens_where_one_is_missing() -> None:
    to = reading("DB01DB").posteriors
    longer, shorter = align(reading("DB0X1DB").posteriors, to), align(reading("DB1DB").posteriors, to)
    assert longer is not None
    assert reveal(longer.argmax(axis=1).astype(np.uint8)) == "DB01DB"
    assert shorter is not None
    assert not shorter[2].any()
    assert reveal(shorter.argmax(axis=1).astype(np.uint8)[[0, 1, 3, 4, 5]]) == "DB1DB"
    assert align(reading("KGXTRZP").posteriors, to) is None


def test_o_and_0_are_no_disagreement() -> None:
    assert fused(reading("2DBF01"), reading("2DBFO1"))[2] == 2


def test_a_frame_that_said_it_before_layouts_had_a_say_agrees() -> None:
    doubtful = [reading("DB37D8", 0.99) for _ in range(2)]
    for each in doubtful:  # the picture says 8 or B, the Netherlands say B
        each.posteriors[-1, [ALPHABET.index("8"), ALPHABET.index("B")]] = 0.5, 0.45
    assert fused(*doubtful) == ("DB37DB", 2, 2)


def test_nothing_read_gives_nothing() -> None:
    passage = Passage()
    assert passage.fuse() is None
    passage.add(PlateReading(np.zeros((0, 36), np.float32), 1, 1.0))
    assert passage.fuse() is None


def test_a_parked_car_does_not_fill_the_memory_and_its_best_frames_stay() -> None:
    passage = Passage()
    passage.add(reading("DB01DB", 0.99))
    for _ in range(3 * MOST_READINGS):
        passage.add(reading("DB01D8", 0.3))
    (choir,) = passage._choirs.values()
    assert len(choir.voices) == MOST_READINGS
    assert any(voice.posteriors.max() > 0.98 for voice in choir.voices)
    assert choir.weight == pytest.approx(sum(voice.weight for voice in choir.voices))


def test_forgetting_overwrites_the_very_buffers() -> None:
    passage, item = Passage(), reading("DB01DB")
    passage.add(item)
    read = passage.fuse()
    assert read is not None
    total, told = passage._choirs[6].total, passage._told
    assert told.any()
    passage.surroundings.look(np.full((40, 120), 90, np.uint8), Box(20, 10, 60, 14))
    around = passage.surroundings._before
    passage.forget()
    assert around is not None
    assert not around.any()
    assert not item.posteriors.any()
    assert not total.any()
    assert not told.any()
    forget_read(read)
    assert not read.classes.any()
    assert not read.posteriors.any()
    assert not read.char_confidence.any()


@pytest.mark.parametrize("value", [reading("DB01DB")])
def test_repr_tells_no_plate(value: PlateReading) -> None:
    passage = Passage()
    passage.add(value)
    for thing in (value, passage.fuse(), next(iter(passage._choirs.values())), passage):
        assert "posteriors" not in repr(thing)
        assert "classes" not in repr(thing)
        assert "0.95" not in repr(thing).replace("confidence=0.95", "")


def test_a_passage_is_decided_when_enough_surely_say_the_same() -> None:
    passage = Passage()
    for count in range(DECIDED):
        assert not passage.decided, count
        passage.add(reading("DB01DB", 0.97))
    assert passage.decided
    passage.add(reading("DB01D8", 0.97))
    assert not passage.decided
    doubtful, otherwise = Passage(), Passage()
    for _ in range(2 * DECIDED):
        doubtful.add(reading("DB01DB", 0.8))
        otherwise.add(reading("DB01DB", 0.97))
    otherwise.add(reading("DB01D", 0.97))
    assert (doubtful.decided, otherwise.decided) == (False, False)
