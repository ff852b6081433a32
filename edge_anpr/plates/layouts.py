"""How the countries of Europe write plates, as one table.

In a pattern ``X`` is a letter, ``9`` a digit, ``#`` a digit but 0, ``d`` a character of a district's (or year's) code,
``l`` a letter of a set of its own, a dash a gap, and any other character stands for itself. A family of patterns shares
``share``: how often, of a hundred passages on a road in the Netherlands, it is met, roughly: by registrations and
traffic, not by any set of pictures. ``vehicles`` are millions registered, rounded.

The layouts are a prior and no filter: a plate that fits none is read and matched as it is seen. So only what parts
look-alikes need be exact.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

from edge_anpr.plates import districts

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
# Of a layout's texts at most so many exist: some are kept back, and numbers of vehicles that are gone come back late.
MOST_OCCUPIED = 0.5
_SIDECODES = (
    "XX-99-99", "99-99-XX", "99-XX-99", "XX-99-XX", "XX-XX-99", "99-XX-XX", "99-XXX-9",
    "9-XXX-99", "XX-999-X", "X-999-XX", "XXX-99-X", "X-99-XXX", "9-XX-999", "999-XX-9",
)  # fmt: skip
# Series 1 to 3 are oldtimers by now, 7 to 14 are most of the road.
_SIDECODE_SHARES = (0.2, 0.2, 0.2, 0.6, 0.6, 1, 3, 3, 3, 3, 2, 2, 2, 2)


@dataclass(frozen=True, slots=True)
class Layout:
    """One way of writing plates. ``codes`` are those that may stand where the pattern says ``d``."""

    country: str
    name: str
    pattern: str
    share: float
    letters: str = LETTERS
    lead: str = LETTERS
    codes: tuple[str, ...] = ()

    @property
    def slots(self) -> list[str]:
        """The characters that may stand at each place."""
        sets = {"X": self.letters, "l": self.lead, "9": DIGITS, "#": DIGITS[1:]}
        places = ["".join(sorted(set(place))) for place in zip(*self.codes, strict=True)]
        return [places.pop(0) if slot == "d" else sets.get(slot, slot) for slot in self.pattern if slot != "-"]

    @property
    def ways(self) -> int:
        """How many texts fit."""
        places = [len(slot) for slot in self.slots]
        if self.codes:
            places[self.code_at : self.code_at + len(self.codes[0])] = [len(self.codes)]
        return math.prod(places)

    @property
    def code_at(self) -> int:
        """Where the code begins, in characters."""
        return self.pattern.replace("-", "").index("d")


@dataclass(frozen=True, slots=True)
class Country:
    """One country's layouts, where they are described, and how many million vehicles it has registered."""

    code: str
    source: str
    vehicles: float
    layouts: tuple[Layout, ...]

    @property
    def share(self) -> float:
        """How often its plates are met, of a hundred passages."""
        return sum(layout.share for layout in self.layouts)


@dataclass(frozen=True, slots=True)
class _Family:
    share: float
    patterns: str
    letters: str = LETTERS
    lead: str = LETTERS
    codes: str = ""

    def layouts(self, country: str) -> list[Layout]:
        patterns = self.patterns.split()
        share = self.share / len(patterns)
        found = []
        for pattern in patterns:
            codes = tuple(code for code in self.codes.split() if len(code) == pattern.count("d"))
            found.append(Layout(country, pattern, pattern, share, self.letters, self.lead, codes))
        return found


def _without(left_out: str) -> str:
    return "".join(letter for letter in LETTERS if letter not in left_out)


def _country(code: str, source: str, vehicles: float, *families: _Family) -> Country:
    layouts = [layout for family in families for layout in family.layouts(code)]
    return Country(code, source, vehicles, tuple(_spread(layouts, vehicles * 1e6)))


def _spread(layouts: list[Layout], vehicles: float) -> list[Layout]:
    """Shares such that no layout has more vehicles than texts to give them: short plates are few, however written."""
    total = sum(layout.share for layout in layouts)
    shares = [layout.share for layout in layouts]
    caps = [MOST_OCCUPIED * layout.ways / vehicles * total for layout in layouts]
    for _ in layouts:
        over = sum(max(share - cap, 0.0) for share, cap in zip(shares, caps, strict=True))
        room = sum(share for share, cap in zip(shares, caps, strict=True) if share < cap)
        if over < 1e-9 or not room:
            break
        shares = [cap if share >= cap else share * (1 + over / room) for share, cap in zip(shares, caps, strict=True)]
    return [replace(layout, share=share) for layout, share in zip(layouts, shares, strict=True)]


def _dutch() -> Country:
    # Since series 4 neither vowels nor C, Q and Y; before, any letter.
    letters = [LETTERS] * 3 + [_without("ACEIOQUY")] * 11
    layouts = tuple(
        Layout("NL", f"sidecode {number}", pattern, 45 * share / sum(_SIDECODE_SHARES), letters[number - 1])
        for number, (pattern, share) in enumerate(zip(_SIDECODES, _SIDECODE_SHARES, strict=True), 1)
    )
    return Country("NL", "RDW: Uitgifte van kentekens, sidecodes 1 to 14", 13, layouts)


# A district of one to three letters, one or two letters, a number up to 9999; eight characters at most.
_GERMAN = " ".join(
    "d" * district + "-" + "X" * letters + "#" + "9" * (digits - 1)
    for district, letters, digits in itertools.product((1, 2, 3), (1, 2), (1, 2, 3, 4))
    if district + letters + digits <= 8
)
# Electric vehicles and oldtimers, as long at most.
_GERMAN_MARKED = " ".join(pattern + mark for pattern in _GERMAN.split() for mark in "EH" if len(pattern) <= 8)
# Of digits alone: 03 and 04 for some days, 06 for dealers, 07 for collectors of oldtimers.
_GERMAN_NUMBERED = " ".join(
    "d" * district + "-" + kind + "9" * digits
    for district, kind, digits in itertools.product((1, 2, 3), ("03", "04", "06", "07"), (3, 4))
    if district + digits <= 6
)
# Plates as their owners wish: letters, then a number; three to five characters after a district of two letters.
_AUSTRIAN_WISHED = " ".join(
    "d" * district + "-" + "X" * letters + "#" + "9" * (digits - 1)
    for district, letters, digits in itertools.product((1, 2), (1, 2, 3, 4), (1, 2, 3, 4))
    if 3 <= letters + digits <= 7 - district
)
_BRITISH, _SIV, _SWEDISH = _without("IQ"), _without("IOU"), _without("IQV")

COUNTRIES: tuple[Country, ...] = (
    _dutch(),
    _country("DE", "FZV annex 1 and 2, § 41 to 43 (numbered); KBA: Unterscheidungszeichen; Y of the army", 69,
             _Family(16, _GERMAN, codes=districts.GERMAN), _Family(1, _GERMAN_MARKED, codes=districts.GERMAN),
             _Family(0.1, _GERMAN_NUMBERED, codes=districts.GERMAN), _Family(0.02, "Y-#99999")),
    _country("BE", "DIV (FOD Mobiliteit): series of 1973, 2008, 2010; 8 international; vehicle kinds by letter", 7.9,
             _Family(9, "1-XXX-999 2-XXX-999"), _Family(1, "999-XXX XXX-999 Q-XXX-999 O-XXX-999"),
             _Family(0.5, "8-XXX-999 G-XXX-999 M-XXX-999 S-XXX-999 T-XXX-999")),
    _country("LU", "SNCA: two letters, four digits since 2003", 0.55, _Family(1, "XX-9999")),
    _country("FR", "arrêté of 9 February 2009 (SIV: no I, O, U); FNI by department before", 47,
             _Family(4, "XX-999-XX", _SIV), _Family(0.4, "#999-XX-dd #99-XX-dd #99-XXX-dd #9-XXX-dd", _SIV,
                                                    codes=districts.FRENCH)),
    _country("IT", "D.M. 1993, targhe europee: no I, O, Q, U; motorcycles and trailers", 53,
             _Family(1.5, "XX-999-XX", _without("IOQU")), _Family(0.05, "XX-99999", _without("IOQU"))),
    _country("GB", "DVLA INF104: no I, Q; years since 2001; Northern Ireland with I or Z", 41,
             _Family(2, "XXdd-XXX", _BRITISH, codes=districts.BRITISH_AGES),
             _Family(0.4, "X#99-XXX X#9-XXX X#-XXX XXX-#99X XXX-#9X", _BRITISH),
             _Family(0.1, "XIX-#999 XXI-#999 XZX-#999 XXZ-#999", _without("Q"))),
    _country("ES", "DGT, Orden 1999: no vowels, Ñ, Q; provinces before; by a letter: trailers, tractors", 36,
             _Family(1.2, "9999-XXX", _without("AEIOUQ")),
             _Family(0.1, "R-9999-XXX E-9999-XXX C-9999-XXX H-9999-XXX", _without("AEIOUQ")),
             _Family(0.1, "d-9999-XX dd-9999-XX", codes=districts.SPANISH)),
    _country("PT", "IMT: series of 1937, 1992, 2005, 2020", 7, _Family(0.8, "99-99-XX 99-XX-99 XX-99-XX XX-99-99")),
    _country("PL", "ordinance on registration (Dz.U. 2022 poz. 1847): no B, D, I, O, Z in the second part, no Q", 27,
             _Family(2.5, "ll-99999 ll-9999X ll-999XX ll-9X999 ll-9XX99", _without("BDIOQZ"), _without("Q")),
             _Family(2, "lll-X999 lll-99XX lll-9X99 lll-99X9 lll-9XX9 lll-XX99 lll-99999 lll-9999X lll-999XX",
                     _without("BDIOQZ"), _without("Q")),
             _Family(0.05, "ll-9999 ll-999X ll-99X lll-9X", _without("BDIOQZ"), _without("Q"))),
    _country("CZ", "decree 343/2014: region in the second place; no G, O, Q, W", 8.7,
             _Family(0.9, "#d9-9999 #dX-9999", _without("GOQW"), codes=districts.CZECH),
             _Family(0.03, "EL-999-XX", _without("GOQW"))),
    _country("SK", "decree 9/2009: districts; any two letters since 2023", 3.6,
             _Family(0.4, "dd-999XX", _without("Q"), codes=districts.SLOVAK), _Family(0.1, "XX-999XX", _without("Q"))),
    _country("AT", "KFG annex and § 48a (wished); BMK: Bezirke; no Q", 7.4,
             _Family(0.9, "d-#999X d-#9999X d-#99XX d-#999XX dd-#99X dd-#999X dd-#9XX dd-#99XX dd-#XXX dd-#9XXX",
                     _without("Q"), codes=districts.AUSTRIAN),
             _Family(0.2, _AUSTRIAN_WISHED, _without("Q"), codes=districts.AUSTRIAN)),
    _country("CH", "VZV: canton and number", 6.4,
             _Family(0.6, "dd-#999 dd-#9999 dd-#99999 dd-#99 dd-#9", codes=districts.SWISS)),
    _country("LI", "as Switzerland", 0.04, _Family(0.02, "FL-#999 FL-#9999")),
    _country("DK", "Motorstyrelsen: no I, O, Q; trailers", 3.4,
             _Family(0.7, "XX-#9999", _without("IOQ")), _Family(0.05, "XX-#999", _without("IOQ"))),
    _country("SE", "Transportstyrelsen: no I, Q, V; no O at the end", 6.5,
             _Family(0.7, "XXX-999", _SWEDISH), _Family(0.2, "lll-99X", _SWEDISH.replace("O", ""), _SWEDISH)),
    _country("NO", "Statens vegvesen: no G, I, M, O, Q, W; motorcycles and trailers", 4.3,
             _Family(0.3, "XX-#9999", _without("GIMOQW")), _Family(0.02, "XX-#999", _without("GIMOQW"))),
    _country("FI", "Traficom", 5, _Family(0.3, "XXX-999 XX-999 XXX-99")),
    _country("HU", "326/2011 and 2022: AA AA-000", 5.2, _Family(0.6, "XXX-999 XX-XX-999")),
    _country("RO", "DRPCIV: county codes, Bucharest with two or three digits; no Q", 10.5,
             _Family(0.5, "dd-99-XXX", _without("Q"), codes=districts.ROMANIAN),
             _Family(0.3, "B-99-XXX B-#99-XXX", _without("Q"))),
    _country("BG", "Naredba I-45: letters that Latin and Cyrillic share; regions", 4,
             _Family(0.5, "dd-9999-XX d-9999-XX", "ABCEHKMOPTXY", codes=districts.BULGARIAN)),
    _country("GR", "letters that Latin and Greek share", 8, _Family(0.3, "XXX-#999", "ABEZHIKMNOPTYX")),
    _country("HR", "Pravilnik o registraciji: towns; no Q, W, X, Y", 2.4,
             _Family(0.3, "dd-999-XX dd-9999-XX dd-999-X dd-9999-X", _without("QWXY"), codes=districts.CROATIAN)),
    _country("SI", "Pravilnik o registraciji: regions", 1.7,
             _Family(0.3, "dd-XX-999 dd-99-XXX dd-999-XX dd-X9-999", codes=districts.SLOVENIAN)),
    _country("RS", "MUP", 2.9, _Family(0.2, "XX-999-XX XX-9999-XX")),
    _country("BA", "IDDEEA: letters that Latin and Cyrillic share", 1.3, _Family(0.1, "X99-X-999", "AEJKMOT")),
    _country("MK", "MVR", 0.6, _Family(0.1, "XX-9999-XX")),
    _country("AL", "DPSHTRR: no I, O", 0.8, _Family(0.1, "XX-999-XX", _without("IO"))),
    _country("LT", "Regitra: no Q, W, X; trailers and motorcycles", 2,
             _Family(0.6, "XXX-999", _without("QWX")), _Family(0.1, "XX-999 999-XX", _without("QWX"))),
    _country("LV", "CSDD: no Q, W, X, Y", 1.1, _Family(0.3, "XX-9999 XX-999", _without("QWXY"))),
    _country("EE", "Transpordiamet; trailers", 1.1, _Family(0.2, "999-XXX"), _Family(0.03, "999-XX")),
    _country("IE", "Revenue: year, county, number", 3,
             _Family(0.3, "99-d-#9999 99-d-#999 99-dd-#9999 99-dd-#999 999-d-#9999 999-d-#999 999-dd-#999 999-dd-#99",
                     codes=districts.IRISH)),
    _country("UA", "MVS: letters that Latin and Cyrillic share", 13, _Family(0.5, "XX-9999-XX", "ABCEHIKMOPTX")),
    _country("TR", "Karayolları: province 01 to 81", 31,
             _Family(0.3, "dd-XX-999 dd-XXX-99 dd-X-9999 dd-X-99999 dd-XX-9999 dd-XXX-999", _without("QWX"),
                     codes=districts.TURKISH)),
    _country("MD", "ASP", 1.1, _Family(0.1, "XXX-999")),
    _country("BY", "STB 914: letters that Latin and Cyrillic share; region; lorries begin with letters", 3.5,
             _Family(0.1, "9999-XX-9 XX-9999-9", "ABCEHIKMOPTX")),
    _country("RU", "GOST R 50577: letters that Latin and Cyrillic share; region", 60,
             _Family(0.1, "X999XX-99 X999XX-999 XX9999-99", "ABCEHKMOPTXY")),
    _country("ME", "MUP: towns", 0.25, _Family(0.05, "XX-XX-999")),
    _country("XK", "MPB: region, number, series", 0.4, _Family(0.1, "0#-999-XX")),
)  # fmt: skip
LAYOUTS: tuple[Layout, ...] = tuple(layout for country in COUNTRIES for layout in country.layouts)
