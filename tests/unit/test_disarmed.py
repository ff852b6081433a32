"""Without a list in force nothing is looked at, and nothing that was under way goes out."""

import threading
from dataclasses import replace

import numpy as np

from edge_anpr.camera.box import LatestFrame
from edge_anpr.datatypes import Frame, Track
from edge_anpr.privacy.tokens import PassCounter
from edge_anpr.unit.health import Counters
from edge_anpr.unit.lists import Armed
from edge_anpr.unit.pipeline import Seen
from edge_anpr.unit.vision import Vision
from edge_anpr.watch.matcher import Matcher
from edge_anpr.watch.tokens import TokenTable
from tests.unit.test_decide import GROUP, LISTED, OTHER, Road
from tests.unit.test_vision import Told


def before_the_end(road: Road, armed: Armed | None) -> None:
    """Put this list in force just before the vehicle has left."""
    end = road.decider.end

    def then(track: Track, now_ns: int) -> None:
        road.armed = armed
        end(track, now_ns)

    road.decider.end = then  # type: ignore[method-assign]


def test_no_frame_is_looked_at() -> None:
    told, box = Told(), LatestFrame()
    told.armed = None
    plane = np.zeros((4, 4), np.uint8)
    box.put(Frame(7, 0, plane, plane))
    box.close()
    recycled: list[int] = []
    Vision(told, told, told, PassCounter(10**18), box, Counters()).run(  # type: ignore[arg-type]
        threading.Event(), lambda frame: recycled.append(frame.index)
    )
    assert list(told) == ["prove", "clean", "clean"]
    assert recycled == [7]


def test_a_passage_that_was_under_way_is_forgotten_and_its_hit_is_not_even_completed() -> None:
    road = Road()
    take = road.decider.take

    def then_disarmed(frame: Frame, seen: Seen) -> None:
        road.armed = None
        take(frame, seen)

    road.decider.take = then_disarmed  # type: ignore[method-assign]
    road.drive(*[LISTED] * 4)
    assert road.sent == []
    assert road.counters.passages == 0
    assert not road.pipeline.passages


def test_what_would_be_the_rest_of_a_hit_stays_here_when_the_list_ends() -> None:
    road = Road()
    before_the_end(road, None)
    road.drive(*[LISTED] * 4)
    assert [phase for phase, _ in road.sent] == ["first"]
    assert not road.pipeline.passages


def test_a_hit_is_completed_under_the_list_that_came_while_the_vehicle_passed() -> None:
    road = Road()
    assert road.armed
    table = TokenTable.of([(LISTED, GROUP)])
    before_the_end(road, replace(road.armed, matcher=Matcher(table), header=replace(road.armed.header, version=8)))
    road.drive(*[LISTED] * 4)
    assert [phase for phase, _ in road.sent] == ["first", "final"]
    assert [body["match"]["list_version"] for _, body in road.sent] == [7, 8]
    assert [body["match"]["entry"] for _, body in road.sent] == [1, 0]


def test_a_hit_is_withdrawn_when_the_plate_is_not_on_the_list_that_came_meanwhile() -> None:
    road = Road()
    assert road.armed
    before_the_end(road, replace(road.armed, matcher=Matcher(TokenTable.of([(OTHER, GROUP)]))))
    road.drive(*[LISTED] * 4)
    assert [phase for phase, _ in road.sent] == ["first", "withdrawn"]


def test_a_tripped_breaker_withholds_hits_and_counts_them() -> None:
    road = Road()
    for number in range(1, 31):
        road.drive(*[LISTED] * 4, number=number)
    assert road.armed
    assert road.armed.breaker.tripped
    assert len([phase for phase, _ in road.sent if phase == "first"]) <= 21
    assert road.counters.hits_withheld >= 10
    before = len(road.sent)
    road.drive(*[OTHER] * 4, number=40)
    road.drive(*[LISTED] * 4, number=41)
    assert len(road.sent) == before
