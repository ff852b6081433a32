"""What the unit is shown: a busy road that becomes quiet, and a recording that breaks off in the middle of traffic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from proof_clip import FPS, Passage, Road, never_issued

from edge_anpr.plates.text import encode
from edge_anpr.privacy.tokens import keyed
from tests.privacy import forms
from tests.privacy.sabotage import known_key
from tests.privacy.scan import Needle, Needles
from tests.privacy.trial import SETTLED_S, Look

OLD_KEYS = 2  # of so many epochs key and tokens are looked for, when there have been at least two more
SUFFIX = {"MJPG": ".avi", "mp4v": ".mp4"}


@dataclass(frozen=True, slots=True)
class Scene:
    """A clip, its passages and what was read of them, the plate that is listed, and when to look for what."""

    clip: Path
    passages: list[Passage] = field(repr=False)
    read: int
    listed: list[str] = field(repr=False)
    looks: list[Look]
    pace: str
    needles: list[Needle] = field(repr=False)


def road(folder: Path, seed: int, singles: int, abreast: int, after: int, codec: str = "MJPG") -> Scene:
    """Vehicles one by one, then three abreast; others after them, while the first are looked for; then nobody.

    The second vehicle is listed, and nothing of it is looked for.
    """
    clip = folder / f"road-{seed}-{codec}{SUFFIX[codec]}"
    plates = never_issued(singles + abreast + after, seed)
    film = Road(clip, seed, codec)
    film.empty(15)
    first = film.traffic(plates[:singles])
    first += film.traffic(plates[singles : singles + abreast], 3)
    passages = first + film.traffic(plates[singles + abreast :])
    film.empty(round((SETTLED_S + 1.5) * FPS))
    film.close()
    recorded = forms.record(clip, passages)
    needles = [needle for needle in recorded.needles if needle.plate != 1]
    busy = Needles(needle for needle in needles if needle.plate < len(first))
    quiet = Needles([*needles, *_of_old_keys(passages)])
    looks = [Look("busy road", first[-1].last, busy), Look("quiet road", passages[-1].last, quiet)]
    return Scene(clip, passages, _count(recorded.read), [passages[1].plate], looks, "live", needles)


def stop(folder: Path, seed: int, vehicles: int, codec: str = "MJPG") -> Scene:
    """Vehicles three abreast, and the recording ends, as a camera that is cut off, while the last are in view.

    It is read as fast as it goes, so that no frame is passed over and every run leaves the same behind.
    """
    clip = folder / f"stop-{seed}-{codec}{SUFFIX[codec]}"
    film = Road(clip, seed, codec)
    film.empty(15)
    passages = film.traffic(never_issued(vehicles, seed), 3, stop=True)
    film.close()
    recorded = forms.record(clip, passages)
    looks = [Look("recording broken off", None, Needles(recorded.needles))]
    return Scene(clip, passages, _count(recorded.read), [], looks, "fast", recorded.needles)


def _count(read: Iterable[str | None]) -> int:
    return sum(one is not None for one in read)


def _of_old_keys(passages: Iterable[Passage]) -> Iterable[Needle]:
    """Keys of epochs that are over, and every plate's token under them."""
    key = bytearray(32)
    for number in range(OLD_KEYS):
        known_key(key, number)
        yield Needle("old key", 0, bytes(key))
        for plate, passage in enumerate(passages):
            token = keyed(encode(passage.plate), bytearray(key), 8)
            yield Needle("token of an old key", plate, token)
