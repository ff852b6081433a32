"""Plates that the authorities' descriptions allow, and plates that they rule out, country by country."""

import pytest

from edge_anpr.plates.layouts import COUNTRIES, LAYOUTS, Country, Layout
from edge_anpr.plates.syntax import fitting
from edge_anpr.plates.text import canonical, encode

VALID = {
    "NL": "DB-01-01 01-02-DB 01-DB-02 DB-01-DB DB-DB-01 01-DB-DB 01-DBD-1 1-DBD-01 DB-001-D D-001-DB DBD-01-D D-01-DBD "
    "1-DB-001 001-DB-1 AE-12-34 12-34-UA 12-EA-34 VX-123-B M-12-BDF",
    "DE": "B-A1 B-AB1234 M-X99 HH-AB123 KÖN-AB12 FFB-X1234 WOB-VW12 B-AB12E MÜ-X123E HH-AB12H "
    "HH-06123 B-071234 WOB-07123 HH-041234 B-X123E KA-A1234E M-AB1H Y-123456",
    "BE": "1-ABC-234 2-ABC-001 8-ABC-234 123-ABC ABC-123 Q-ABC-123 O-ABC-123 M-ABC-123 T-XAB-123",
    "LU": "AB-1234 ZZ-0001",
    "FR": "AB-123-CD FA-001-ZZ 1234-AB-75 123-ABC-13 12-ABC-2A",
    "IT": "AB-123-CD GK-001-ZZ AB-12345",
    "GB": "AB02-CDE LX73-ABC KY51-XYZ A123-BCD P1-ABC ABC-123D AIA-1234 BXZ-1234 OIZ-4321",
    "ES": "1234-BCD 0001-XYZ M-1234-AB MA-1234-BC R-1234-BCD",
    "PL": "WA-12345 KR-1234A PO-123AC WPI-A123 WPI-12AC WPI-1A23 WPI-12345 GDA-1234C "
    "WA-1A234 KR-1AC23 WA-12A WPI-1A WA-123A",
    "RO": "AB-12-XYZ CJ-01-AAA B-12-ABC B-123-ABC",
    "CZ": "1A2-3456 9Z0-0001 2AB-3456 1SX-0001",
    "SK": "BA-123AB ZA-001XY NR-999ZZ AA-123AB",
    "HR": "ZG-123-AB ZG-1234-AB ŠI-123-A ČK-1234-B",
    "AT": "W-12345A W-1234A L-123AB S-1234AB BL-123A ZE-1234B KU-12AB GU-123AB GU-ABC1 KU-A123 L-ABCD12",
    "CH": "ZH-123456 GE-1234 TI-12345 AI-12 VD-123",
    "DK": "AB-12345 ZZ-98765",
    "PT": "12-34-AB 12-AB-34 AB-12-CD AB-12-34",
    "SE": "ABC-123 ABC-12D OOO-123 ABC-12W",
    "NO": "AB-12345 EL-98765",
    "SI": "LJ-AB-123 MB-12-ABC",
    "BG": "CA-1234-AB A-1234-BC PB-0001-XY",
    "IE": "12-D-12345 231-KY-123 06-WX-1234 99-MH-12345 161-LS-123",
    "TR": "34-AB-123 06-ABC-12 81-A-1234 34-A-12345",
    "GR": "ABE-1234",
    "LI": "FL-1234 FL-12345",
    "BY": "1234-AB-7 AB-1234-7",
    "RU": "A123BC-77 A123BC-777 AB1234-50",
    "ME": "PG-AB-123",
    "XK": "01-123-AB",
    "LT": "ABC-123 AB-123 123-AB",
}
INVALID = {
    # no vowels, no C, Q and Y since series 4; nothing of another shape
    "NL": "AB-01-DB DB-CB-01 01-DB-QB 01-DBY-1 1-DAD-01 DB-001-I DBDB-DB 12-34-56 D-1-DB 1-D2B-3D",
    # no such district; a number begins with no 0; nine characters
    "DE": "Q-AB12 DB-AB12 XYZ-AB12 B-AB0123 HH-A0 B-ABCD12 WOB-AB1234 FFB-AB12345 I-A123 HH-08123 HH-0612",
    "BE": "1-AB-234 7-ABC-234 1-ABC-23 R-ABC-123",
    "LU": "ABC-123 A-12345",
    "FR": "AI-123-CD AB-123-CO AU-123-CD 0123-AB-75 1234-AB-98 1234-AB-20",
    "IT": "AI-123-CD AB-123-CO AQ-123-CD AU-123-CD",
    "GB": "AI02-CDE AB01-CDE AB50-CDE AB88-CDE AB02-CQE A023-BCD",
    "ES": "1234-ABC 1234-BQD 1234-BCO XX-1234-AB K-1234-AB",
    "PL": "QA-12345 WA-1234B WPI-12AO WPI-I123 WPI-12ZA KR-1234D WA-1B234 WA-A1234",
    "RO": "XX-12-ABC AB-123-ABC B-12-ABQ B-012-ABC",
    "CZ": "1G2-3456 1F2-3456 0A2-3456 1AO-3456 AA2-3456",
    "SK": "BA-123A BA-1234AB BA-123AQ",
    "HR": "XX-123-AB ZG-123-AQ ZG-12-AB ZG-1234-WA",
    "AT": "XX-123AB W-01234A ZE-123AQ Q-12345A KU-ABC0 KU-ABCD12",
    "CH": "XX-123456 ZH-012345 ZH-1234567",
    "DK": "IB-12345 AO-12345 AQ-12345 AB-02345",
    "PT": "AB-1-CD 123-45-AB",
    "SE": "IBC-123 QBC-123 ABV-123 ABC-12O",
    "NO": "GB-12345 AM-12345 AB-02345",
    "SI": "XX-AB-123",
    "BG": "CD-1234-AB A-1234-BD",
    "IE": "12-A-12345 231-XX-123",
    "TR": "82-AB-123 00-ABC-12",
    "GR": "ABC-1234 ABE-0123",
    "LI": "FX-1234",
    "BY": "1234-AD-7 123-AB-7",
    "RU": "A123BD-77 A123BC-7",
    "XK": "11-123-AB",
}
PLAIN = str.maketrans("ÄÖÜŠČĆŽĐ", "AOUSCCZD")


def fits(plate: str, country: str) -> bool:
    return bool(fitting(encode(canonical(plate.translate(PLAIN))), country))


@pytest.mark.parametrize(("country", "plate"), [(c, plate) for c, plates in VALID.items() for plate in plates.split()])
def test_what_a_country_writes_fits_its_layouts(country: str, plate: str) -> None:
    assert fits(plate, country)


@pytest.mark.parametrize(
    ("country", "plate"), [(c, plate) for c, plates in INVALID.items() for plate in plates.split()]
)
def test_what_a_country_does_not_write_fits_none_of_its_layouts(country: str, plate: str) -> None:
    assert not fits(plate, country)


def test_every_country_says_where_its_layouts_are_described_and_how_many_vehicles_it_has() -> None:
    assert len({country.code for country in COUNTRIES}) == len(COUNTRIES) >= 36
    for country in COUNTRIES:
        assert country.source
        assert 0.01 < country.vehicles < 100
        assert country.share > 0


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.country} {layout.name}")
def test_every_layout_fits_what_it_describes(layout: Layout) -> None:
    text = [slot[0] for slot in layout.slots]
    if layout.codes:
        code = layout.codes[-1]
        text[layout.code_at : layout.code_at + len(code)] = code
    assert layout in fitting(encode("".join(text)))
    assert layout.share > 0


def test_a_code_is_valid_as_a_whole_not_place_by_place() -> None:
    assert fits("HRO-AB1", "DE")
    assert fits("WAT-AB1", "DE")
    assert not fits("HAT-AB1", "DE")  # H, A and T stand at these places in other districts


@pytest.mark.parametrize("country", COUNTRIES, ids=lambda country: country.code)
def test_no_layout_has_more_vehicles_than_texts(country: Country) -> None:
    for layout in country.layouts:
        vehicles = country.vehicles * 1e6 * layout.share / country.share
        assert vehicles <= layout.ways, layout.name
