"""Characters of a rectified plate: a small network, and its CTC output as one distribution per character."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import Gray, PlateDetection, PlateReading, Posteriors
from edge_anpr.privacy.wipe import wipe
from edge_anpr.vision.rectify import rectify, row_counts
from edge_anpr.vision.session import Network

MOST_CROPS = 8


class Reader:
    """Reads plates; crops, model inputs and outputs live in buffers of its own that ``forget`` overwrites."""

    def __init__(self, network: Network) -> None:
        self._network = network
        card = network.card
        standard = card.fields["input"]["standardise"]
        self._std, self._min_std, self._mean = (float(standard[key]) for key in ("target_std", "min_std", "mean"))
        self._blank = int(card.fields["blank"])
        self._crops: NDArray[np.uint8] = np.zeros((MOST_CROPS, 1, card.height, card.width), np.uint8)

    def read(self, luma: Gray, detections: list[PlateDetection]) -> list[PlateReading]:
        """One reading per detection, from the full picture (height, width)."""
        work = [(index, rows) for index, detection in enumerate(detections) for rows in row_counts(detection)]
        best: dict[int, PlateReading] = {}
        for start in range(0, len(work), MOST_CROPS):
            batch = work[start : start + MOST_CROPS]
            for slot, (index, rows) in enumerate(batch):
                crop = self._crops[slot, 0]
                rectify(luma, detections[index].quad, rows, crop)
                self._standardise(crop)
            (logits,) = self._network.run(self._crops[: len(batch)])
            for slot, (index, rows) in enumerate(batch):
                reading = PlateReading(decode(logits[slot], self._blank), detections[index].width_px, rows)
                if index not in best:
                    best[index] = reading
                else:
                    worse, best[index] = sorted((best[index], reading), key=lambda item: item.confidence)
                    wipe(worse.posteriors)
            wipe(logits)
        return [best[index] for index in range(len(detections))]

    def read_crop(self, crop: Gray) -> PlateReading:
        """The reading of one crop that is already flat and of the network's size (height, width)."""
        self._crops[0, 0] = crop
        self._standardise(self._crops[0, 0])
        (logits,) = self._network.run(self._crops[:1])
        return PlateReading(decode(logits[0], self._blank), float(crop.shape[1]), 1)

    def forget(self) -> None:
        """Overwrite the crops, and what the runtime may keep of the last pass by a pass over nothing."""
        wipe(self._crops)
        self._network.run(self._crops[:1])

    def _standardise(self, crop: Gray) -> None:
        # The same as in training: (x − mean)·52/max(6, std) + 128. One table of 256 entries does it in one pass.
        deviation = max(self._min_std, float(crop.std()))
        table = (np.arange(256, dtype=np.float32) - float(crop.mean())) * (self._std / deviation) + self._mean
        np.take(np.clip(np.rint(table), 0, 255).astype(np.uint8), crop, out=crop, mode="clip")


def decode(logits: NDArray[np.float32], blank: int) -> Posteriors:
    """Best path of a CTC output (steps, classes): probabilities (characters, classes without the blank).

    A character's row is that of the step which is surest of it; what is missing to 1 is the chance that there is none.
    """
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    steps = shifted / shifted.sum(axis=1, keepdims=True)
    path = steps.argmax(axis=1)
    surest: list[int] = []
    for step, value in enumerate(path):
        if value == blank:
            continue
        if step and path[step - 1] == value:
            if steps[step, value] > steps[surest[-1], value]:
                surest[-1] = step
        else:
            surest.append(step)
    posteriors: Posteriors = np.delete(steps[surest], blank, axis=1)
    wipe(shifted, steps, path)
    return posteriors
