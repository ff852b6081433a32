"""The YAML file of a unit: its schema, and a loader that names every mistake at once, with line and key path.

PyYAML parses, pydantic validates. The scalars of YAML 1.1 that change meaning behind the writer's back (``NO`` is
false, ``0123`` is 83, ``12:34:56`` is 45296) stay text here: only ``true``, ``false``, ``null`` and plain decimal
numbers are anything else.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from edge_anpr.errors import Unusable

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16
HIDDEN = "***"
# Secrets that systemd hands to a service (LoadCredential=, encrypted by the TPM where there is one).
CREDENTIAL = "credential:"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong: where (``line`` from 1, 0 when unknown; ``key`` like ``mqtt.port``) and what to do."""

    line: int
    key: str
    text: str


class ConfigError(Unusable):
    """A config that cannot be used; ``mistakes`` lists all that was found."""

    def __init__(self, path: Path, mistakes: list[Mistake]) -> None:
        self.path, self.mistakes = path, mistakes
        super().__init__("\n".join(": ".join(filter(None, (f"{path}:{m.line}", m.key, m.text))) for m in mistakes))


def _as_path(value: object) -> object:
    if not isinstance(value, str) or not value:
        return value
    if not value.isprintable():
        raise ValueError("a path holds no control characters")
    if value.startswith(CREDENTIAL):
        return _credential(value)
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f"there is no user {value.split('/')[0][1:]} on this machine") from None


def _credential(value: str) -> Path:
    name = value.removeprefix(CREDENTIAL)
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", name) or name in {".", ".."}:
        raise ValueError("write credential:NAME, the name that LoadCredential= gives it")
    # Without systemd (for a technician's `check`, say) there are none: whoever opens the path is told so.
    return Path(os.environ.get("CREDENTIALS_DIRECTORY", "/run/credentials/none"), name)


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]{1,32}", value):
        raise ValueError("write 1 to 32 of a-z, 0-9 and -; it becomes part of an MQTT topic")
    return value


def _rtsp(value: str) -> str:
    if not re.match(r"rtsps?://[^\s/]+", value):
        raise ValueError("write rtsp://host/stream or rtsps://host/stream")
    if value.endswith("//" + HIDDEN):
        raise ValueError("write the real URL; this one comes from `edge-anpr check`, which hides it")
    return value


def _pipeline(value: str) -> str:
    if value == HIDDEN:
        raise ValueError("write the real pipeline; this one comes from `edge-anpr check`, which hides it")
    if not re.search(r"!\s*appsink\b[^!]*$", value):
        raise ValueError("end it in: ! appsink")
    return value


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("write HOST:PORT, like 127.0.0.1:9177")
    return value


FilePath = Annotated[Path, BeforeValidator(_as_path)]
Name = Annotated[str, AfterValidator(_name)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Unit(_Strict):
    """Who this unit is; the three names make its topic ``anpr/v1/<org>/<site>/<id>/``."""

    org: Name
    site: Name
    id: Name


class _Camera(_Strict):
    id: Name = "cam-1"
    direction: Literal["in", "out", "both", "unknown"] = "unknown"


class ClipCamera(_Camera):
    """A recorded clip, paced like a live camera or as fast as it can be read."""

    source: Literal["clip"]
    path: FilePath
    pace: Literal["live", "fast"] = "live"


class FolderCamera(_Camera):
    """A folder of pictures, read as unrelated stills."""

    source: Literal["folder"]
    path: FilePath


class LiveCamera(_Camera):
    """What every live camera has: after so long without a frame, or with the very same one, it is opened again.

    ``frozen_s`` 0 turns the latter off. A stream that was encoded repeats a still night until its next whole picture.
    """

    stall_s: float = Field(default=10.0, ge=1, le=300)
    frozen_s: float = Field(default=10.0, ge=0, le=3600)


class RtspCamera(LiveCamera):
    """A network camera. The URL may hold a password, so it is never shown."""

    source: Literal["rtsp"]
    url: Annotated[str, AfterValidator(_rtsp)] = Field(repr=False)
    frozen_s: float = Field(default=60.0, ge=0, le=3600)


class V4l2Camera(LiveCamera):
    """A USB or CSI camera behind the kernel's video interface. Gain and focus are in the driver's own units."""

    source: Literal["v4l2"]
    device: FilePath = Path("/dev/video0")
    width: int = Field(default=1280, ge=160, le=7680)
    height: int = Field(default=720, ge=120, le=4320)
    fps: int = Field(default=15, ge=1, le=240)
    pixels: Literal["any", "mjpeg", "yuyv"] = "any"
    exposure_us: int | None = Field(default=None, ge=100, le=1_000_000)
    gain: float | None = Field(default=None, ge=0, le=65535)
    focus: float | None = Field(default=None, ge=0, le=65535)


class PiCamera(LiveCamera):
    """A Raspberry Pi's CSI camera, with limits of exposure by day and by night, and where the one becomes the other.

    ``zoom`` takes a part of the sensor around ``aim_x``, ``aim_y``, which are 0 to 1 from the left and the top.
    """

    source: Literal["picamera2"]
    number: int = Field(default=0, ge=0, le=7)
    width: int = Field(default=1920, ge=320, le=4608, multiple_of=2)
    height: int = Field(default=1080, ge=240, le=3456, multiple_of=2)
    fps: int = Field(default=15, ge=1, le=120)
    light: Literal["auto", "day", "night"] = "auto"
    day_shutter_us: int = Field(default=1000, ge=30, le=33_000)
    day_gain: float = Field(default=8.0, ge=1, le=64)
    night_shutter_us: int = Field(default=1000, ge=30, le=33_000)
    night_gain: float = Field(default=16.0, ge=1, le=64)
    night_below_lux: float = Field(default=50.0, ge=0, le=100_000)
    day_above_lux: float = Field(default=200.0, ge=0, le=100_000)
    lens_position: float | None = Field(default=None, ge=0, le=32)
    zoom: float = Field(default=1.0, ge=1, le=8)
    aim_x: float = Field(default=0.5, ge=0, le=1)
    aim_y: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _whole(self) -> PiCamera:
        if self.day_above_lux <= self.night_below_lux:
            raise ValueError("needs day_above_lux higher than night_below_lux, or day and night take turns for ever")
        if 1e6 / self.fps < max(self.day_shutter_us, self.night_shutter_us):
            raise ValueError(f"a shutter cannot be longer than a frame: {1e6 / self.fps:.0f} µs at fps {self.fps}")
        return self


class GstreamerCamera(LiveCamera):
    """A pipeline of the system's GStreamer that ends in an appsink; without one, a Jetson's CSI camera.

    The pipeline may hold a password, so it is never shown.
    """

    source: Literal["gstreamer"]
    pipeline: Annotated[str, AfterValidator(_pipeline)] | None = Field(default=None, repr=False)
    number: int = Field(default=0, ge=0, le=7)
    width: int = Field(default=1920, ge=160, le=7680)
    height: int = Field(default=1080, ge=120, le=4320)
    fps: int = Field(default=30, ge=1, le=240)
    shutter_us: int = Field(default=1000, ge=30, le=33_000)
    gain: float = Field(default=16.0, ge=1, le=64)
    frozen_s: float = Field(default=60.0, ge=0, le=3600)

    @model_validator(mode="after")
    def _whole(self) -> GstreamerCamera:
        idle = {"number", "width", "height", "fps", "shutter_us", "gain"} & self.model_fields_set
        if self.pipeline is not None and idle:
            raise ValueError(
                f"the pipeline says it all: write {', '.join(sorted(idle))} into it, or leave pipeline out"
            )
        return self


Camera = ClipCamera | FolderCamera | RtspCamera | V4l2Camera | PiCamera | GstreamerCamera


class Models(_Strict):
    """Which networks run, and on how many threads. Without a path the models that ship with the package are used."""

    detector: FilePath | None = None
    ocr: FilePath | None = None
    provider: Literal["cpu"] = "cpu"
    threads: int = Field(default=1, ge=1, le=16)


class Watchlist(_Strict):
    """The list of plates to report: where it comes from, whom to believe, and what it may not exceed.

    ``source`` file: it lies on this unit's disk, for desks and small sites. ``source`` arm: the centre sends it at each
    boot, sealed to this boot; it is never on the disk.
    """

    source: Literal["file", "arm"] = "file"
    path: FilePath | None = None
    keys: list[FilePath] = Field(default=[], max_length=2)
    allow_unsigned: bool = False
    centre_keys: list[FilePath] = Field(default=[], max_length=2)
    identity: FilePath | None = None
    inbox: FilePath = Path("/run/edge-anpr/inbox")
    match: Literal["exact", "confusable", "near"] = "confusable"
    most_entries: int = Field(default=200_000, ge=0, le=200_000)
    passages_per_day: float = Field(default=5000.0, ge=1, le=1_000_000)
    false_hits_per_day: float = Field(default=1.0, ge=0, le=1000)
    most_hits_percent: float = Field(default=10.0, gt=0, le=100)

    @model_validator(mode="after")
    def _whole(self) -> Watchlist:
        if self.source == "file" and self.path is None:
            raise ValueError("needs path: where the list lies")
        if self.source == "arm" and (self.path is not None or self.allow_unsigned or not self.centre_keys):
            raise ValueError(
                "source arm takes no path and no allow_unsigned, and needs centre_keys: who may send lists"
            )
        if not self.keys and not self.allow_unsigned:
            raise ValueError("needs keys: the public key of who may sign lists (edge-anpr watchlist keygen)")
        return self


class Privacy(_Strict):
    """How long a keyed token of an unlisted plate may serve to count distinct passages."""

    epoch_minutes: int = Field(default=15, ge=1, le=60)


class Delivery(_Strict):
    """Where hits wait until they are delivered, what counts as that, and how much may wait, and for how long.

    ``until`` receipt: a hit is deleted on the control room's signed receipt, and none is lost. ``until`` puback: on the
    broker's acknowledgement, and what the broker loses is lost.
    """

    outbox: FilePath = Path("/var/lib/edge-anpr/outbox.db")
    seal_to: FilePath | None = None
    until: Literal["receipt", "puback"] = "puback"
    receipt_keys: list[FilePath] = Field(default=[], max_length=2)
    max_megabytes: int = Field(default=200, ge=1, le=100_000)
    max_days: float = Field(default=28.0, gt=0, le=3650)
    evidence: bool = True

    @model_validator(mode="after")
    def _whole(self) -> Delivery:
        if self.until == "receipt" and not self.receipt_keys:
            raise ValueError("until: receipt needs receipt_keys: whose receipts count (edge-anpr centre keygen)")
        if self.until == "puback" and self.receipt_keys:
            raise ValueError("receipt_keys serve until: receipt only; write until: receipt, or leave them out")
        return self


class Tls(_Strict):
    """Certificates towards the broker."""

    ca: FilePath
    certificate: FilePath | None = None
    key: FilePath | None = None

    @model_validator(mode="after")
    def _pair(self) -> Tls:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("needs both, certificate and key, or neither")
        return self


class Mqtt(_Strict):
    """The broker. Without a host, ``edge-anpr run`` starts an embedded one on this machine."""

    host: str | None = Field(default=None, min_length=1)
    port: int = Field(default=1883, ge=1, le=65535)
    username: str | None = None
    password_file: FilePath | None = None
    tls: Tls | None = None
    keepalive_s: int = Field(default=30, ge=2, le=3600)


class Health(_Strict):
    """How often the unit says how it is, and where Prometheus may ask."""

    interval_s: float = Field(default=30.0, ge=0.5, le=3600)
    metrics: Annotated[str, AfterValidator(_address)] | None = None


class Config(_Strict):
    """The whole file."""

    unit: Unit
    camera: Camera = Field(discriminator="source")
    models: Models = Models()
    watchlist: Watchlist
    privacy: Privacy = Privacy()
    delivery: Delivery = Delivery()
    mqtt: Mqtt = Mqtt()
    health: Health = Health()

    @property
    def topic(self) -> str:
        """``anpr/v1/<org>/<site>/<unit>``, without a slash at the end."""
        return f"anpr/v1/{self.unit.org}/{self.unit.site}/{self.unit.id}"


def load(path: Path) -> Config:
    """Read and check a unit's config; relative paths in it are taken from the file's own folder.

    Raises ConfigError with every mistake found.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(path, [Mistake(0, "", f"cannot be read: {error.strerror}; name the file with -c")]) from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(path, [Mistake(0, "", f"is {len(raw)} bytes long; a config has at most {MAX_BYTES}")])
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(path, [Mistake(line, "", "is not UTF-8 text here; save the file as UTF-8")]) from error
    root = _compose(path, text)
    mistakes: list[Mistake] = []
    value = _plain(root, "", mistakes)
    try:
        config = Config.model_validate(value)
    except ValidationError as error:
        mistakes += [_explain(root, dict(item)) for item in error.errors(include_url=False, include_input=False)]
        config = None
    if mistakes or config is None:
        raise ConfigError(path, sorted(mistakes, key=lambda mistake: (mistake.line, mistake.key)))
    return _rebase(config, path.resolve().parent)


def effective(config: Config) -> str:
    """The values in force as YAML, defaults filled in, without what is secret."""
    values = config.model_dump(mode="json")
    if isinstance(config.camera, RtspCamera):
        # A password may stand before the host or in the query, and may hold any character: only the scheme is shown.
        values["camera"]["url"] = config.camera.url.split("//")[0] + "//" + HIDDEN
    if isinstance(config.camera, GstreamerCamera):
        # What the pipeline says, or would say, is not repeated beside it.
        unused = {"number", "width", "height", "fps", "shutter_us", "gain"} if config.camera.pipeline else {"pipeline"}
        values["camera"] = {key: value for key, value in values["camera"].items() if key not in unused}
        if config.camera.pipeline:
            values["camera"]["pipeline"] = HIDDEN
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _compose(path: Path, text: str) -> yaml.Node:
    # Events come one by one from a parser that does not recurse: a bomb of aliases or of brackets is refused before
    # anything builds a tree from it.
    mistakes: list[Mistake] = []
    depth = documents = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            assert event.start_mark is not None
            line = event.start_mark.line + 1
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    mistakes.append(Mistake(line, "", "a second document starts here; a config is one document"))
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    raise ConfigError(path, [Mistake(line, "", f"is nested more than {MAX_DEPTH} deep")])
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                mistakes.append(Mistake(line, "", "anchors and aliases (& and *) are refused; write the value out"))
            elif getattr(event, "tag", None):
                mistakes.append(Mistake(line, "", "tags (!) are refused; write a plain value"))
        if mistakes:
            raise ConfigError(path, mistakes)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be parsed"
        raise ConfigError(path, [Mistake(mark.line + 1 if mark else 0, "", f"is not YAML: {problem}")]) from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(path, [Mistake(1, "", "holds no keys; start from config.example.yaml")])
    return root


def _plain(node: yaml.Node, key: str, mistakes: list[Mistake]) -> Any:
    if isinstance(node, yaml.MappingNode):
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            name = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
            path = f"{key}.{name}" if key else name
            if name in values:
                mistakes.append(
                    Mistake(key_node.start_mark.line + 1, path, "stands here a second time; keep one of the two")
                )
                continue
            values[name] = _plain(value_node, path, mistakes)
        return values
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, f"{key}[{index}]", mistakes) for index, item in enumerate(node.value)]
    quoted = isinstance(node, yaml.ScalarNode) and node.style is not None
    return str(node.value) if quoted else _scalar(str(node.value))


def _scalar(text: str) -> bool | int | float | str | None:
    if text in ("true", "false"):
        return text == "true"
    if text in ("", "null", "~"):
        return None
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", text):
        return int(text)
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,18}", text):
        return float(text)
    return text


_SOURCES = ("clip", "folder", "gstreamer", "picamera2", "rtsp", "v4l2")


def _explain(root: yaml.Node, error: dict[str, Any]) -> Mistake:
    node, line = root, 1
    path: list[str] = []
    for part in error["loc"]:
        child = None
        if isinstance(node, yaml.MappingNode):
            for key_node, value_node in node.value:
                if child is None and key_node.value == part:
                    child, line = value_node, key_node.start_mark.line + 1
        if child is None and part in _SOURCES:
            continue  # pydantic puts the chosen kind of camera into the path; it is no key of the file
        path.append(str(part))
        node = child if child is not None else node
    key = ".".join(path)
    return Mistake(line, key, _advice(error))


_ADVICE = {
    "missing": "is missing; write it",
    "bool_type": "takes true or false",
    "int_type": "takes a whole number, without quotes, like 15",
    "float_type": "takes a number, without quotes, like 0.5",
    "string_type": "takes text; put it between quotes",
    "union_tag_not_found": f"needs a key 'source': {', '.join(_SOURCES[:-1])} or {_SOURCES[-1]}",
    "union_tag_invalid": f"source is one of {', '.join(_SOURCES)}",
    "model_type": "takes keys below it, indented",
    "model_attributes_type": "takes keys below it, indented",
    "path_type": "takes a path",
    "is_instance_of": "takes a path",
}


_SECTIONS: dict[str, type[_Strict]] = {
    "": Config,
    "unit": Unit,
    "camera.clip": ClipCamera,
    "camera.folder": FolderCamera,
    "camera.gstreamer": GstreamerCamera,
    "camera.picamera2": PiCamera,
    "camera.rtsp": RtspCamera,
    "camera.v4l2": V4l2Camera,
    "models": Models,
    "watchlist": Watchlist,
    "privacy": Privacy,
    "delivery": Delivery,
    "mqtt": Mqtt,
    "mqtt.tls": Tls,
    "health": Health,
}


def _advice(error: dict[str, Any]) -> str:
    kind = str(error["type"])
    if kind == "extra_forbidden":
        *section, name = map(str, error["loc"])
        known = list(_SECTIONS[".".join(section)].model_fields)
        if near := difflib.get_close_matches(name, known, 1):
            return f"is unknown here; did you mean '{near[0]}'?"
        for other, model in _SECTIONS.items():
            if section[:1] == ["camera"] and other.startswith("camera.") and name in model.model_fields:
                return f"belongs to source: {other.removeprefix('camera.')}, and this is source: {section[1]}"
        return f"is unknown here; known: {', '.join(known)}"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "literal_error":
        return f"is one of {error['ctx']['expected']}"
    return _ADVICE.get(kind) or str(error["msg"]).replace("Input should be", "must be")


def _rebase(config: Config, folder: Path) -> Config:
    def absolute(model: BaseModel) -> BaseModel:
        changes: dict[str, Any] = {}
        for name in type(model).model_fields:
            value = getattr(model, name)
            if isinstance(value, Path):
                changes[name] = folder / value
            elif isinstance(value, list):
                changes[name] = [folder / item if isinstance(item, Path) else item for item in value]
            elif isinstance(value, BaseModel):
                changes[name] = absolute(value)
        return model.model_copy(update=changes)

    rebased = absolute(config)
    assert isinstance(rebased, Config)
    return rebased
