from datetime import UTC, datetime

import pytest

from edge_anpr.privacy.tokens import LEAST_TOLD
from edge_anpr.unit import statusline
from edge_anpr.unit.outbox import Depth


def test_a_recogniser() -> None:
    told = statusline.recogniser(
        state="running",
        fps=11.94,
        list_in_force=statusline.a_list(
            "stolen", 3, datetime(2027, 3, 1, tzinfo=UTC), datetime(2027, 3, 8, tzinfo=UTC)
        ),
        last_hour=statusline.passages(40, LEAST_TOLD),
        waiting=2,
        alarms=(),
    )
    assert told == (
        "running, 12 frames/s; armed: list stolen version 3, 7 d old; about 40 passages in the last hour; "
        "2 messages wait"
    )


def test_one_that_reads_nothing() -> None:
    told = statusline.recogniser(
        state="camera lost", fps=0.0, list_in_force=None, last_hour=statusline.passages(None, LEAST_TOLD), waiting=0,
        alarms=("disarmed", "list-refused"),
    )  # fmt: skip
    assert told == (
        "camera lost, 0 frames/s; DISARMED; fewer than 20 passages in the last hour; 0 messages wait; "
        "ALARM: disarmed, list-refused"
    )


def test_a_publisher() -> None:
    told = statusline.publisher(connected_s=11_000.0, why_not=None, depth=Depth(0, 0), alarms=())
    assert told == "0 messages wait; connected for 3 h"
    told = statusline.publisher(
        connected_s=None, why_not="it does not answer", depth=Depth(12, 9, 400.0), alarms=("clock",)
    )
    assert told == "12 messages wait, the oldest for 6 min; no broker: it does not answer; ALARM: clock"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "a moment"), (59.9, "a moment"), (60, "a minute"), (119, "a minute"), (120, "2 min"), (7199, "119 min"),
     (7200, "2 h"), (172_799, "47 h"), (172_800, "2 d")],
)  # fmt: skip
def test_ages_are_coarse(seconds: float, told: str) -> None:
    assert statusline.age(seconds) == told
