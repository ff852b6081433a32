"""The way of a frame: detect → track → rectify → ocr → fuse, the same for the daemon and for recorded material."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import Corners, Frame, Gray, PlateDetection, PlateRead, PlateReading, Track
from edge_anpr.errors import Unusable
from edge_anpr.plates.syntax import as_seen, fits
from edge_anpr.plates.text import ALPHABET, LONGEST
from edge_anpr.privacy.wipe import scrub, wipe
from edge_anpr.vision import golden
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.fuse import MOST_READINGS, Passage
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.rectify import FILLED_MARGINS, MARGINS
from edge_anpr.vision.track import Tracker
from edge_anpr.vision.views import Gaze, parts

DETECTION_THRESHOLD = 0.3
MAX_GAP_NS = 1_000_000_000
LEAST_CHARACTERS = 4
LEAST_AGREE = 2
# How sure a passage must be to be called a plate: the detector's best score times the geometric mean of the characters'
# confidences. Lettering, badges and phone numbers are found and read as surely as plates, but they are seldom written
# like one. Counted on the training photos without the dashcam set, where one plate in three has no label, one reading
# each: of what fits a layout 589 of 626 plates pass, and no other thing; of other texts with letters and digits 142 of
# 177, and none. Words and bare numbers are on every shop, and hardly on a plate in Europe.
LEAST_EVIDENCE_LAYOUT, LEAST_EVIDENCE_MIXED, LEAST_EVIDENCE_WORD = 0.45, 0.60, 0.85
# Where all that parts a text from a word is an O or an I that may be a 0 or a 1, and it fits a layout so: there 15 of
# 56 plates pass, most others fail for want of a sure reading, and of 43 other things none.
LEAST_EVIDENCE_EITHER = 0.66
# A character less sure than this says neither that it is a letter nor that it is a digit: makers' names and shop signs
# are read with a 5 for an S or an 8 for a B. Counted on the training photos and 2,500 plate-free parts of them, one
# reading each: 4 other things pass for 13 without it, and 531 plates for 533, of 557 whose text is known.
SURE_KIND = 0.9
# Of a still picture one reading is all there is, and one that is likelier wrong than right is not told. Badges are read
# so. (Of five on the training photos between .4 and this that passed the rest and whose text is known, two were right.)
LEAST_STILL_PROBABILITY = 0.5
# Four or five characters fit a layout by chance.
SHORT = 5
# A still picture is nothing but a plate when one covers so much of its width and of its height. The detector knows
# plates on vehicles, and here its corners are up to a tenth too far inside; but the picture's own are right for a plate
# that lies straight only. So both are read, and all the readings fused: of 936 plates cut out of the training photos by
# upright boxes 839 are read so, 838 by the detector's corners alone, 750 by the picture's. Who cuts such a picture out
# has seen a plate, so three fifths of what the score lacks (of its logarithm) are made up for: of half of those plates,
# 461, 423 are told rightly and 7 wrongly, by the score as it is 417 and 7.
FILLS, FILLING_LACKS = 0.7, 0.4
# A character less sure than this is a guess, and the rest does not make up for it.
LEAST_CHARACTER = 0.3
# A lamp or a grille gives another string in each frame; a plate, seen from afar and then near, gives mostly one.
LEAST_AGREE_SHARE = 0.12
_IS_CLEAR = np.array([character not in "0O1I" for character in ALPHABET])
# A box that ends within so many of the detector's pixels of the border may be a part of a longer plate. Other frames of
# a passage show all of it; a still picture does not, and there such plates are whole: 14 of 557 on the training photos.
TOUCHES_PX = 1.5
# A passage that is decided is read again when it is seen so much larger, and after so many seconds, in case another
# vehicle has taken its place; at once when it was.
LARGER, READ_AGAIN_S = 1.25, 0.8
# A hit has consequences, so there one doubtful character is enough to doubt it.
LEAST_HIT_CONFIDENCE = 0.5


class Misread(Unusable):
    """A golden plate was misread: what this unit would read on the road is not to be believed."""


class Material(Enum):
    """What frames come from, and so how long may be looked at one.

    A live unit sees one part of the far road a frame, recordings are seen whole, and a still picture, which is all
    there is, beyond its own pixels and in several cuts.
    """

    LIVE, RECORDED, STILL = range(3)


@dataclass(frozen=True, slots=True)
class Sighting:
    """One plate in one frame. It has no ``reading`` when that would have told nothing new of a passage."""

    track: Track
    detection: PlateDetection
    reading: PlateReading | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What one frame gave: its plates, the passages that ended before it, and the milliseconds each part took."""

    sightings: list[Sighting]
    ended: list[Track]
    detect_ms: float
    ocr_ms: float
    total_ms: float


@dataclass(slots=True)
class Pipeline:
    """Detector, reader, tracker, and the readings of each passage that is under way."""

    detector: Detector
    reader: Reader
    material: Material = Material.LIVE
    tracker: Tracker = field(default_factory=lambda: Tracker(MAX_GAP_NS))
    passages: dict[int, Passage] = field(default_factory=dict)
    gaze: Gaze = field(default_factory=Gaze)
    _read_at: dict[int, Track] = field(default_factory=dict)
    _denied: set[int] = field(default_factory=set)
    _voiceless: list[PlateReading] = field(default_factory=list)

    def prove(self) -> None:
        """Read the golden plates, which is also the first pass of each network. Raises Misread when one is misread."""
        wrong = golden.complaints(golden.load(), self.detector.of_whole_pictures(), self.reader)
        if wrong:
            raise Misread(
                f"the networks do not read here what they read elsewhere: {'; '.join(wrong)}. Their files are whole: "
                "it is this machine's ONNX Runtime, its processor, or models.provider; run `edge-anpr self-test`"
            )

    def see(self, frame: Frame, moving: Gray | None = None) -> Seen:
        """Take one frame. Ended tracks keep their passage until ``forget``, so that the caller can fuse and decide.

        ``moving``: where something moves, for a live unit to look at the far road there; see ``Gaze``.
        """
        begin = time.perf_counter()
        self._wipe_voiceless()
        height, width = frame.luma.shape
        view = self.detector.whole_view(width, height)
        far = parts(view, deep=self.material is Material.STILL)
        if self.material is Material.LIVE:
            far = self.gaze.choose(far, self.tracker.under_way, moving)
        detections = self.detector.find(frame.lores, frame.luma, far)
        filling = None
        if self.material is Material.STILL:
            filling = _filling(detections, width, height)
        else:
            near = TOUCHES_PX / view.scale
            detections = [replace(it, is_cut=True) if it.box.margin(width, height) < near else it for it in detections]
        if filling is not None:
            detections = [replace(filling, is_cut=False, score=filling.score**FILLING_LACKS)]
        detected = time.perf_counter()
        tracks, ended = self.tracker.update(detections, frame.index, frame.captured_ns)
        reading = time.perf_counter()
        wanted = [index for index, track in enumerate(tracks) if self._is_worth_reading(track)]
        # In turn, and so that all have their turn too where every second or third frame is looked at.
        turn = (frame.index + frame.index // len(MARGINS)) % len(MARGINS)
        margins = MARGINS if self.material is Material.STILL else (MARGINS[turn],)
        chosen = [detections[index] for index in wanted]
        cuts = [self.reader.read(frame.luma, chosen, margin) for margin in margins] if chosen else []
        if filling is not None:
            whole = [replace(filling, quad=_corners(width, height))]
            cuts += [self.reader.read(frame.luma, whole, margin) for margin in FILLED_MARGINS]
        read = time.perf_counter()
        sightings = [Sighting(track, plate, None) for track, plate in zip(tracks, detections, strict=True)]
        for index, *plates in zip(wanted, *cuts, strict=True):
            here, detection, plate = tracks[index], detections[index], max(plates, key=lambda item: item.confidence)
            if not detection.is_cut and self._is_another(here, plate):
                ended.append(here)
                here = self.tracker.renew(here)
            passage = self.passages.setdefault(here.number, Passage())
            if detection.is_cut:  # half a plate has no voice
                self._voiceless += plates
            else:
                passage.add(*plates)
                passage.surroundings.look(frame.luma, detection.box)
                self._read_at[here.number] = here
            sightings[index] = Sighting(here, detection, plate)
        end = time.perf_counter()
        return Seen(sightings, ended, (detected - begin) * 1e3, (read - reading) * 1e3, (end - begin) * 1e3)

    def _is_worth_reading(self, track: Track) -> bool:
        """Whether a reading can tell more of this passage; recordings and stills are read whatever it costs."""
        if self.material is not Material.LIVE:
            return True
        if track.detection.is_cut:  # what is read of half a plate has no voice
            return False
        passage = self.passages.get(track.number)
        if passage is None or not passage.decided or track.number in self._denied:
            return True
        last = self._read_at[track.number]
        return (
            track.detection.width_px > LARGER * last.detection.width_px
            or track.last_ns - last.last_ns >= READ_AGAIN_S * 1e9
        )

    def _is_another(self, track: Track, plate: PlateReading) -> bool:
        """Whether another vehicle has taken this one's place, in a queue or behind a gap in the picture.

        Two sure readings in a row that say quite another plate; one alone is a smear, and has little weight.
        """
        passage = self.passages.get(track.number)
        if passage is None or not passage.contradicts(plate):
            self._denied.discard(track.number)
            return False
        if track.number in self._denied:
            self._denied.discard(track.number)
            return True
        self._denied.add(track.number)
        return False

    def clean(self) -> None:
        """Overwrite what the networks' buffers, and readings that no passage took, still show of the last frames."""
        self.tidy()
        self.detector.forget()

    def tidy(self) -> None:
        """Overwrite what a passage that has ended left behind, while others may be under way.

        The detector's input is not among it: the next frame of a camera that is there overwrites it anyway.
        """
        self._wipe_voiceless()
        self.reader.forget()
        scrub()

    def _wipe_voiceless(self) -> None:
        for reading in self._voiceless:
            wipe(reading.posteriors)
        self._voiceless.clear()

    def fuse(self, track: Track) -> PlateRead | None:
        """What the passage of this track says so far."""
        passage = self.passages.get(track.number)
        return passage.fuse() if passage else None

    def forget(self, track: Track) -> None:
        """Overwrite the passage of a track that has ended."""
        self._denied.discard(track.number)
        self._read_at.pop(track.number, None)
        passage = self.passages.pop(track.number, None)
        if passage:
            passage.forget()


def _filling(detections: list[PlateDetection], width: int, height: int) -> PlateDetection | None:
    """The plate that is all there is in a picture of this size: the surest, or it would hide that one."""
    surest = max(detections, key=lambda it: it.score, default=None)
    if surest is None or surest.box.width < FILLS * width or surest.box.height < FILLS * height:
        return None
    return surest


def _corners(width: int, height: int) -> Corners:
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)


def is_plate(read: PlateRead, track: Track, *, still: bool = False) -> bool:
    """Whether the evidence is enough to call it a plate; of a still picture one reading has to do."""
    if read.is_caption:
        return False
    # What is longer than a list may name is a panel, with a telephone number and a word.
    if not LEAST_CHARACTERS <= len(read.classes) <= LONGEST or read.confidence < LEAST_CHARACTER:
        return False
    if still and read.probability < LEAST_STILL_PROBABILITY:
        return False
    if not still and read.agree < max(LEAST_AGREE, LEAST_AGREE_SHARE * min(read.frames, MOST_READINGS)):
        return False
    # What layouts have made likelier is no evidence that it is a plate.
    seen = as_seen(read.posteriors, read.classes)
    # Of so few numbers Python's own arithmetic is a tenth of numpy's time.
    certainty: float = math.prod(seen.tolist()) ** (1 / len(seen))
    evidence = track.best_score * certainty
    return evidence >= LEAST_EVIDENCE_WORD or evidence >= _asked(read.classes, seen)


def _asked(classes: NDArray[np.uint8], seen: NDArray[np.float32]) -> float:
    is_written_so = len(classes) > SHORT and fits(classes)
    clear = (seen >= SURE_KIND) & _IS_CLEAR[classes]
    digits = np.count_nonzero(clear & (classes < 10))
    if not 0 < digits < np.count_nonzero(clear):
        return LEAST_EVIDENCE_EITHER if is_written_so else LEAST_EVIDENCE_WORD
    return LEAST_EVIDENCE_LAYOUT if is_written_so else LEAST_EVIDENCE_MIXED
