"""How the countries of Europe write plates, as one table.

In a pattern ``X`` is a letter, ``9`` a digit, a dash a gap, and any other character stands for itself. ``letters`` are
those in use, ``district`` those of the first group where it has a set of its own. ``share`` is how often the layout is
met on a road in the Netherlands, roughly: by registrations and traffic, not by any set of pictures.

Sources: the registration authorities' own descriptions. RDW (Dutch sidecodes 1 to 14: since series 4 neither vowels
nor C and Q), KBA and FZV (Germany), DIV (Belgium), SNCA (Luxembourg), SIV (France; Italy writes alike), DVLA (Great
Britain), DGT (Spain), Poland's ordinance on registration (no B, D, I, O, Z in the second part), Denmark (no I, O, Q),
Norway (no G, I, M, O, Q, W), Sweden (no I, Q, V; no O at the end), Croatia (no Q, W, X, Y), Bulgaria, Greece and
Ukraine (letters that Latin and their own script share). Only what parts look-alikes need be exact: a plate that fits
none is read as it is seen.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DUTCH = "BDFGHJKLMNPRSTVWXZ"
_SIV = "ABCDEFGHJKLMNPQRSTVWXYZ"
_BRITISH = "ABCDEFGHJKLMNOPRSTUVWXYZ"
_POLISH, _VOIVODESHIPS = "ACEFGHJKLMNPRSTUVWXY", "ABCDEFGHIJKLMNOPRSTUVWXYZ"
_SWEDISH = "ABCDEFGHJKLMNOPRSTUWXYZ"
_CROATIAN = "ABCDEFGHIJKLMNOPRSTUVZ"
_GREEK = "ABEZHIKMNOPTYX"


@dataclass(frozen=True, slots=True)
class Layout:
    """One way of writing plates."""

    country: str
    name: str
    pattern: str
    letters: str = LETTERS
    district: str | None = None
    share: float = 1.0

    @property
    def slots(self) -> list[str]:
        """The characters that may stand at each place."""
        found = []
        for number, group in enumerate(self.pattern.split("-")):
            letters = self.district if number == 0 and self.district else self.letters
            found += [letters if slot == "X" else "0123456789" if slot == "9" else slot for slot in group]
        return found


def _all(
    country: str, share: float, names: dict[str, str], letters: str = LETTERS, district: str | None = None
) -> list[Layout]:
    """Layouts of one country that share its traffic evenly; ``names``: patterns by name."""
    return [Layout(country, name, pattern, letters, district, share / len(names)) for name, pattern in names.items()]


def _plain(
    country: str, share: float, patterns: str, letters: str = LETTERS, district: str | None = None
) -> list[Layout]:
    return _all(country, share, {pattern: pattern for pattern in patterns.split()}, letters, district)


_SIDECODES = (
    "XX-99-99", "99-99-XX", "99-XX-99", "XX-99-XX", "XX-XX-99", "99-XX-XX", "99-XXX-9",
    "9-XXX-99", "XX-999-X", "X-999-XX", "XXX-99-X", "X-99-XXX", "9-XX-999", "999-XX-9",
)  # fmt: skip
# Series 1 to 3 are oldtimers by now, 7 to 14 are most of the road.
_SIDECODE_SHARES = (0.2, 0.2, 0.2, 0.6, 0.6, 1, 3, 3, 3, 3, 2, 2, 2, 2)

LAYOUTS: tuple[Layout, ...] = (
    *(
        Layout(
            "NL",
            f"sidecode {number}",
            pattern,
            _DUTCH if number > 3 else LETTERS,
            share=45 * share / sum(_SIDECODE_SHARES),
        )
        for number, (pattern, share) in enumerate(zip(_SIDECODES, _SIDECODE_SHARES, strict=True), 1)
    ),
    *_all(
        "DE",
        16,
        {
            f"district {district}, {letters} letters, {digits} digits": "-".join(
                ("X" * district, "X" * letters + "9" * digits)
            )
            for district, letters, digits in itertools.product((1, 2, 3), (1, 2), (1, 2, 3, 4))
            if district + letters + digits <= 8
        },
    ),
    *_plain(
        "DE", 1.0, "X-XX99E X-XX999E XX-XX99E XX-X999E XX-XX999E XXX-XX99E XXX-X99E X-XX99H XX-X99H XX-XX99H XXX-X99H"
    ),
    *_all("BE", 9, {"2010": "1-XXX-999", "2021": "2-XXX-999"}),
    *_all("BE", 1, {"2008": "999-XXX", "1973": "XXX-999", "trailer": "Q-XXX-999"}),
    *_all("LU", 1, {"2003": "XX-9999"}),
    *_all("FR", 4, {"SIV": "XX-999-XX"}, _SIV),
    *_plain("FR", 0.4, "9999-XX-99 999-XX-99 999-XXX-99 99-XXX-99"),
    *_all("IT", 1.5, {"1994": "XX-999-XX"}, "ABCDEFGHJKLMNPRSTVWXYZ"),
    *_all("GB", 2, {"2001": "XX99-XXX"}, _BRITISH),
    *_plain("GB", 0.4, "X999-XXX X99-XXX X9-XXX XXX-999X XXX-99X", _BRITISH),
    *_all("ES", 1.2, {"2000": "9999-XXX"}, "BCDFGHJKLMNPRSTVWXYZ"),
    *_plain("ES", 0.1, "X-9999-XX XX-9999-XX"),
    *_plain("PT", 0.8, "99-99-XX 99-XX-99 XX-99-XX XX-99-99"),
    *_plain("PL", 2.5, "XX-99999 XX-9999X XX-999XX", _POLISH, _VOIVODESHIPS),
    *_plain(
        "PL",
        2.0,
        "XXX-X999 XXX-99XX XXX-9X99 XXX-99X9 XXX-9XX9 XXX-XX99 XXX-99999 XXX-9999X XXX-999XX",
        _POLISH,
        _VOIVODESHIPS,
    ),
    *_plain("CZ", 0.9, "9X9-9999 9XX-9999", "ABCEHJKLMPSTUZ"),
    *_plain("SK", 0.5, "XX-999XX"),
    *_plain("AT", 0.9, "X-9999X X-99999X X-999XX X-9999XX XX-999X XX-9999X XX-99XX XX-999XX XX-9XXX XX-99XXX"),
    *_plain("CH", 0.6, "XX-9999 XX-99999 XX-999999 XX-999 XX-99"),
    *_plain("LI", 0.02, "FL-9999 FL-99999"),
    *_plain("DK", 0.7, "XX-99999", "ABCDEFGHJKLMNPRSTUVWXYZ"),
    *_plain("SE", 0.7, "XXX-999", _SWEDISH),
    *_plain("SE", 0.2, "XXX-99X", _SWEDISH.replace("O", ""), _SWEDISH),
    *_plain("NO", 0.3, "XX-99999", "ABCDEFHJKLNPRSTUVXYZ"),
    *_plain("FI", 0.3, "XXX-999 XX-999 XXX-99"),
    *_plain("HU", 0.6, "XXX-999 XX-XX-999"),
    *_plain("RO", 0.8, "XX-99-XXX B-99-XXX B-999-XXX"),
    *_plain("BG", 0.5, "XX-9999-XX X-9999-XX", "ABCEHKMOPTXY"),
    *_plain("GR", 0.3, "XXX-9999", _GREEK),
    *_plain("HR", 0.3, "XX-999-XX XX-9999-XX XX-999-X XX-9999-X", _CROATIAN),
    *_plain("SI", 0.3, "XX-XX-999 XX-99-XXX XX-999-XX"),
    *_plain("RS", 0.2, "XX-999-XX XX-9999-XX"),
    *_plain("BA", 0.1, "X99-X-999", "AEJKMOT"),
    *_plain("MK", 0.1, "XX-9999-XX"),
    *_plain("AL", 0.1, "XX-999-XX"),
    *_plain("LT", 0.6, "XXX-999"),
    *_plain("LV", 0.3, "XX-9999 XX-999"),
    *_plain("EE", 0.2, "999-XXX"),
    *_plain("IE", 0.3, "99-X-99999 999-X-99999 999-X-9999 99-XX-9999 999-XX-9999", "CDEGHKLMNORSTUWXY"),
    *_plain("UA", 0.5, "XX-9999-XX", "ABCEHIKMOPTX"),
    *_plain("TR", 0.3, "99-XX-999 99-XXX-99 99-X-9999 99-XX-9999"),
    *_plain("MD", 0.1, "XXX-999"),
)
