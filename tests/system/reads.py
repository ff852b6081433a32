"""Run by Debian's Python in a root: what the installed package reads, and the raw outputs of its networks.

reads.py GOLDEN.npz OUT.npz
"""

from __future__ import annotations

import sys

import cv2
import numpy as np

from edge_anpr.datatypes import PlateReading
from edge_anpr.plates.text import reveal
from edge_anpr.unit.pipeline import DETECTION_THRESHOLD
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.session import Network, shipped

given = np.load(sys.argv[1])
detector, ocr = (Network(shipped(name), name, decoder) for name, decoder in (("detector", "quad13-s8"), ("ocr", "ctc")))
reader = Reader(ocr)
finder = Detector(detector, DETECTION_THRESHOLD)


def text(reading: PlateReading) -> str:
    return reveal(reading.posteriors.argmax(axis=1).astype(np.uint8))


plates = [text(reader.read_rows([row])) for row in given["rows"]]
seen = [[text(one) for one in reader.read(frame, finder.find(frame, frame))] for frame in given["frames"]]
(logits,) = ocr.run(np.ascontiguousarray(given["rows"][:8, None]))
size = detector.card.width, detector.card.height
(heads,) = detector.run(np.stack([cv2.resize(frame, size) for frame in given["frames"][:1]])[:, None])
joined = np.array(["|".join(one) for one in seen])
np.savez(sys.argv[2], plates=np.array(plates), seen=joined, logits=logits, heads=heads)
