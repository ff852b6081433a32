import logging

import pytest

from edge_anpr.unit import pulse
from edge_anpr.unit.pulse import Liveness, Pulse


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_a_worker_hangs_when_it_is_not_back_as_it_said_and_that_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    monkeypatch.setattr(pulse, "time", clock)
    caplog.set_level(logging.INFO)
    capture, vision = Pulse("capture"), Pulse("vision")
    liveness = Liveness(capture, vision)
    clock.now = 1e6
    assert liveness.alive()  # it has not begun
    assert not vision.begun
    vision.beat(10.0)
    capture.beat(45.0)  # it waits for a camera
    clock.now += 10.0
    assert liveness.alive()
    clock.now += 0.1
    assert not liveness.alive()
    assert not liveness.alive()
    vision.rest()
    assert liveness.alive()
    clock.now += 1e6
    assert vision.begun
    assert not liveness.alive()
    clock.now += pulse.ENDS_S - 1.0
    assert not liveness.alive()
    clock.now += 1.0
    with pytest.raises(pulse.WorkerHangs, match="capture has hung for 90 s"):
        liveness.alive()
    assert [record.message for record in caplog.records] == [
        "vision: does not go on; unless that changes, this process ends, so that a new one may do better",
        "vision: goes on again",
        "capture: does not go on; unless that changes, this process ends, so that a new one may do better",
    ]
