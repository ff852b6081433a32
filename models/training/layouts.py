"""What stands on a plate and how it is laid out: national patterns, letter sets, marks and colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
_NL = "BDFGHJKLNPRSTVXZ"  # no vowels, no C and Q; M and W stand on lorries and come in by the mix
_GREEK = "ABEZHIKMNOPTYX"
#: Letters with marks that stand on plates of Germany, Austria, Sweden and Finland, and of the countries between
#: Slovenia and Latvia; lists and registers write them without.
FOLDED = {"Ä": "A", "Ö": "O", "Ü": "U", "Š": "S", "Č": "C", "Ć": "C", "Ž": "Z", "Đ": "D"}
_MARKED = {"D": "ÄÖÜ", "A": "ÄÖÜ", "S": "ÄÖ", "FIN": "ÄÖ", "HR": "ŠČŽĆĐ", "SLO": "ŠČŽ", "SRB": "ŠČŽĆĐ", "BIH": "ŠČŽ"}
_SIV = "ABCDEFGHJKLMNPQRSTVWXYZ"  # France and Italy leave out I, O, U

Colour = tuple[int, int, int]  # blue, green, red


@dataclass(frozen=True, slots=True)
class Style:
    """How one kind of plate looks: ground and ink colour (BGR), letters on the EU band."""

    ground: Colour
    ink: Colour
    band: str = ""  # letters on the band, "" for no band


STYLES: dict[str, Style] = {
    "NL": Style((30, 190, 245), (20, 20, 20), "NL"),
    "NL-old": Style((40, 190, 240), (25, 25, 25)),
    "NL-blue": Style((150, 75, 15), (235, 235, 235)),
    "NL-taxi": Style((225, 175, 90), (30, 25, 20), "NL"),
    "NL-green": Style((95, 175, 60), (25, 25, 25), "NL"),
    "white": Style((232, 232, 230), (25, 22, 22)),
    "white-eu": Style((235, 235, 235), (22, 20, 20), "D"),
    "yellow": Style((40, 200, 245), (25, 20, 20)),
    "black": Style((25, 25, 25), (230, 232, 232)),
    "red-on-white": Style((235, 235, 235), (40, 30, 160), "B"),
    "white-on-red": Style((40, 35, 165), (235, 235, 235)),
    "green-on-white": Style((235, 238, 235), (60, 105, 25), "D"),
    "red-temp": Style((235, 235, 235), (45, 40, 190)),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """One national scheme: patterns of A (letter), 0 (digit) and the marks '-', ' ', '.', '*' (a seal)."""

    country: str
    weight: float
    patterns: tuple[str, ...]
    letters: str
    styles: tuple[str, ...]
    band: str


_EU = ("white-eu", "white-eu", "white-eu", "white")
LAYOUTS: tuple[Layout, ...] = (
    # sidecodes 1–3 are on old blue or yellow plates, 4–14 on today's
    Layout("NL", 1.2, ("AA-00-00", "00-00-AA", "00-AA-00"), LETTERS, ("NL-old", "NL-blue", "NL"), "NL"),
    Layout("NL", 2.5, ("AA-00-AA", "AA-AA-00", "00-AA-AA"), _NL + "MW", ("NL", "NL-old", "NL-taxi"), "NL"),
    Layout("NL", 6.0, ("00-AAA-0", "0-AAA-00", "AA-000-A", "A-000-AA"), _NL, ("NL", "NL", "NL", "NL-green"), "NL"),
    Layout("NL", 4.0, ("AAA-00-A", "A-00-AAA", "0-AA-000", "000-AA-0"), _NL, ("NL", "NL", "NL", "NL-taxi"), "NL"),
    Layout(
        "D",
        7.0,
        (
            "A*AA 000",
            "AA*AA 0000",
            "AAA*A 000",
            "A*AA 0000",
            "AA*A 000",
            "AAA*AA 00",
            "AA*AA 000",
            "AA*AA 00E",
            "AA*A 00H",
            "A*A 0000",
            "A*AA 00E",
        ),
        LETTERS,
        ("white-eu", "white-eu", "white-eu", "white-eu", "white", "green-on-white"),
        "D",
    ),
    Layout("B", 3.5, ("0-AAA-000", "AAA-000", "000-AAA", "0-AAA-000"), LETTERS, ("red-on-white",), "B"),
    Layout(
        "F",
        3.5,
        ("AA-000-AA", "AA-000-AA", "000 AAA 00", "0000 AA 00"),
        _SIV,
        ("white-eu", "white-eu", "yellow"),
        "F",
    ),
    Layout("I", 2.5, ("AA 000AA", "AA 000 AA", "AA*000AA"), _SIV, _EU, "I"),
    Layout(
        "GB",
        3.0,
        ("AA00 AAA", "AA00 AAA", "A000 AAA", "AAA 000A"),
        LETTERS,
        ("white", "yellow", "white-eu", "black"),
        "GB",
    ),
    Layout(
        "PL",
        3.0,
        ("AA 00000", "AA 0000A", "AAA 00000", "AAA 0A000", "AAA*A000", "AA*000AA"),
        LETTERS,
        _EU,
        "PL",
    ),
    Layout("CZ", 2.0, ("0A0 0000", "0A0*0000", "0AA 0000"), LETTERS, _EU, "CZ"),
    Layout("SK", 1.5, ("AA*000AA", "AA 000AA"), LETTERS, _EU, "SK"),
    Layout("A", 2.2, ("A*00000A", "AA*000AA", "AA*0000A", "AA 000 AA", "A*0000AA"), LETTERS, _EU, "A"),
    Layout("CH", 1.5, ("AA*000000", "*AA.00000*", "*AA 000 000*", "AA*0000", "*AA.000000*"), LETTERS, ("white",), ""),
    Layout("E", 2.2, ("0000 AAA", "0000 AAA", "AA-0000-AA", "A-0000-AA"), "BCDFGHJKLMNPRSTVWXYZ", _EU, "E"),
    Layout("P", 1.8, ("00-AA-00", "AA-00-00", "00-00-AA", "AA-00-AA", "AA 00 AA"), LETTERS, _EU, "P"),
    Layout("H", 1.8, ("AAA-000", "AAA*000", "AA AA-000", "AA*AA 000"), LETTERS, _EU, "H"),
    Layout("RO", 1.8, ("A 000 AAA", "AA 00 AAA", "A 00 AAA", "AA 000000"), LETTERS, _EU, "RO"),
    Layout("BG", 1.3, ("A 0000 AA", "AA 0000 AA", "AA*0000AA"), "ABCEHKMOPTXY", _EU, "BG"),
    Layout("GR", 1.3, ("AAA-0000", "AAA 0000"), _GREEK, _EU, "GR"),
    Layout("HR", 1.4, ("AA*000-AA", "AA*0000-AA", "AA 0000 AA", "AA*000-A"), LETTERS, _EU, "HR"),
    Layout("SLO", 1.2, ("AA*AA-000", "AA*00-AAA", "AA AA 000"), LETTERS, _EU, "SLO"),
    Layout("S", 1.5, ("AAA 000", "AAA 00A"), LETTERS, _EU, "S"),
    Layout("FIN", 1.3, ("AAA-000", "AA-000", "AAA-00"), LETTERS, _EU, "FIN"),
    Layout("N", 1.3, ("AA 00000", "AA 00000", "AA 0000"), LETTERS, _EU, "N"),
    Layout("DK", 1.3, ("AA 00 000", "AA 00000"), LETTERS, ("white-eu", "white", "yellow"), "DK"),
    Layout("LT", 1.0, ("AAA 000", "AAA*000", "AA 0000"), LETTERS, _EU, "LT"),
    Layout("LV", 1.0, ("AA-0000", "AA-000", "AA-00"), LETTERS, _EU, "LV"),
    Layout("EST", 1.0, ("000 AAA", "000AAA", "00 AAA"), LETTERS, _EU, "EST"),
    Layout("IRL", 1.2, ("00-A-00000", "000-A-0000", "00-AA-0000", "000-AA-000"), LETTERS, _EU, "IRL"),
    Layout("L", 1.0, ("AA 0000", "AA0000", "00000"), LETTERS, ("yellow", "yellow", "NL"), "L"),
    Layout("UA", 1.2, ("AA 0000 AA", "AA0000AA"), "ABCEHIKMOPTX", _EU, "UA"),
    Layout("TR", 1.0, ("00 AA 000", "00 AAA 00", "00 A 0000", "00 AA 0000"), LETTERS, _EU, "TR"),
    Layout("SRB", 1.0, ("AA*000-AA", "AA*0000-AA", "AA 000 AA"), LETTERS, _EU, "SRB"),
    Layout("BIH", 0.8, ("A00-A-000", "000-A-000"), "AEJKMOT", _EU, "BIH"),
    Layout("AL", 0.6, ("AA 000 AA", "AA*000AA"), LETTERS, _EU, "AL"),
    Layout("NMK", 0.6, ("AA*0000-AA", "AA 000 AA"), LETTERS, _EU, "MK"),
    Layout("MNE", 0.5, ("AA*AA000", "AA AA 000"), LETTERS, _EU, "MNE"),
    Layout("MD", 0.5, ("AAA 000", "A AA 000"), LETTERS, _EU, "MD"),
    Layout("M", 0.5, ("AAA 000", "AAA*000"), LETTERS, _EU, "M"),
    Layout("CY", 0.5, ("AAA 000",), LETTERS, _EU, "CY"),
    Layout("IS", 0.5, ("AA 000", "AA*A00", "AA A00"), LETTERS, ("white",), ""),
)
_CUMULATIVE = np.cumsum([layout.weight for layout in LAYOUTS]) / sum(layout.weight for layout in LAYOUTS)
_LENGTHS = np.array((2, 3, 4, 5, 6, 7, 8, 9, 10))
_LENGTH_CUMULATIVE = np.cumsum((1, 2, 6, 12, 22, 28, 17, 8, 4)) / 100
_RANDOM_STYLES = (
    "white",
    "white-eu",
    "yellow",
    "NL",
    "black",
    "red-on-white",
    "green-on-white",
    "NL-blue",
    "red-temp",
    "white-on-red",
)


def _fill(pattern: str, letters: str, rng: np.random.Generator) -> str:
    picks = rng.random(len(pattern))
    out = []
    for char, pick in zip(pattern, picks, strict=True):
        source = letters if char == "A" else DIGITS if char == "0" else ""
        out.append(source[int(pick * len(source))] if source else char)
    return "".join(out)


def national(rng: np.random.Generator) -> tuple[str, str, str]:
    """Return (text with marks, style name, band letters) of a made-up plate in a national layout."""
    layout = LAYOUTS[int(np.searchsorted(_CUMULATIVE, rng.random()))]
    pattern = layout.patterns[int(rng.random() * len(layout.patterns))]
    letters = layout.letters if rng.random() < 0.8 else LETTERS
    if layout.country in _MARKED and rng.random() < 0.25:
        letters += _MARKED[layout.country] * 3
    return _fill(pattern, letters, rng), layout.styles[int(rng.random() * len(layout.styles))], layout.band


def arbitrary(rng: np.random.Generator) -> tuple[str, str, str]:
    """Return (text with marks, style name, band letters) without any layout, so that none is learnt."""
    length = int(_LENGTHS[int(np.searchsorted(_LENGTH_CUMULATIVE, rng.random()))])
    share = rng.random()  # some are nearly all letters, some nearly all digits
    text = "".join(
        LETTERS[int(pick * 26)] if kind < share else DIGITS[int(pick * 10)] for kind, pick in rng.random((length, 2))
    )
    marks = " - *." if rng.random() < 0.5 else " "
    for _ in range(int(rng.random() * 3)):
        at = 1 + int(rng.random() * (len(text) - 1))
        if text[at - 1].isalnum() and text[at].isalnum():
            text = text[:at] + marks[int(rng.random() * len(marks))] + text[at:]
    if rng.random() < 0.06:
        text = "*" + text if rng.random() < 0.5 else text + "*"
    style = _RANDOM_STYLES[int(rng.random() ** 1.5 * len(_RANDOM_STYLES))]
    band = LAYOUTS[int(rng.random() * len(LAYOUTS))].band if rng.random() < 0.6 else ""
    return text, style, band


def two_rows(text: str, rng: np.random.Generator) -> tuple[str, str]:
    """Split a text with marks into the two rows of a square plate, at a mark where there is one."""
    text = text.strip("*")
    marks = [i for i, c in enumerate(text) if not c.isalnum()]
    if marks and rng.random() < 0.85:
        at = marks[int(rng.random() * len(marks))] if rng.random() < 0.6 else marks[0]
        return _sealed(text[:at], rng), text[at + 1 :] if rng.random() < 0.93 else f"*{text[at + 1 :]}"
    third = max(1, len(text) // 3)
    at = third + int(rng.random() * (len(text) - 2 * third + 1))
    return _sealed(text[:at].rstrip("-. "), rng), text[at:].lstrip("-. *")


def _sealed(row: str, rng: np.random.Generator) -> str:
    """Put seals and arms about an upper row: behind it in Germany and Austria, on both sides in Switzerland."""
    pick = rng.random()
    if pick < 0.3 or len(row) > 5:
        return row
    return f"*{row}*" if pick < 0.45 else f"{row}*" if pick < 0.88 else f"*{row}"
