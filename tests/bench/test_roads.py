"""The drawn roads: a full picture, a second stream as a Pi gives it, and plates where it is said that they are."""

from __future__ import annotations

from edge_anpr.watch.tokens import Group, TokenTable
from tests.bench import passing
from tests.bench.roads import Road, Vehicle


def test_a_wide_picture_has_a_second_stream_640_wide_and_empty_frames_share_the_first() -> None:
    road = Road(1280, 720, 12.0)
    first, second = road.frame(0, []), road.frame(12, [])
    assert first.luma.shape == (720, 1280)
    assert first.lores.shape == (360, 640)
    assert first.luma is second.luma
    assert (first.lores != second.lores).any()
    assert second.captured_ns == 1_000_000_000


def test_a_small_picture_is_its_own_second_stream() -> None:
    frame = Road(640, 480, 12.0).frame(0, [])
    assert frame.luma is frame.lores


def test_a_plate_lies_where_it_is_said_to() -> None:
    road = Road(1280, 720, 12.0)
    ((flat, text),) = road.plates(1)
    vehicle = Vehicle(0.5, 0.5, 0.1, flat, text)
    left, top = road.quad(vehicle).min(axis=0)
    right, down = road.quad(vehicle).max(axis=0)
    assert (round(float(right - left)), round(float(left + right) / 2), round(float(top + down) / 2)) == (128, 640, 360)
    seen = road.frame(0, [vehicle]).luma
    assert seen[360, 576:704].max() > 150  # its ground is bright, and the body around it dark
    assert seen[int(top) - 20, 640] == 45


def test_in_a_minute_without_pictures_each_vehicle_is_one_passage() -> None:
    table = TokenTable.of([("TEST00000", Group("NL", "stolen", 1, 2**62))])
    assert passing._minute(6, table)["a passage, ms"] > 0  # and it counts the passages itself
