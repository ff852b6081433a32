"""The commands as a person calls them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_anpr import cli

UNIT = ("--org", "town", "--site", "bridge", "--unit", "pole-07")
POLE = "town/bridge/pole-07"


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.main, ["provision", *map(str, words)])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    assert run("ca", tmp_path / "ca").exit_code == 0
    return tmp_path / "ca"


def test_from_nothing_to_a_fleet_and_one_unit_less(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    done = run("broker", home, "--name", "mqtt.example.org", "--ip", "192.0.2.7", "--ip", "2001:db8::7")
    assert done.exit_code == 0, done.output
    assert run("centre", home).exit_code == 0
    done = run("unit", home, *UNIT, "--camera", "north", "--days", "30")
    assert done.exit_code == 0, done.output
    assert str(home / "units" / POLE / "1") in done.output
    assert "mqtt.tls {ca: ca.pem, certificate: unit.pem, key: unit.key}" in done.output
    shown = run("show", home).output
    for word in ("edge-anpr", "mqtt.example.org", "centre", POLE, "unit north", "29 days left"):
        assert word in shown
    assert "revoked" not in shown
    done = run("revoke", home, "--unit", POLE)
    assert done.exit_code == 0, done.output
    assert f"{POLE}: " in done.output
    assert str(home / "crl.pem") in done.output
    assert "revoked" in run("show", home).output
    again = run("revoke", home, "--unit", POLE)
    assert again.exit_code == 2
    assert f"{POLE}: no unit of this name has a certificate that could be revoked" in again.output


def test_a_passphrase_comes_from_a_file_or_from_a_person(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("correct horse\n", "utf-8")
    home, secret = tmp_path / "ca", ("--passphrase-file", tmp_path / "secret")
    done = run("ca", home, *secret)
    assert done.exit_code == 0, done.output
    assert "not encrypted" not in done.output
    assert run("unit", home, *UNIT, *secret).exit_code == 0
    refused = run("centre", home)
    assert refused.exit_code == 2
    assert "nobody can type a passphrase here; name it with --passphrase-file" in refused.output
    (tmp_path / "secret").write_text("\n", "utf-8")
    assert "holds no passphrase" in run("centre", home, *secret).output
    assert run("show", home).exit_code == 0  # which needs no key


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("ca", "{home}"), "ca.key: is there already; nothing is overwritten"),
        (("ca", "{home}/x", "--ask-passphrase"), "nobody can type a passphrase here"),
        (("ca", "{home}/x", "--ask-passphrase", "--passphrase-file", "y"), "not both"),
        (("unit", "{home}/none", *UNIT), "ca.pem: cannot be read: No such file or directory; make an authority"),
        (("unit", "{home}", "--org", "Town", "--site", "bridge", "--unit", "x"), "is no name for a unit"),
        (("unit", "{home}", *UNIT, "--camera", "North"), "--camera North: is no camera.id of a config"),
        (("unit", "{home}", *UNIT, "--renew"), "has no certificate that could be renewed"),
        (("unit", "{home}", *UNIT, "--days", "0"), "--days"),
        (("unit", "{home}", *UNIT, "--passphrase-file", "none"), "--passphrase-file none: cannot be read: No such"),
        (("broker", "{home}", "--name", "x", "--ip", "mqtt"), "--ip: 'mqtt' does not appear to be"),
        (("revoke", "{home}"), "say whom"),
        (("revoke", "{home}", "--serial", "abcdef12"), "0 certificates begin so"),
        (("revoke", "{home}", "--centre", "other"), "other: no centre of this name"),
    ],
)
def test_what_a_person_must_mend_is_one_clear_line(home: Path, arguments: tuple[str, ...], says: str) -> None:
    done = run(*(word.format(home=home) for word in arguments))
    assert done.exit_code == 2
    complaint = done.output.splitlines()[-1]
    assert says in complaint
    assert "Usage" in done.output or len(done.output.splitlines()) == 1
    assert "Traceback" not in done.output


def test_without_its_library_it_says_what_to_install(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("edge_anpr.provision.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    done = run("show", home)
    assert done.exit_code == 2
    assert "pip install 'edge-anpr[provision]'" in done.output


def test_no_process_of_a_unit_or_centre_loads_the_library() -> None:
    program = (
        "import sys, edge_anpr.cli, edge_anpr.unit.publisher, edge_anpr.unit.recogniser, edge_anpr.centre.armer\n"
        "sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_every_command_explains_itself() -> None:
    overview = run("--help").output
    for name in ("ca", "broker", "unit", "centre", "revoke", "evict", "show"):
        assert f"  {name}" in overview
        assert len(run(name, "--help").output.splitlines()) > 8
