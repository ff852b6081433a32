import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_anpr.camera import picamera2 as adapter
from edge_anpr.camera.exposure import Dusk, Profile
from edge_anpr.camera.opencv import SourceUnusable
from edge_anpr.camera.picamera2 import PiCamera, crop, second_stream, stamp
from edge_anpr.config import load
from edge_anpr.errors import SourceLost
from edge_anpr.unit import recogniser
from edge_anpr.vision.session import Network, shipped
from edge_anpr.vision.views import whole
from tests.camera import picamera2_fake

DAY, NIGHT = Profile(1000, 8.0, 110.0), Profile(800, 16.0, 60.0)
Open = Callable[..., PiCamera]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = picamera2_fake.module()
    monkeypatch.setitem(sys.modules, "picamera2", module)
    return module.Picamera2


@pytest.fixture
def opened(fake: Any) -> Open:
    def build(hold_s: float = 0.0, **options: Any) -> PiCamera:
        size = options.pop("size", (322, 180))
        stall_s, number = options.pop("stall_s", 5.0), options.pop("number", 0)
        return PiCamera(number, size, (160, 90), 15, stall_s, DAY, NIGHT, Dusk(50, 200, hold_s), **options)

    return build


def test_both_planes_come_without_padding_as_copies_that_are_overwritten(fake: Any, opened: Open) -> None:
    camera = opened()
    frame = camera.read()
    assert (frame.luma.shape, frame.lores.shape, frame.colour) == ((180, 322), (90, 160), None)
    for plane in (frame.luma, frame.lores):
        assert plane.flags.c_contiguous
        assert not (plane == picamera2_fake.PADDING).any()
        assert len(np.unique(plane[1:])) == 1  # and the camera has its buffer back, with another picture in it
        assert plane[1, 1] not in {0, picamera2_fake.NEXT}
    camera.recycle(frame)
    assert not frame.luma.any()
    assert not frame.lores.any()
    again = camera.read()
    assert again.luma is frame.luma
    assert again.lores is frame.lores
    assert [frame.index, again.index] == [0, 1]


def test_every_request_goes_back_however_many_frames_are_kept(fake: Any, opened: Open) -> None:
    camera = opened()
    kept = [camera.read() for _ in range(5 * adapter.BUFFERS)]
    assert len(fake.last.queued) == adapter.BUFFERS
    assert len({id(frame.luma) for frame in kept}) == len(kept)


def test_a_request_goes_back_when_copying_it_fails(fake: Any, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = opened()

    def fails(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(camera._planes, "frame", fails)
    for _ in range(2 * adapter.BUFFERS):
        with pytest.raises(MemoryError):
            camera.read()
    assert len(fake.last.queued) == adapter.BUFFERS


def test_a_request_that_is_kept_starves_the_fake(fake: Any, opened: Open) -> None:
    """What the two tests above rest on."""
    camera = opened(stall_s=0.02)
    held = [fake.last.capture_request(wait=False).get_result(1) for _ in range(adapter.BUFFERS)]
    with pytest.raises(SourceLost, match=r"gave no frame for 0\.02 s"):
        camera.read()
    held[0].release()


def test_frames_are_stamped_with_the_time_of_the_sensor(fake: Any, opened: Open) -> None:
    camera = opened()
    before = time.monotonic_ns()
    frame = camera.read()
    assert before - 41_000_000 < frame.captured_ns < time.monotonic_ns() - 39_000_000
    for nonsense in (None, 0, time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 10**12):
        assert abs(stamp(nonsense) - time.monotonic_ns()) < 10**9


def test_the_camera_is_set_up_once_with_fixed_values(fake: Any, opened: Open) -> None:
    opened(lens_position=0.1, zoom=2.0, aim=(0.5, 1.0))
    asked = fake.last.asked
    assert asked["FrameDurationLimits"] == (66_667, 66_667)
    assert asked["ScalerCrop"] == (1152, 1296, 2304, 1296)
    assert (asked["AfMode"], asked["LensPosition"], asked["HdrMode"]) == (0, 0.1, 0)
    assert asked["ExposureTime"] == 1000
    assert "AeEnable" not in asked


def test_a_camera_with_few_settings_gets_only_those(fake: Any, opened: Open) -> None:
    fake.offered = {name: OFFERED for name, OFFERED in picamera2_fake.OFFERED.items() if name in {"ExposureTime"}}
    opened(zoom=2.0).read()
    assert set(fake.last.asked) == {"ExposureTime"}


@pytest.mark.parametrize("lux", [100_000.0, 3000.0, 300.0])
def test_exposure_settles_within_its_limits_although_it_takes_effect_late(fake: Any, opened: Open, lux: float) -> None:
    fake.light = lux
    camera = opened(light="day")
    seen = []
    for _ in range(60):
        frame = camera.read()
        seen.append(float(frame.lores.mean()))
        camera.recycle(frame)
    exposures = [one for one in fake.last.settings if "ExposureTime" in one]
    assert all(one["ExposureTime"] <= 1000 and one["AnalogueGain"] <= 8.0 for one in exposures)
    last = exposures[-1]
    if last["AnalogueGain"] < 8.0:
        assert seen[-1] == pytest.approx(DAY.target, rel=0.2)
        assert max(seen[-10:]) - min(seen[-10:]) < 2  # it does not swing
    else:
        assert last["ExposureTime"] == 1000
        assert seen[-1] < DAY.target * 1.1


@pytest.mark.parametrize("says_lux", [True, False])
def test_night_comes_and_goes_by_the_light(fake: Any, opened: Open, says_lux: bool) -> None:
    fake.says_lux, fake.light = says_lux, 3000.0
    camera = opened()

    def after(light: float) -> dict[str, Any]:
        fake.light = light
        for _ in range(60):
            camera.recycle(camera.read())
        asked: dict[str, Any] = fake.last.asked
        return asked

    assert after(3000.0)["AwbEnable"] is True
    night = after(5.0)
    assert (night["AwbEnable"], night["Saturation"]) == (False, 0.0)
    assert night["ExposureTime"] == NIGHT.shutter_us
    assert night["AnalogueGain"] > DAY.gain
    assert after(120.0)["AwbEnable"] is False  # between the two thresholds it stays as it was
    assert after(3000.0)["AwbEnable"] is True


def test_a_profile_can_be_fixed(fake: Any, opened: Open) -> None:
    fake.light = 3000.0
    camera = opened(light="night")
    for _ in range(30):
        camera.recycle(camera.read())
    assert fake.last.asked["Saturation"] == 0.0
    assert fake.last.asked["ExposureTime"] <= NIGHT.shutter_us


def test_what_is_wrong_is_said_and_the_camera_let_go(fake: Any, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = opened(stall_s=0.02)
    fake.last.stalled = True
    with pytest.raises(SourceLost, match=r"no frame for 0\.02 s"):
        camera.read()
    fake.last.stalled, fake.last.failed = False, True
    with pytest.raises(SourceLost, match="frontend has timed out"):
        camera.read()
    camera.close()
    assert fake.last.closed

    with pytest.raises(SourceLost, match="there is no camera 1, libcamera sees 1"):
        opened(number=1)
    fake.busy = True
    with pytest.raises(SourceLost, match="is busy"):
        opened()
    fake.busy, fake.gives = False, {"main": (320, 180)}
    with pytest.raises(SourceUnusable, match=r"gives main as 320x180 YUV420 instead of 322x180.*camera\.width"):
        opened()
    assert fake.last.closed
    fake.gives, fake.offered = {}, {"ExposureTime": (1, 2, 3)}
    with pytest.raises(SourceUnusable, match="no motor"):
        opened(lens_position=0.1)
    assert fake.last.closed
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(SourceUnusable, match="apt install python3-picamera2"):
        opened()


@pytest.mark.parametrize("size", [(1920, 1080), (1280, 720), (1536, 864), (2028, 1520), (640, 480), (320, 240)])
def test_detection_takes_the_second_stream_as_it_comes(size: tuple[int, int]) -> None:
    card = Network(shipped("detector"), "detector", "quad13-s8", provider="cpu", threads=1).card
    lores = second_stream(size, (card.width, card.height))
    view = whole(*size, card.width, card.height)
    if view.scale <= 1:
        assert lores == (round(size[0] * view.scale), round(size[1] * view.scale))
    assert all(side % 2 == 0 for side in lores)


@pytest.mark.parametrize(
    ("zoom", "aim", "part"),
    [
        (1.0, (0.5, 0.5), (8, 4, 4000, 2000)),
        (2.0, (0.5, 0.5), (1008, 504, 2000, 1000)),
        (2.0, (0.0, 1.0), (8, 1004, 2000, 1000)),
        (4.0, (1.0, 0.0), (3008, 4, 1000, 500)),
    ],
)
def test_zoom_keeps_its_shape_and_stays_on_the_sensor(
    zoom: float, aim: tuple[float, float], part: tuple[int, int, int, int]
) -> None:
    assert crop((8, 4, 4000, 2000), zoom, aim) == part


def test_the_recogniser_opens_it_as_the_config_says(fake: Any, tmp_path: Path) -> None:
    path = tmp_path / "unit.yaml"
    path.write_text(
        "unit: {org: town, site: bridge, id: pole-07}\n"
        "camera: {source: picamera2, width: 1280, height: 720, fps: 10, night_gain: 4.0}\n"
        "watchlist: {path: list.json, allow_unsigned: true}\n"
    )
    config = load(path)
    card = Network(shipped("detector"), "detector", "quad13-s8", provider="cpu", threads=1).card
    frame = recogniser._opener(config, card)().read()
    assert frame is not None
    assert (frame.luma.shape, frame.lores.shape) == ((720, 1280), (360, 640))
