import time
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Meta, Struct, structs
from rich.pretty import pretty_repr

from edge_anpr import config
from edge_anpr.config import ConfigError, load, schema
from edge_anpr.config.cameras import CAMERAS, Region
from edge_anpr.config.walk import _BOUNDS

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
        "models: {threads: 0, threads: 0, ocr: 5}\n"
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
        (10, "models.ocr"),
        (10, "models.threads"),
        (10, "models.threads"),
    ]


@pytest.mark.parametrize(
    "value", ["secret", "{secret: secret}", "[secret]", "'secret\\0'", "[[secret, secret], secret]"]
)
def test_no_mistake_repeats_a_value(written: Write, value: str) -> None:
    keys = {
        "unit": ["org", "site", "id"],
        "camera": ["source", "id", "direction", "region", "url", "stall_s"],
        "models": ["detector", "provider", "threads"],
        "watchlist": ["source", "keys", "allow_unsigned", "most_entries", "passages_per_day"],
        "mqtt": ["host", "port", "username", "password_file", "tls"],
        "health": ["metrics"],
    }
    for section, names in keys.items():
        for name in names:
            # A source is needed to get to the other keys of a camera.
            source = "source: rtsp, " if section == "camera" and name != "source" else ""
            path = written(f"{section}: {{{source}{name}: {value}}}\n{section}2: {value}\n")
            with pytest.raises(ConfigError) as caught:
                load(path)
            text = "".join(mistake.text for mistake in caught.value.mistakes)
            assert text
            assert "secret" not in text


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


@pytest.mark.parametrize(
    ("line", "key", "says"),
    [
        ("models: {threads: '2'}", "models.threads", "takes a whole number, without quotes, like 15"),
        ("models: {threads: 2.0}", "models.threads", "takes a whole number, without quotes, like 15"),
        ("models: {threads: true}", "models.threads", "takes a whole number, without quotes, like 15"),
        ("models: {threads: }", "models.threads", "takes a whole number, without quotes, like 15"),
        ("models: {threads: 0}", "models.threads", "must be greater than or equal to 1"),
        ("models: {threads: 17}", "models.threads", "must be less than or equal to 16"),
        ("models: {detector: 1}", "models.detector", "takes a path"),
        ("models: {detector: ''}", "models.detector", "takes a path"),
        ("health: {interval_s: true}", "health.interval_s", "takes a number, without quotes, like 0.5"),
        ("health: {interval_s: '1'}", "health.interval_s", "takes a number, without quotes, like 0.5"),
        ("health: {interval_s: .inf}", "health.interval_s", "takes a number, without quotes, like 0.5"),
        ("health: {interval_s: .nan}", "health.interval_s", "takes a number, without quotes, like 0.5"),
        ("health: {metrics: '9177'}", "health.metrics", "takes HOST:PORT, like 192.0.2.7:1883 or [2001:db8::7]:1883"),
        ("delivery: {max_days: 0}", "delivery.max_days", "must be greater than 0"),
        ("delivery: {evidence: 1}", "delivery.evidence", "takes true or false"),
        ("delivery: {receipt_keys: a.pub}", "delivery.receipt_keys", "takes a list, like [a.pub, b.pub]"),
        ("delivery: {receipt_keys: [a, b, c]}", "delivery.receipt_keys", "must have a length of at most 2"),
        ("delivery: {receipt_keys: [a, 1]}", "delivery.receipt_keys.1", "takes a path"),
        ("mqtt: {username: 7}", "mqtt.username", "takes text; put it between quotes"),
        ("mqtt: {username: true}", "mqtt.username", "takes text; put it between quotes"),
        ("mqtt: {host: ''}", "mqtt.host", "must have a length of at least 1"),
        ("mqtt: {tls: []}", "mqtt.tls", "takes keys below it, indented"),
        ("mqtt: ", "mqtt", "takes keys below it, indented"),
    ],
)
def test_a_value_of_another_kind_or_beyond_its_bounds_is_refused(
    written: Write, line: str, key: str, says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(GOOD + line))
    (mistake,) = caught.value.mistakes
    assert (mistake.line, mistake.key, mistake.text) == (5, key, says)


def test_a_whole_number_serves_where_another_may_stand(written: Write) -> None:
    interval = load(written(GOOD + "health: {interval_s: 3}")).health.interval_s
    assert (interval, type(interval)) == (3.0, float)


def test_every_bound_of_the_schema_is_one_that_is_checked() -> None:
    sections = [
        *CAMERAS.values(),
        Region,
        *(
            kind
            for kind in vars(schema).values()
            if isinstance(kind, type) and issubclass(kind, Struct) and kind is not Struct
        ),
    ]
    fields = [field for section in sections for field in structs.fields(section)]
    bounds = [meta for field in fields for meta in _metas(field.type)]
    assert len(bounds) > 40
    for meta in bounds:
        said = {name for name in dir(meta) if not name.startswith("_") and getattr(meta, name) is not None}
        assert said <= set(_BOUNDS)


def _metas(kind: Any) -> Iterator[Meta]:
    for part in typing.get_args(kind):
        yield from [part] if isinstance(part, Meta) else _metas(part)


def test_values_at_their_bounds_are_taken(written: Write) -> None:
    unit = load(written(GOOD + "mqtt: {port: 65535}\nmodels: {threads: 1}\ndelivery: {max_days: 0.1}\n"))
    assert (unit.mqtt.port, unit.models.threads, unit.delivery.max_days) == (65535, 1, 0.1)


def test_a_config_does_not_change(written: Write) -> None:
    unit = load(written(GOOD.replace("clip, path: clip.mp4", "v4l2, region: {left: 0.5, width: 0.5}")))
    for section, name in (
        (unit, "models"),
        (unit.models, "threads"),
        (unit.camera, "id"),
        (unit.camera.region, "left"),
    ):
        with pytest.raises(AttributeError):
            setattr(section, name, None)


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
    assert "secret" not in repr(unit) + pretty_repr(unit)
    with pytest.raises(ConfigError, match=r"camera\.url: write the real URL"):
        load(written(shown))


def test_a_gstreamer_pipeline_is_not_shown_and_what_is_shown_is_none(written: Write) -> None:
    pipeline = "rtspsrc location=rtsp://me:secret@cam ! decodebin ! appsink"
    unit = load(written(GOOD.replace("source: clip, path: clip.mp4", f"source: gstreamer, pipeline: '{pipeline}'")))
    shown = config.effective(unit)
    assert "secret" not in shown
    assert "secret" not in repr(unit) + pretty_repr(unit)
    with pytest.raises(ConfigError, match=r"camera\.pipeline: write the real pipeline"):
        load(written(shown))


@pytest.mark.parametrize(
    "camera",
    ["gstreamer, number: 1", "picamera2, zoom: 2.0, lens_position: 0.1", "v4l2, region: {left: 0.25, width: 0.5}"],
)
def test_what_check_prints_of_a_camera_is_the_same_camera(written: Write, camera: str) -> None:
    unit = load(written(GOOD.replace("clip, path: clip.mp4", camera)))
    assert load(written(config.effective(unit))) == unit


@pytest.mark.parametrize(
    ("camera", "says"), [("{id: a}", "needs a key 'source': clip, "), ("clip", "takes keys below")]
)
def test_a_camera_without_a_source_is_told_which_there_are(written: Write, camera: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(GOOD.replace("{source: clip, path: clip.mp4}", camera)))
    (mistake,) = caught.value.mistakes
    assert (mistake.line, mistake.key) == (3, "camera")
    assert says in mistake.text


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
        (
            "gstreamer, pipeline: a!appsink, number: 0, width: 1920, height: 1080, fps: 30, shutter_us: 1000, gain: 16",
            "camera",
            "the pipeline says it all: write fps, gain, height, number, shutter_us, width into it",
        ),
        ("v4l2, region: {left: 0.5, width: 0.6}", "camera.region", "reaches beyond the picture"),
        ("v4l2, region: {lfet: 0.5}", "camera.region.lfet", "did you mean 'left'"),
        ("v4l2, region: {fps: 15}", "camera.region.fps", "known: left, top, width, height"),
        ("clip, path: clip.mp4, colour: red", "camera.colour", "known: id, direction, region, source, path, pace"),
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


@pytest.mark.parametrize(
    ("camera", "after_s"),
    [("rtsp, url: 'rtsp://cam/1'", 60.0), ("gstreamer", 60.0), ("v4l2", 10.0), ("picamera2", 10.0)],
)
def test_a_stream_may_repeat_a_picture_for_longer(written: Write, camera: str, after_s: float) -> None:
    opened = load(written(GOOD.replace("clip, path: clip.mp4", camera))).camera
    assert isinstance(opened, config.LiveCamera)
    assert opened.frozen_s == after_s


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
