"""What ``journalctl -x`` explains: each event that the code knows, in both languages, and none besides."""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import edge_anpr
from edge_anpr.unit import advice, camera_alarms, certificates
from edge_anpr.unit.events import MESSAGE_IDS, event
from tests.systemd.conftest import SHIPPED, tool

PACKAGE = Path(edge_anpr.__file__).parent
CATALOGS = ("edge-anpr.catalog", "edge-anpr.nl.catalog")
# Where a code is no name or text of its module but comes along in a variable: from where.
CAMERA = {camera_alarms.LOST, camera_alarms.FROZEN}
VARIABLES = {
    "carrier": set(advice.ALARMS),
    "certificates": set(certificates.CODES),
    "alarms": set(),
    "camera_alarms": CAMERA,
}


def codes_in_the_source() -> set[str]:
    """Of all calls of ``raise_``, ``clear`` on alarms, and ``event``."""
    found: set[str] = {"over"}
    for path in sorted((PACKAGE / "unit").glob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or not call.args:
                continue
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if name not in {"raise_", "event"}:
                continue
            match call.args[0]:
                case ast.Constant(value=str(code)):
                    found.add(code)
                case ast.Name(id=constant) if constant.isupper():
                    found.add(getattr(importlib.import_module(f"edge_anpr.unit.{path.stem}"), constant))
                case _:
                    found |= VARIABLES[path.stem]
    return found


def entries(name: str) -> dict[str, tuple[str, str]]:
    """Subject and text by id."""
    found = {}
    for block in re.split(r"^-- ", (SHIPPED / name).read_text(), flags=re.M)[1:]:
        head, text = block.split("\n\n", 1)
        message_id, *lines = head.splitlines()
        fields = dict(line.split(": ", 1) for line in lines)
        assert list(fields) == ["Subject", "Defined-By"]
        assert message_id not in found
        found[message_id] = (fields["Subject"], re.sub(r"^#.*\n?", "", text, flags=re.M).strip())
    return found


def test_each_code_in_the_source_has_an_id_and_no_id_is_left_over() -> None:
    assert codes_in_the_source() == set(MESSAGE_IDS)


def test_ids_are_128_bits_each_its_own() -> None:
    assert all(re.fullmatch("[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}", one) for one in MESSAGE_IDS.values())
    assert len(set(MESSAGE_IDS.values())) == len(MESSAGE_IDS)


@pytest.mark.parametrize("name", CATALOGS)
def test_every_event_is_explained_and_nothing_else(name: str) -> None:
    catalog = entries(name)
    assert set(catalog) == set(MESSAGE_IDS.values())
    for subject, text in catalog.values():
        assert 10 < len(subject) <= 80
        assert len(text) > 50


def test_the_two_languages_are_two() -> None:
    english, dutch = map(entries, CATALOGS)
    assert [one for one in english if english[one][1] == dutch[one][1]] == []


@pytest.mark.parametrize("name", CATALOGS)
def test_what_an_entry_tells_to_type_names_what_there_is(name: str) -> None:
    text = (SHIPPED / name).read_text()
    for unit in re.findall(r"edge-anpr-(?:recogniser|publisher)(?:\.\w+)?", text):
        assert (SHIPPED / f"{unit.removesuffix('.service')}.service").exists()
    for code in re.findall(r"EDGE_ANPR_EVENT=([a-z-]+)", text):
        assert code in MESSAGE_IDS


def test_systemd_takes_both(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/systemd/catalog").mkdir(parents=True)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    for name in CATALOGS:
        shutil.copy(SHIPPED / name, tmp_path / "usr/lib/systemd/catalog" / name)
    done = subprocess.run(
        [tool("journalctl"), f"--root={tmp_path}", "--update-catalog"],
        env={"SYSTEMD_LOG_LEVEL": "debug"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"Found {2 * len(MESSAGE_IDS)} items in catalog" in done.stderr
    assert "has language nl" in done.stderr


def test_an_unknown_code_ends_no_unit() -> None:
    assert event("never-heard-of") == {"journal_fields": {"EDGE_ANPR_EVENT": "never-heard-of"}}
