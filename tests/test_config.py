import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_anpr import config
from edge_anpr.config import ConfigError, load

Write = Callable[[str | bytes], Path]

GOOD = """
unit: {org: town, site: bridge, id: pole-07}
camera: {source: clip, path: clip.mp4}
watchlist: {path: list.json, allow_unsigned: true}
"""


@pytest.fixture
def written(tmp_path: Path) -> Write:
    def write(text: str | bytes) -> Path:
        path = tmp_path / "unit.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def mistakes(path: Path) -> list[tuple[int, str]]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return [(mistake.line, mistake.key) for mistake in caught.value.mistakes]


def test_defaults_are_filled_in_and_paths_are_taken_from_the_files_folder(written: Write) -> None:
    path = written(GOOD)
    unit = load(path)
    assert unit.topic == "anpr/v1/town/bridge/pole-07"
    assert isinstance(unit.camera, config.ClipCamera)
    assert unit.camera.path == path.parent / "clip.mp4"
    assert unit.health.interval_s == 30.0
    assert "epoch_minutes: 15" in config.effective(unit)


def test_the_example_is_valid() -> None:
    example = Path(__file__).parent.parent / "config.example.yaml"
    assert load(example).unit.id == "pole-07"


def test_every_mistake_is_named_at_once_with_line_and_key(written: Write) -> None:
    path = written(
        "unit: {org: town, site: bridge, id: Pole_7}\n"
        "camera:\n"
        "  source: clip\n"
        "  paht: clip.mp4\n"
        "mqtt:\n"
        "  port: '1883'\n"
        "  tls: {ca: ca.pem, cert: x}\n"
        "delivery: true\n"
        "colour: red\n"
    )
    assert mistakes(path) == [
        (1, "unit.id"),
        (1, "watchlist"),
        (2, "camera.path"),
        (4, "camera.paht"),
        (6, "mqtt.port"),
        (7, "mqtt.tls.cert"),
        (8, "delivery"),
        (9, "colour"),
    ]


def test_a_misspelt_key_is_answered_with_the_right_one(written: Write) -> None:
    with pytest.raises(ConfigError, match="did you mean 'interval_s'"):
        load(written(GOOD + "health: {intervall_s: 3}\n"))


@pytest.mark.parametrize(
    ("scalar", "read_as"),
    [
        ("no", "no"),
        ("12e345", "12e345"),
        ("12:34:56", "12:34:56"),
        ("2001-01-01", "2001-01-01"),
        ("0123", "0123"),
    ],
)
def test_scalars_that_yaml_1_1_turns_into_something_else_stay_text(written: Write, scalar: str, read_as: str) -> None:
    text = GOOD + f"mqtt: {{username: {scalar}}}\n"
    assert load(written(text)).mqtt.username == read_as


@pytest.mark.parametrize("scalar", ["yes", "on", "NO", "True"])
def test_only_true_and_false_are_truth_values(written: Write, scalar: str) -> None:
    assert mistakes(written(GOOD.replace("allow_unsigned: true", f"allow_unsigned: {scalar}"))) == [
        (4, "watchlist.allow_unsigned")
    ]


def test_an_octal_looking_number_is_no_number(written: Write) -> None:
    assert mistakes(written(GOOD + "mqtt: {port: 01883}\n")) == [(5, "mqtt.port")]


def test_a_key_that_stands_twice_is_refused_at_the_second_place(written: Write) -> None:
    assert mistakes(written(GOOD + "health:\n  interval_s: 1.0\n  interval_s: 2.0\n")) == [(7, "health.interval_s")]


def test_an_alias_bomb_is_refused_before_it_is_built(written: Write) -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    begin = time.perf_counter()
    assert mistakes(written(bomb))[0][0] == 1
    assert time.perf_counter() - begin < 2


def test_deep_brackets_are_refused_without_recursion(written: Write) -> None:
    assert mistakes(written("a: " + "[" * 20_000)) == [(1, "")]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\0\0",
        b"just words",
        b"- a\n- b\n",
        b"a: [",
        b"a: !!python/object:os.system x",
        b"\xff\xfe",
        b"a: 1\n---\nb: 2\n",
    ],
)
def test_what_is_no_config_gives_one_error(written: Write, text: bytes) -> None:
    assert mistakes(written(text))


def test_a_file_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name the file with -c"):
        load(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "url",
    ["rtsp://me:secret@cam/1", "rtsp://me:se@secret@cam/1", "rtsp://cam/1?password=secret", "rtsps://me:/secret@cam"],
)
def test_a_password_in_the_camera_url_is_not_shown_and_what_is_shown_is_no_url(written: Write, url: str) -> None:
    unit = load(written(GOOD.replace("source: clip, path: clip.mp4", f"source: rtsp, url: '{url}'")))
    shown = config.effective(unit)
    assert "secret" not in shown
    assert "secret" not in repr(unit)
    assert [key for _, key in mistakes(written(shown))] == ["camera.url"]


def test_a_gstreamer_pipeline_is_not_shown_and_what_is_shown_is_none(written: Write) -> None:
    pipeline = "rtspsrc location=rtsp://me:secret@cam ! decodebin ! appsink"
    unit = load(written(GOOD.replace("source: clip, path: clip.mp4", f"source: gstreamer, pipeline: '{pipeline}'")))
    shown = config.effective(unit)
    assert "secret" not in shown
    assert "secret" not in repr(unit)
    assert [key for _, key in mistakes(written(shown))] == ["camera.pipeline"]


@pytest.mark.parametrize(
    "camera",
    ["gstreamer, number: 1", "picamera2, zoom: 2.0, lens_position: 0.1", "v4l2, region: {left: 0.25, width: 0.5}"],
)
def test_what_check_prints_of_a_camera_is_the_same_camera(written: Write, camera: str) -> None:
    unit = load(written(GOOD.replace("clip, path: clip.mp4", camera)))
    assert load(written(config.effective(unit))) == unit


@pytest.mark.parametrize(
    ("camera", "key", "says"),
    [
        ("picamera2, day_above_lux: 50.0", "camera", "needs day_above_lux higher than night_below_lux"),
        ("picamera2, fps: 60, night_shutter_us: 20000", "camera", "a shutter cannot be longer than a frame: 16667 µs"),
        ("picamera2, width: 1281", "camera.width", "multiple of 2"),
        ("picamera2, light: dusk", "camera.light", "'auto', 'day' or 'night'"),
        ("picamera2, night_gian: 2.0", "camera.night_gian", "did you mean 'night_gain'"),
        ("picamera2, device: /dev/video0", "camera.device", "belongs to source: v4l2, and this is source: picamera2"),
        ("gstreamer, pipeline: videotestsrc", "camera.pipeline", "end it in: ! appsink"),
        ("gstreamer, pipeline: a ! appsink, fps: 30", "camera", "the pipeline says it all: write fps into it"),
        ("v4l2, region: {left: 0.5, width: 0.6}", "camera.region", "reaches beyond the picture"),
        ("v4l2, pixels: h264", "camera.pixels", "'any', 'mjpeg' or 'yuyv'"),
        ("webcam", "camera", "source is one of clip, folder, gstreamer, picamera2, rtsp, v4l2"),
    ],
)
def test_a_camera_that_cannot_be_is_refused_with_its_key(written: Write, camera: str, key: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(GOOD.replace("clip, path: clip.mp4", camera)))
    (mistake,) = caught.value.mistakes
    assert (mistake.line, mistake.key) == (3, key)
    assert says in mistake.text


def test_what_check_prints_is_a_config_with_the_same_values(written: Write) -> None:
    unit = load(written(GOOD + "mqtt: {host: broker, username: 'no'}\n"))
    assert load(written(config.effective(unit))) == unit


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "camera: {source: clip, path: a.mp4, device: /dev/video0}",
            "belongs to source: v4l2, and this is source: clip",
        ),
        ("health: {interval_s: .5}", "takes a number, without quotes, like 0.5"),
        ("mqtt: {tls: {ca: ca.pem, key: unit.key}}", "needs both, certificate and key, or neither"),
        ('delivery: {outbox: "a\\0b"}', "a path holds no control characters"),
        ("delivery: {outbox: ~nobody-of-this-name/outbox.db}", "there is no user nobody-of-this-name on this machine"),
    ],
)
def test_advice_says_what_to_write(written: Write, line: str, says: str) -> None:
    text = (
        "".join(part + "\n" for part in GOOD.splitlines() if part.split(":")[0] != line.split(":", maxsplit=1)[0])
        + line
    )
    with pytest.raises(ConfigError, match=says):
        load(written(text))


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ("{path: list.signed}", "needs keys"),
        ("{keys: [a.pub]}", "needs path"),
        ("{source: arm, keys: [a.pub]}", "needs centre_keys"),
        ("{source: arm, keys: [a.pub], centre_keys: [c.pub], path: list.signed}", "takes no path"),
        ("{source: arm, allow_unsigned: true, centre_keys: [c.pub]}", "no allow_unsigned"),
        ("{source: arm, centre_keys: [c.pub]}", "needs keys"),
    ],
)
def test_whose_list_it_is_has_to_be_said(written: Write, rules: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(GOOD.replace("{path: list.json, allow_unsigned: true}", rules)))
    (mistake,) = caught.value.mistakes
    assert (mistake.line, mistake.key) == (4, "watchlist")
    assert says in mistake.text


def test_keys_lie_where_the_config_lies(written: Write, tmp_path: Path) -> None:
    rules = "{source: arm, keys: [a.pub, /b.pub], centre_keys: [c.pub]}"
    config = load(written(GOOD.replace("{path: list.json, allow_unsigned: true}", rules)))
    assert config.watchlist.keys == [tmp_path / "a.pub", Path("/b.pub")]
    assert config.watchlist.centre_keys == [tmp_path / "c.pub"]
