"""How likely a plate met on the road says a given text: the layouts as arrays.

A country's passages spread evenly over its layouts' texts: which of them exist nobody here knows. ``likelihood`` is
therefore what is expected of a text of which nothing is known; a plate that is surely registered is met more often,
see ``passing``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_anpr.plates.layouts import COUNTRIES, LAYOUTS, Layout
from edge_anpr.plates.text import ALPHABET, encode

# The share of plates that fit no layout (personal, diplomatic, military, from elsewhere): small enough that a layout
# decides where O and 0 are one drawing, large enough that a clear picture of an unusual plate stands.
ELSE = 0.03
_ELSE_VEHICLES = 1e7
_CHARACTERS = len(ALPHABET)
_TOTAL = sum(layout.share for layout in LAYOUTS)
# Plates that fit no layout are as long as others.
_OF_LENGTH: dict[int, float] = {}
for _layout in LAYOUTS:
    _OF_LENGTH[len(_layout.slots)] = _OF_LENGTH.get(len(_layout.slots), 0.0) + _layout.share / _TOTAL
_ODD_LENGTH = 0.001
# A country's share of all passages over its vehicles: how often one of them is the next to pass.
_PASSING = {country.code: (1 - ELSE) * country.share / _TOTAL / (country.vehicles * 1e6) for country in COUNTRIES}


class Codes:
    """Codes of one length: which there are, bool (36, …), and their classes (codes, characters)."""

    def __init__(self, codes: tuple[str, ...]) -> None:
        self.classes: NDArray[np.uint8] = np.stack([encode(code) for code in codes])
        self.valid = np.zeros((_CHARACTERS,) * self.classes.shape[1], np.bool_)
        self.valid[tuple(self.classes.T)] = True


class Table:
    """The layouts of one length. ``masks``: what may stand where, bool (characters, 36, layouts).

    ``each``: likelihood of each text that fits, float (layouts,). ``coded``: the layouts with a code, where it begins,
    and the codes; of those ``masks`` tells each place by itself only.
    """

    def __init__(self, layouts: list[Layout]) -> None:
        places = sorted({(layout.code_at, layout.codes) for layout in layouts if layout.codes})
        # Layouts with the same codes at the same place stand beside each other, so that a slice names them.
        layouts = sorted(
            layouts, key=lambda layout: places.index((layout.code_at, layout.codes)) + 1 if layout.codes else 0
        )
        self.layouts = layouts
        names = sorted({layout.country for layout in layouts})
        self._country = np.array([names.index(layout.country) for layout in layouts])
        masks = np.array([[[c in slot for c in ALPHABET] for slot in layout.slots] for layout in layouts])
        self.masks: NDArray[np.bool_] = np.ascontiguousarray(masks.transpose(1, 2, 0))
        self.coded: list[tuple[slice, int, Codes]] = []
        for start, codes in places:
            own = [n for n, layout in enumerate(layouts) if layout.codes == codes and layout.code_at == start]
            self.coded.append((slice(own[0], own[-1] + 1), start, Codes(codes)))
        self._coded_from = self.coded[0][0].start if self.coded else len(layouts)
        self._group = np.repeat(np.arange(len(self.coded)), [own.stop - own.start for own, _, _ in self.coded])
        ways = self._ways(np.ones((len(masks[0]), _CHARACTERS)))
        self.each = np.array([layout.share for layout in layouts]) / _TOTAL / ways

    def fits(self, texts: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which layouts texts of this length fit: classes (texts, characters) to bool (texts, layouts)."""
        found = np.asarray(self.masks[np.arange(texts.shape[1]), texts].all(axis=1), np.bool_)
        candidates = np.flatnonzero(found[:, self._coded_from :].any(axis=0))
        if len(candidates):
            for group in set(self._group[candidates].tolist()):
                own, start, codes = self.coded[group]
                code = tuple(texts[:, start + place] for place in range(codes.valid.ndim))
                found[:, own] &= codes.valid[code][:, None]
        return found

    def likeliest(self, classes: NDArray[np.uint8]) -> tuple[Layout, float] | None:
        """The likeliest layout of a text, and of plates that say this the share that are of its country."""
        shares = self.each * self.fits(classes[None])[0]
        best = int(shares.argmax())
        if not shares[best]:
            return None
        of_country = (1 - ELSE) * float(shares[self._country == self._country[best]].sum())
        return self.layouts[best], of_country / (_anything(len(classes)) + (1 - ELSE) * float(shares.sum()))

    def likelihoods(self, texts: NDArray[np.uint8]) -> NDArray[np.float64]:
        """How likely each text (texts, characters) is to be met."""
        return np.asarray(_anything(texts.shape[1]) + (1 - ELSE) * (self.fits(texts) @ self.each), np.float64)

    def all_together(self, weights: NDArray[np.float64]) -> float:
        """The likelihoods of all texts, each times the product of its characters' ``weights`` (characters, 36)."""
        return float((1 - ELSE) * (self._ways(weights) @ self.each))

    def _ways(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weighted number of texts that fit each layout (layouts,)."""
        places = (self.masks * weights[:, :, None]).sum(axis=1)
        for own, start, codes in self.coded:
            length = codes.valid.ndim
            places[start : start + length, own] = 1.0
            places[start, own] = weights[np.arange(start, start + length), codes.classes].prod(axis=1).sum()
        return np.asarray(places.prod(axis=0), np.float64)


TABLES: dict[int, Table] = {
    length: Table([layout for layout in LAYOUTS if len(layout.slots) == length])
    for length in {len(layout.slots) for layout in LAYOUTS}
}


def _anything(length: int) -> float:
    return ELSE * _OF_LENGTH.get(length, _ODD_LENGTH) / float(_CHARACTERS) ** length


def likelihoods(texts: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How likely a plate met on the road says just this, as far as layouts tell: (texts, characters) to (texts,)."""
    table = TABLES.get(texts.shape[1])
    return table.likelihoods(texts) if table else np.full(len(texts), _anything(texts.shape[1]))


def any_fits(texts: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which texts any layout fits: (texts, characters) to (texts,)."""
    table = TABLES.get(texts.shape[1])
    return np.asarray(table.fits(texts).any(axis=1) if table else np.zeros(len(texts)), np.bool_)


def all_together(weights: NDArray[np.float64]) -> float:
    """The likelihoods of all texts of a length, each times its characters' ``weights``, float (characters, 36)."""
    table = TABLES.get(len(weights))
    anything = _anything(len(weights)) * float(weights.sum(axis=1).prod())
    return anything + table.all_together(weights) if table else anything


def passing(country: str) -> float:
    """How likely the next plate to pass is one given vehicle that this country has registered."""
    return _PASSING.get(country, ELSE / _ELSE_VEHICLES)
