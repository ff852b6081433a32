import cv2
import numpy as np
import pytest

from edge_anpr.datatypes import Box, Frame, PlateDetection, PlateRead, PlateReading, Track
from edge_anpr.plates.text import encode, reveal
from edge_anpr.unit.pipeline import Material, Pipeline, is_plate
from edge_anpr.vision.rectify import FILLED_MARGINS, MARGINS
from edge_anpr.vision.views import View, whole


def passage(
    text: str,
    score: float = 0.9,
    sure: float = 0.97,
    *,
    least: float | None = None,
    seen: float | None = None,
    frames: int = 10,
    agree: int = 8,
) -> tuple[PlateRead, Track]:
    """A fused read whose characters are all ``sure``, but for one that is ``least``, by the picture alone ``seen``."""
    confidence = np.full(len(text), sure, np.float32)
    if least is not None:
        confidence[0] = least
    posteriors = np.zeros((len(text), 36), np.float32)
    posteriors[np.arange(len(text)), encode(text)] = confidence
    if seen is not None:
        posteriors[0] *= seen / confidence[0]
    read = PlateRead(encode(text), posteriors, confidence, frames, agree)
    detection = PlateDetection(Box(0, 0, 100, 20), np.zeros((4, 2), np.float32), score)
    return read, Track(1, 0, frames, frames, frames, detection, score)


@pytest.mark.parametrize(
    ("text", "score", "expected"),
    [
        ("DB37DB", 0.5, True),  # a Dutch sidecode needs little more than a look
        ("DB37DB", 0.4, False),
        ("K4X4J4", 0.5, False),  # letters and digits in no country's order: a personal plate, or lettering
        ("K4X4J4", 0.7, True),
        ("TAXIBUS", 0.85, False),  # a word, and a telephone number
        ("0201234567", 0.85, False),
        ("TAXIBUS", 0.9, True),
        ("TAXI01", 0.68, False),  # a word with an O and an I in it, or a German plate
        ("DB01DB", 0.65, False),  # no digit but 0 and 1, which may be letters
        ("DB01DB", 0.75, True),
        ("DB3D", 0.55, False),  # short texts fit some layout by chance
        ("DB3D", 0.7, True),
        ("DB3DB3DB3DB3", 0.9, True),
        ("DB3DB3DB3DB3D", 1.0, False),  # longer than any that a list may name: two lines of a panel
    ],
)
def test_what_is_not_written_like_a_plate_must_be_surer(text: str, score: float, expected: bool) -> None:
    assert is_plate(*passage(text, score)) is expected


def test_one_guessed_character_is_enough_to_doubt_the_plate() -> None:
    assert is_plate(*passage("DB37DB", least=0.35))
    assert not is_plate(*passage("DB37DB", least=0.25))


def test_a_word_with_a_doubtful_digit_stays_a_word() -> None:
    """As makers' names on boots are read, with a 5 for the S."""
    for sure, expected in ((0.85, False), (0.95, True)):
        read, track = passage("5ILVER", score=0.8, sure=1.0, least=sure)
        assert is_plate(read, track) is expected
    # Nor are letters that are doubtful more than a number.
    assert not is_plate(*passage("B12345", score=0.8, sure=1.0, least=0.85))


def test_of_a_still_picture_nothing_is_said_that_is_likelier_wrong() -> None:
    assert is_plate(*passage("DB37DB", sure=1.0, least=0.52), still=True)
    assert not is_plate(*passage("DB37DB", sure=1.0, least=0.48), still=True)
    assert is_plate(*passage("DB37DB", sure=1.0, least=0.38))


def test_what_layouts_make_likelier_is_no_evidence_of_a_plate() -> None:
    assert is_plate(*passage("DB37DB", score=0.5, sure=1.0, least=0.6, seen=0.6))
    assert not is_plate(*passage("DB37DB", score=0.5, sure=1.0, seen=0.4))
    assert not is_plate(*passage("5ILVER", score=0.8, sure=1.0, seen=0.85))


def test_a_lamp_that_says_something_else_in_each_frame_is_no_plate() -> None:
    assert is_plate(*passage("DB37DB", frames=20, agree=4))
    assert not is_plate(*passage("DB37DB", frames=40, agree=4))
    assert not is_plate(*passage("DB37DB", frames=2, agree=1))
    assert is_plate(*passage("DB37DB", frames=1, agree=1), still=True)


def test_a_parked_car_stays_a_plate_however_long_it_is_seen() -> None:
    assert is_plate(*passage("DB37DB", frames=100_000, agree=40))


def test_two_or_three_characters_are_no_plate() -> None:
    assert not is_plate(*passage("DB3", score=1.0, sure=1.0))


class Scripted:
    """Stands for detector and reader: a plate at one place that says what it is told, one text a frame."""

    def __init__(self, *texts: str, cut: frozenset[int] = frozenset()) -> None:
        self._texts, self._cut, self._frame, self.forgotten = texts, cut, -1, 0
        self.looked_at: list[int] = []
        self.margins: list[float] = []
        self.quads: list[np.ndarray] = []
        self.widths: dict[int, float] = {}

    def forget(self) -> None:
        self.forgotten += 1

    def whole_view(self, width: int, height: int) -> View:
        return whole(width, height, 640, 384)

    def find(self, lores: np.ndarray, luma: np.ndarray, far: list[View]) -> list[PlateDetection]:
        self._frame += 1
        self.looked_at.append(len(far))
        width = self.widths.get(self._frame, 100.0)
        quad = np.array([[20, 20], [20 + width, 20], [20 + width, 42], [20, 42]], np.float32)
        return [PlateDetection(Box(20, 20, width, 22), quad, 0.9, self._frame in self._cut)]

    def read(self, luma: np.ndarray, detections: list[PlateDetection], margin: float) -> list[PlateReading]:
        self.margins.append(margin)
        self.quads.append(detections[0].quad)
        text = self._texts[self._frame]
        posteriors = np.full((len(text), 36), 0.001, np.float32)
        posteriors[np.arange(len(text)), encode(text)] = 0.96
        return [PlateReading(posteriors, 1, 1.0)]


def drive(*texts: str, cut: frozenset[int] = frozenset()) -> list[str]:
    """What the passages say in the end, in the order in which they end."""
    scripted = Scripted(*texts, cut=cut)
    pipeline = Pipeline(scripted, scripted)  # type: ignore[arg-type]
    plane = np.zeros((60, 160), np.uint8)
    ended: list[Track] = []
    for index in range(len(texts)):
        ended += pipeline.see(Frame(index, index * 80_000_000, plane, plane)).ended
    ended += pipeline.tracker.finish()
    said = []
    for track in ended:
        read = pipeline.fuse(track)
        said.append(reveal(read.classes) if read else "")
        pipeline.forget(track)
    assert not pipeline.passages
    return said


def test_another_vehicle_at_the_same_place_is_another_passage() -> None:
    assert drive("DB01DB", "DB01DB", "DB01DB", "KX734Q", "KX734Q", "KX734Q") == ["DB01DB", "KX734Q"]


def test_one_smear_does_not_end_a_passage() -> None:
    assert drive("DB01DB", "DB01DB", "KX734Q", "DB01DB", "KX734Q", "DB01DB") == ["DB01DB"]


def test_a_letter_read_otherwise_or_lost_is_the_same_vehicle() -> None:
    assert drive("DB01DB", "DB01DB", "DB01D8", "DB01D8", "B01DB", "B01DB") == ["DB01DB"]


def test_half_a_plate_at_the_border_has_no_voice() -> None:
    assert drive("DB01DB", "DB01DB", "DB01", "DB01", "DB01", cut=frozenset({2, 3, 4})) == ["DB01DB"]
    assert drive("DB01", "DB01", cut=frozenset({0, 1})) == [""]


def test_readings_of_cut_plates_are_overwritten_with_the_next_frame_and_when_the_road_is_empty() -> None:
    scripted = Scripted("DB01", "DB01", cut=frozenset({0, 1}))
    pipeline = Pipeline(scripted, scripted, Material.RECORDED)  # type: ignore[arg-type]
    plane = np.zeros((60, 160), np.uint8)
    first, second = (pipeline.see(Frame(index, index, plane, plane)).sightings[0].reading for index in range(2))
    assert first is not None
    assert second is not None
    assert not first.posteriors.any()
    assert second.posteriors.any()
    pipeline.clean()
    assert not second.posteriors.any()
    assert scripted.forgotten == 2


def test_a_live_unit_does_not_read_half_a_plate() -> None:
    scripted = Scripted(*["DB37DB"] * 4, cut=frozenset({0, 3}))
    assert reads(Pipeline(scripted, scripted), scripted, 4) == [1, 2]  # type: ignore[arg-type]
    recorded = Scripted(*["DB37DB"] * 4, cut=frozenset({0, 3}))
    pipeline = Pipeline(recorded, recorded, Material.RECORDED)  # type: ignore[arg-type]
    assert reads(pipeline, recorded, 4) == [0, 1, 2, 3]


def reads(pipeline: Pipeline, scripted: Scripted, count: int, every_ms: int = 80) -> list[int]:
    """In which of so many frames the plate was read."""
    plane, found = np.zeros((60, 160), np.uint8), []
    for index in range(count):
        before = len(scripted.margins)
        (sighting,) = pipeline.see(Frame(index, index * every_ms * 1_000_000, plane, plane)).sightings
        assert (sighting.reading is not None) == (len(scripted.margins) > before)
        found += [index] * (sighting.reading is not None)
    return found


def test_a_live_passage_that_is_decided_is_read_again_now_and_then_only() -> None:
    scripted = Scripted(*["DB37DB"] * 20)
    assert reads(Pipeline(scripted, scripted), scripted, 20) == [0, 1, 2, 3, 4, 14]  # type: ignore[arg-type]
    recorded = Scripted(*["DB37DB"] * 20)
    pipeline = Pipeline(recorded, recorded, Material.RECORDED)  # type: ignore[arg-type]
    assert reads(pipeline, recorded, 20) == list(range(20))


def test_another_vehicle_in_its_place_is_read_at_once_when_the_first_reading_says_so() -> None:
    scripted = Scripted(*["DB37DB"] * 204, *["KX734Q"] * 6)  # so many that one more reading leaves it decided
    pipeline = Pipeline(scripted, scripted)  # type: ignore[arg-type]
    assert reads(pipeline, scripted, 210)[-7:] == [194, *range(204, 210)]
    assert [track.number for track in pipeline.tracker.under_way] == [2]


def test_at_two_looks_a_second_every_other_one_reads_it_again() -> None:
    scripted = Scripted(*["DB37DB"] * 10)
    pipeline = Pipeline(scripted, scripted)  # type: ignore[arg-type]
    assert reads(pipeline, scripted, 10, every_ms=500) == [0, 1, 2, 3, 4, 6, 8]


def test_and_at_once_when_it_comes_nearer() -> None:
    scripted = Scripted(*["DB37DB"] * 8)
    scripted.widths = {6: 130.0, 7: 130.0}
    assert reads(Pipeline(scripted, scripted), scripted, 8) == [0, 1, 2, 3, 4, 6]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("material", "looks", "cuts"),
    [(Material.LIVE, [1, 1, 1], 3), (Material.RECORDED, [4, 4, 4], 3), (Material.STILL, [24, 24, 24], 9)],
)
def test_a_live_unit_looks_at_one_part_a_frame_and_a_still_is_seen_to_its_pixels(
    material: Material, looks: list[int], cuts: int
) -> None:
    scripted = Scripted("DB37DB", "DB37DB", "DB37DB")
    pipeline = Pipeline(scripted, scripted, material)  # type: ignore[arg-type]
    plane = np.zeros((1080, 1920), np.uint8)
    for index in range(3):
        pipeline.see(Frame(index, index * 80_000_000, plane, plane))
    assert scripted.looked_at == looks
    assert len(scripted.margins) == cuts
    assert set(scripted.margins) == set(MARGINS)


@pytest.mark.parametrize(("material", "fills"), [(Material.STILL, True), (Material.LIVE, False)])
def test_a_still_that_a_plate_fills_is_read_to_its_own_corners_too(material: Material, fills: bool) -> None:
    scripted = Scripted("DB37DB", cut=frozenset({0}))
    pipeline = Pipeline(scripted, scripted, material)  # type: ignore[arg-type]
    pipeline.see(Frame(0, 0, *[np.zeros((31, 140), np.uint8)] * 2))
    (track,) = pipeline.tracker.finish()
    assert (pipeline.fuse(track) is not None) == fills  # half a plate would have no voice
    assert track.best_score == pytest.approx(0.9**0.4 if fills else 0.9)
    if fills:
        assert scripted.margins == [*MARGINS, *FILLED_MARGINS]
        assert scripted.quads[0].tolist() == [[20, 20], [120, 20], [120, 42], [20, 42]]
        assert scripted.quads[-1].tolist() == [[0, 0], [140, 0], [140, 31], [0, 31]]


def test_a_still_that_is_more_than_a_plate_is_not() -> None:
    for shape in ((31, 160), (40, 140)):
        scripted = Scripted("DB37DB")
        Pipeline(scripted, scripted, Material.STILL).see(  # type: ignore[arg-type]
            Frame(0, 0, *[np.zeros(shape, np.uint8)] * 2)
        )
        assert set(scripted.margins) == set(MARGINS)


def test_what_may_be_a_plate_as_large_as_a_still_does_not_hide_a_surer_one() -> None:
    class Two(Scripted):
        def find(self, lores: np.ndarray, luma: np.ndarray, far: list[View]) -> list[PlateDetection]:
            quad = np.array([[5, 5], [135, 5], [135, 75], [5, 75]], np.float32)
            return [PlateDetection(Box(5, 5, 130, 70), quad, 0.35, False), *super().find(lores, luma, far)]

        def read(self, luma: np.ndarray, detections: list[PlateDetection], margin: float) -> list[PlateReading]:
            return super().read(luma, detections, margin) * len(detections)

    scripted = Two("DB37DB")
    pipeline = Pipeline(scripted, scripted, Material.STILL)  # type: ignore[arg-type]
    pipeline.see(Frame(0, 0, *[np.zeros((80, 140), np.uint8)] * 2))
    assert sorted(track.best_score for track in pipeline.tracker.finish()) == [0.35, 0.9]


@pytest.mark.parametrize("moves", [True, False])
def test_what_stands_still_over_a_moving_picture_is_no_plate(moves: bool) -> None:
    scripted = Scripted(*["DB37DB"] * 12)
    pipeline = Pipeline(scripted, scripted, Material.RECORDED)  # type: ignore[arg-type]
    coarse = np.random.default_rng(1).integers(0, 200, (5, 33)).astype(np.uint8)
    ground = np.asarray(cv2.resize(coarse, (400, 60), interpolation=cv2.INTER_CUBIC), np.uint8)
    for index in range(12):
        plane = ground[:, 9 * index * moves :][:, :160].copy()
        plane[20:42, 20:120] = 220
        pipeline.see(Frame(index, index * 80_000_000, plane, plane))
    (track,) = pipeline.tracker.finish()
    read = pipeline.fuse(track)
    assert read is not None
    assert read.is_caption is moves
    assert is_plate(read, track) is not moves
