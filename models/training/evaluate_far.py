"""How many far plates the detector's whole view finds: rides that are held back, shrunk until their plates are small.

They have one plate that is 20 to 32 px wide in that view; the photos, which have more, are looked at larger by `read`.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from evaluate_detector import asked
from figures import Figures
from scenes import HEIGHT, PAD, WIDTH
from splits import Gray, held_back_photos

from edge_anpr.datatypes import Box
from edge_anpr.unit.pipeline import DETECTION_THRESHOLD
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.session import Network

WIDTHS_PX = (20, 23, 26, 29, 32)
#: What overlaps a label so much, of both together, has found it; where a plate is six pixels high one more decides.
OVERLAP = 0.5


def far(data: Path, network: Network, figures: Figures) -> None:
    """Fill the figures: one row for each width of the plate, and one for all."""
    detector = Detector(network, DETECTION_THRESHOLD)
    found = {wide: [0, 0] for wide in WIDTHS_PX}
    for photo in (photo for photos in held_back_photos(data).values() for photo in photos):
        if photo.source != "ro_dashcam":
            continue
        labels, wanted = asked(photo)
        for label in (labels[index] for index in sorted(wanted)):
            for wide in WIDTHS_PX:
                picture, truth = shrunk(photo.gray, label, wide / label.width)
                found[wide][0] += any(it.box.overlap(truth) >= OVERLAP for it in detector.find(picture, picture))
                found[wide][1] += 1
    what = "held-back rides, plates shrunk to {} px: found at score .3 by one pass"
    for wide, (right, of) in found.items():
        figures.counts.append((what.format(wide), right, of))
    figures.counts.append(
        (what.format("20 to 32"), sum(right for right, _ in found.values()), sum(of for _, of in found.values()))
    )


def shrunk(gray: Gray, label: Box, scale: float) -> tuple[Gray, Box]:
    """The picture around a plate, ``scale`` times as large, uint8 384×640; and where the plate is in it."""
    small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    x, y = (scale * place for place in label.centre)
    left = int(np.clip(x - WIDTH / 2, 0, max(small.shape[1] - WIDTH, 0)))
    top = int(np.clip(y - HEIGHT / 2, 0, max(small.shape[0] - HEIGHT, 0)))
    part = small[top : top + HEIGHT, left : left + WIDTH]
    picture = np.full((HEIGHT, WIDTH), PAD, np.uint8)
    picture[: part.shape[0], : part.shape[1]] = part
    return picture, Box(label.left * scale - left, label.top * scale - top, label.width * scale, label.height * scale)
