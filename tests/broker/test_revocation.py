"""A unit that was stolen is out, with its live session, and stays out; the others do not notice."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_anpr import cli
from tests.broker.client import NO_SUBSCRIBER, NOT_AUTHORIZED, SUCCESS, Client, connects
from tests.broker.hardened import SHIPPED, Hardened
from tests.conftest import until

STOLEN, OTHER = "town/bridge/stolen", "town/bridge/other"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Hardened]:
    made = Hardened(tmp_path)
    for name in (STOLEN, OTHER):
        made.unit(name)
    made.centre()
    made.start()
    yield made
    made.kill()


def provision(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.main, ["provision", *map(str, words)])


def test_a_revoked_unit_is_out_and_stays_out(broker: Hardened) -> None:
    home, where = broker.authority_folder, f"localhost:{broker.port}"
    with (
        Client(broker.port, broker.unit(STOLEN)) as stolen,
        Client(broker.port, broker.unit(OTHER)) as other,
        Client(broker.port, broker.centre()) as centre,
    ):
        centre.subscribe("anpr/v1/#")
        assert stolen.publish(f"anpr/v1/{STOLEN}/health") == SUCCESS
        done = provision("revoke", home, "--unit", STOLEN)
        assert done.exit_code == 0, done.output
        broker.reload()
        # The session stands, and is worth nothing any more; a new one there is not.
        assert stolen.publish(f"anpr/v1/{STOLEN}/health") == NOT_AUTHORIZED
        assert not connects(broker.port, broker.unit(STOLEN))
        assert not stolen.ended

        done = provision("evict", home, "--unit", STOLEN, "--broker", where)
        assert done.exit_code == 0, done.output
        until(lambda: stolen.ended)
        assert not connects(broker.port, broker.unit(STOLEN))

        assert other.publish(f"anpr/v1/{OTHER}/health") == SUCCESS
        assert not other.ended
        assert not centre.ended
    broker.kill()
    broker.start()
    assert not connects(broker.port, broker.unit(STOLEN))
    assert connects(broker.port, broker.unit(OTHER))


def test_a_second_revocation_and_a_new_unit_are_seen_without_a_restart(broker: Hardened) -> None:
    broker.revoke(STOLEN)
    assert not connects(broker.port, broker.unit(STOLEN))
    late = broker.unit("town/bridge/late")
    with Client(broker.port, late) as client:
        assert client.publish("anpr/v1/town/bridge/late/health") in {SUCCESS, NO_SUBSCRIBER}
    broker.revoke("town/bridge/late")
    assert not connects(broker.port, late)
    assert not connects(broker.port, broker.unit(STOLEN))
    assert connects(broker.port, broker.unit(OTHER))


def test_who_was_renewed_goes_on_when_the_old_certificate_is_revoked(broker: Hardened) -> None:
    home = broker.authority_folder
    (old,) = (one for one in broker.authority.standing() if one.name == OTHER)
    done = provision("unit", home, "--org", "town", "--site", "bridge", "--unit", "other", "--renew")
    assert done.exit_code == 0, done.output
    new = [path for path in (home / "units" / OTHER / "2").iterdir() if path.name != "ca.pem"]
    files = (home / "ca.pem", *sorted(new, key=lambda path: path.suffix, reverse=True))
    assert connects(broker.port, files)
    assert connects(broker.port, broker.unit(OTHER))  # the old one is still good
    provision("revoke", home, "--serial", old.serial_hex[:12])
    broker.reload()
    assert not connects(broker.port, broker.unit(OTHER))
    with Client(broker.port, files) as client:
        assert client.publish(f"anpr/v1/{OTHER}/health") in {SUCCESS, NO_SUBSCRIBER}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--unit", "town/bridge/nobody", "--broker", "localhost:1"), "was never given a certificate here"),
        (("--unit", STOLEN, "--broker", "localhost"), "--broker takes HOST:PORT"),
        (("--broker", "localhost:1"), "say whose"),
        (("--unit", STOLEN, "--broker", "localhost:1"), "localhost:1: "),
    ],
)
def test_an_eviction_that_cannot_be_says_why(broker: Hardened, arguments: tuple[str, ...], says: str) -> None:
    done = provision("evict", broker.authority_folder, *arguments)
    assert done.exit_code == 2
    assert says in done.output
    assert "Traceback" not in done.output


def test_the_installer_takes_the_brokers_files_and_no_other(tmp_path: Path, broker: Hardened) -> None:
    home = broker.authority_folder
    run = [SHIPPED / "install", SHIPPED / "mosquitto.conf", *(home / "broker/localhost/1").iterdir(), home / "crl.pem"]
    etc, told = tmp_path / "installed", tmp_path / "told"
    user = str(Path(tmp_path).stat().st_uid)
    environment = {
        "MOSQUITTO_ETC": str(etc), "MOSQUITTO_USER": user, "MOSQUITTO_RELOAD": f"touch {told}",
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    }  # fmt: skip
    subprocess.run(run, env=environment, check=True)
    assert told.exists()
    modes = {path.name: path.stat().st_mode & 0o777 for path in etc.rglob("*") if path.is_file()}
    assert modes == {
        "mosquitto.conf": 0o644, "broker.pem": 0o440, "broker.key": 0o400, "ca.pem": 0o440, "crl.pem": 0o440,
    }  # fmt: skip
    for wrong in (home / "ca.key", home / "missing" / "acl"):
        refused = subprocess.run([SHIPPED / "install", wrong], env=environment, check=False, capture_output=True)
        assert refused.returncode == 2
        assert str(wrong).encode() in refused.stderr
