import base64
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest

from edge_anpr.datatypes import Box, Frame, PlateDetection, PlateRead, PlateReading, Track
from edge_anpr.plates.text import ALPHABET
from edge_anpr.privacy.tokens import PassCounter
from edge_anpr.unit import hit
from edge_anpr.unit.decide import Decider
from edge_anpr.unit.health import Counters
from edge_anpr.unit.hit import Origin
from edge_anpr.unit.lists import Armed
from edge_anpr.unit.outbox import OutboxFull
from edge_anpr.unit.pipeline import Pipeline, Seen, Sighting
from edge_anpr.vision.fuse import Passage
from edge_anpr.watch.breaker import Breaker
from edge_anpr.watch.matcher import Matcher
from edge_anpr.watch.tokens import Group, TokenTable
from edge_anpr.watch.watchlist import Header, Mandate

LATER = datetime(2099, 1, 1, tzinfo=UTC)
GROUP = Group("NL", "stolen", 1, 2**62)
LISTED, OTHER = "QA12CE", "KU99QX"
SCHEMA = json.loads((resources.files("edge_anpr.unit") / "hit.schema.json").read_text())


@dataclass
class Road:
    """Drives readings past a Decider without any picture; ``sent`` is what the outbox was given."""

    evidence: bool = True
    full: bool = False
    stills: bool = False
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pipeline = Pipeline(None, None)  # type: ignore[arg-type] # no networks: readings are given below
        self.counters, self.passes = Counters(), PassCounter(10**18)
        header = Header("l", 7, LATER, LATER, ("*",), Mandate("r", "T-1", "a", LATER))
        table = TokenTable.of([("DB01DB", GROUP), (LISTED, GROUP)])
        self.armed: Armed | None = Armed(header, Matcher(table), Breaker(10), "key", "0" * 64, 2**62, {})
        self.decider = Decider(
            self.pipeline, lambda: self.armed, self.passes, self.counters,
            origin=Origin("town/bridge/pole-07", "0" * 16, "cam-1", "in", "a", "b"),
            append=self.append, with_evidence=self.evidence, stills=self.stills, utc_of=lambda _: datetime.now(UTC),
        )  # fmt: skip

    def append(self, hit_id: str, phase: str, payload: bytes) -> None:
        if self.full:
            raise OutboxFull("the outbox is full")
        body = json.loads(payload)
        jsonschema.validate(body, SCHEMA)
        assert (body["hit_id"], body["phase"]) == (hit_id, phase)
        self.sent.append((phase, body))

    def drive(
        self, *texts: str, number: int = 1, score: float = 0.9, sure: float = 0.97, lasts: Sequence[float] = ()
    ) -> Track:
        """One vehicle, one text a frame (a text may be empty), each character ``sure``, each frame's last ``lasts``."""
        for index, text in enumerate(texts):
            width = 60.0 + 10 * index
            quad = np.array([[20, 20], [20 + width, 20], [20 + width, 40], [20, 40]], np.float32)
            detection = PlateDetection(Box(20, 20, width, 20), quad, 0.9)
            rows = posteriors(text, sure)
            if lasts:
                rows[-1] = posteriors(text[-1], lasts[index])
            reading = PlateReading(rows, 1, min(width / 120, 1.0))
            self.pipeline.passages.setdefault(number, Passage()).add(reading)
            track = Track(number, 0, index, index, index + 1, detection, score)
            picture = np.full((80, 200, 3), 40 + index, np.uint8)
            frame = Frame(index, index, picture[:, :, 0], picture[:, :, 0], picture)
            self.decider.take(frame, Seen([Sighting(track, detection, reading)], [], 1, 1, 2))
        self.decider.end(track, len(texts))
        return track

    @property
    def phases(self) -> list[str]:
        return [phase for phase, _ in self.sent]


def posteriors(text: str, sure: float = 0.97) -> np.ndarray:
    rows = np.full((len(text), 36), (1 - sure) / 35, np.float32)
    for position, character in enumerate(text):
        rows[position, ALPHABET.index(character)] = sure
    return rows


@pytest.fixture
def road(caplog: pytest.LogCaptureFixture) -> Iterator[Road]:
    with caplog.at_level(logging.DEBUG):
        yield Road()
    # By now caplog.text is that of the tear-down; what was said during the test is asked for by name.
    said = " ".join(record.getMessage() for record in caplog.get_records("call"))
    for plate in (LISTED, OTHER):
        assert plate not in said


def test_a_hit_goes_out_when_two_frames_agree_and_is_completed_under_the_same_id(road: Road) -> None:
    road.drive(LISTED, LISTED, LISTED, LISTED)
    assert road.phases == ["first", "final"]
    first, final = (body for _, body in road.sent)
    assert first["hit_id"] == final["hit_id"]
    assert (first["agree"], final["agree"], final["frames"]) == (2, 4, 4)
    assert (final["read"], final["match"]["listed"], final["match"]["entry"]) == (LISTED, LISTED, 1)
    assert (first["seq"], final["seq"]) == (1, 2)
    assert first["unit"] == final["unit"] == "town/bridge/pole-07"
    assert 0.9 < final["match"]["probability"] < 1
    assert road.counters.hits == 1


def test_one_frame_is_no_hit(road: Road) -> None:
    road.drive(LISTED)
    assert road.sent == []


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by how many frames a passage has, each time it is fused."""
    found: list[int] = []
    fuse = Passage.fuse

    def noted(self: Passage) -> PlateRead | None:
        found.append(self.frames)
        return fuse(self)

    monkeypatch.setattr(Passage, "fuse", noted)
    return found


@pytest.mark.parametrize(
    ("stills", "armed", "when"), [(False, True, [2, 4]), (True, True, [1, 4]), (False, False, [4])]
)
def test_nothing_is_fused_before_two_frames_can_agree_nor_again_while_they_do(
    stills: bool, armed: bool, when: list[int], fused: list[int]
) -> None:
    road = Road(stills=stills)
    if not armed:
        road.armed = None
    road.drive(OTHER, OTHER, OTHER, OTHER)
    assert fused == when  # and once when the passage ends


def test_a_reading_that_is_unsure_or_says_something_else_is_heard(fused: list[int]) -> None:
    road = Road()
    road.drive(OTHER, OTHER, "KU99QK", OTHER, OTHER)
    assert fused == [2, 3, 5]
    fused.clear()
    road.drive(OTHER, OTHER, OTHER, number=2, sure=0.85)
    assert fused == [2, 3, 3]
    fused.clear()
    road.drive(OTHER, OTHER, OTHER, number=3, score=0.4)  # not yet a plate
    assert fused == [2, 3, 3]


def test_a_listed_plate_that_was_seen_too_badly_first_is_a_hit_as_soon_as_it_is_seen_well(road: Road) -> None:
    road.drive(LISTED, LISTED, LISTED, LISTED, lasts=[0.4, 0.4, 0.97, 0.97])
    assert road.phases == ["first", "final"]


def test_a_list_that_comes_while_a_vehicle_passes_is_asked_at_once(road: Road) -> None:
    old = road.armed
    assert old is not None
    new = replace(old, matcher=Matcher(TokenTable.of([(OTHER, GROUP)])))
    lists = iter([old, new, new])
    road.decider._armed = lambda: next(lists)
    road.drive(OTHER, OTHER, OTHER)
    assert road.phases == ["first", "final"]


def test_a_plate_nobody_listed_leaves_a_count_and_nothing_else(road: Road) -> None:
    road.drive(OTHER, OTHER, OTHER)
    assert road.sent == []
    assert (road.counters.passages, road.counters.hits, road.passes._count) == (1, 0, 1)
    assert road.pipeline.passages == {}


def test_lettering_that_the_detector_never_took_for_a_plate_is_no_passage(road: Road) -> None:
    road.drive(OTHER, OTHER, OTHER, score=0.4)
    road.drive("HELP", "HELP", "HELP", score=0.6, sure=0.7)
    assert (road.counters.passages, road.passes._count) == (0, 0)


def test_one_doubtful_character_is_enough_against_a_hit(road: Road) -> None:
    road.drive(LISTED, LISTED, LISTED, lasts=[0.49] * 3)
    assert road.sent == []
    road.drive(LISTED, LISTED, LISTED, lasts=[0.6] * 3)
    assert road.phases == ["first", "final"]


def test_a_listed_plate_leaves_no_token(road: Road) -> None:
    road.drive(LISTED, LISTED)
    assert road.passes._count == 0


def test_what_the_whole_passage_speaks_against_is_withdrawn(road: Road) -> None:
    road.drive(LISTED, LISTED, *[OTHER] * 6)
    assert road.phases == ["first", "withdrawn"]
    assert road.sent[0][1]["hit_id"] == road.sent[1][1]["hit_id"]
    withdrawn = road.sent[1][1]
    assert (withdrawn["read"], withdrawn["evidence"], withdrawn["char_confidence"]) == (None, None, [])
    assert OTHER not in json.dumps(withdrawn)


def test_of_a_still_one_reading_does_and_its_evidence_is_there() -> None:
    road = Road(stills=True)
    road.drive(LISTED)
    assert road.phases == ["first", "final"]
    assert all(body["evidence"] for _, body in road.sent)


def test_two_vehicles_are_two_hits(road: Road) -> None:
    road.drive(LISTED, LISTED, number=1)
    road.drive(LISTED, LISTED, number=2)
    assert len({body["hit_id"] for _, body in road.sent}) == 2


def test_the_evidence_is_a_small_picture_and_the_final_one_is_the_widest(road: Road) -> None:
    road.drive(LISTED, LISTED, LISTED)
    first, final = (
        cv2.imdecode(np.frombuffer(base64.b64decode(body["evidence"]["jpeg"]), np.uint8), cv2.IMREAD_COLOR)
        for _, body in road.sent
    )
    assert first is not None
    assert final is not None
    assert final.shape[1] > first.shape[1]
    assert len(base64.b64decode(road.sent[1][1]["evidence"]["jpeg"])) < 6000


@pytest.mark.parametrize("shape", [(80, 200), (500, 1900), (700, 700), (900, 60), (21, 21)])
@pytest.mark.parametrize("colour", [True, False])
def test_the_evidence_is_at_most_6000_bytes_whatever_it_shows(shape: tuple[int, int], colour: bool) -> None:
    height, width = shape
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    quad = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    detection = PlateDetection(Box(0, 0, width, height), quad, 0.9)
    grey = np.ascontiguousarray(noise[:, :, 0])
    jpeg = hit.evidence(Frame(0, 0, grey, grey, noise if colour else None), detection)
    assert len(jpeg) <= hit.MOST_EVIDENCE_BYTES <= 6000
    shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED)
    assert shown is not None
    assert abs(shown.shape[1] / shown.shape[0] / (width / height) - 1) < 0.1


def test_an_easy_picture_keeps_its_width_and_quality() -> None:
    plain = np.full((200, 900, 3), 127, np.uint8)
    detection = PlateDetection(Box(0, 0, 900, 200), np.zeros((4, 2), np.float32), 0.9)
    shown = cv2.imdecode(
        np.frombuffer(hit.evidence(Frame(0, 0, plain[:, :, 0], plain[:, :, 0], plain), detection), np.uint8),
        cv2.IMREAD_COLOR,
    )
    assert shown is not None
    assert shown.shape[1] == 240


def test_without_evidence_no_picture_leaves(caplog: pytest.LogCaptureFixture) -> None:
    road = Road(evidence=False)
    road.drive(LISTED, LISTED)
    assert [body["evidence"] for _, body in road.sent] == [None, None]


def test_a_full_outbox_is_counted_and_said_once_without_the_plate(road: Road, caplog: pytest.LogCaptureFixture) -> None:
    road.full = True
    road.drive(LISTED, LISTED, LISTED)
    road.drive(LISTED, LISTED, number=2)
    assert road.counters.hits_refused == 4
    assert caplog.text.count("hits are being refused") == 1
    assert road.decider.why_refused == "the outbox is full"
    road.full = False
    road.drive(LISTED, LISTED, number=3)
    assert "hits are being taken again" in caplog.text


def test_readings_are_overwritten_when_the_vehicle_has_left(road: Road) -> None:
    kept = posteriors(OTHER)
    passage = Passage()
    road.pipeline.passages[1] = passage
    passage.add(PlateReading(kept, 1, 1.0))
    road.drive(OTHER, OTHER)
    assert not kept.any()
