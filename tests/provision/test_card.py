"""A unit's card: what lies on it, that it is written again the same, and all that is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from edge_anpr import cli
from edge_anpr.config import load
from edge_anpr.privacy import keys, seal
from edge_anpr.provision import authority
from edge_anpr.provision.cloud_config import wifi_key
from edge_anpr.watch import envelope

CONFIG = """\
unit: {org: any, site: any, id: any}
camera: {source: v4l2, id: north, fps: 15}
watchlist:
  source: arm
  keys: [keys/authority.pub]
  centre_keys: [keys/ticket.pub]
  passages_per_day: 2000.0
delivery: {until: receipt, receipt_keys: [keys/receipt.pub], seal_to: keys/hits.pub}
mqtt: {host: mqtt.example.org, port: 8883, password_file: secret, username: "0123"}
"""
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExampleExam a@desk"
WIFI = ("--wifi", "council: poles", "--wifi-passphrase-file", "passphrase", "--wifi-country", "NL")
DEB = b"!<arch>\ndebian-binary   0 0 0 100644 4 `\n2.0\n"


class Desk:
    """A folder with all that a technician has; ``card`` runs the command there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "bootfs"
        self.out.mkdir()
        for name in ("cmdline.txt", "config.txt", "meta-data", "user-data", "network-config"):
            (self.out / name).write_text("# from the image\n", "utf-8")
        (folder / "keys").mkdir()
        for name in ("authority", "ticket", "receipt", "pole-07"):
            self.pair(name, envelope.new_pair(name))
        self.pair("hits", seal.new_pair("hits"))
        authority.create(folder / "ca", "test", 3650, None)
        for name, content in (
            ("unit.yaml", CONFIG), ("secret", "pssst\n"), ("passphrase", "correct horse\n"), ("pin", "4711\n"),
            ("ssh.pub", SSH_KEY + "\n"),
        ):  # fmt: skip
            (folder / name).write_text(content, "utf-8")
        (folder / "edge-anpr_0.1.0_all.deb").write_bytes(DEB)

    def pair(self, name: str, pair: tuple[keys.Key, keys.Key]) -> None:
        for key in pair:
            keys.write(self.folder / "keys" / f"{name}.{'key' if key.secret else 'pub'}", key)

    def card(self, *words: str, **instead: str) -> Result:
        options = {
            "org": "town", "site": "bridge", "unit": "pole-07", "config": "unit.yaml", "authority": "ca",
            "package": "edge-anpr_0.1.0_all.deb", "ssh-key": "ssh.pub", "identity": "keys/pole-07.key", "out": "bootfs",
        } | {name.replace("_", "-"): value for name, value in instead.items()}  # fmt: skip
        named = [word for name, value in options.items() for word in (f"--{name}", value)]
        return CliRunner().invoke(cli.main, ["provision", "card", *named, *words])

    def made(self, *words: str, **instead: str) -> str:
        done = self.card(*words, **instead)
        assert done.exit_code == 0, done.output
        return done.output

    def refused(self, *words: str, **instead: str) -> str:
        """Nothing is written then, and no certificate is made."""
        before, issued = self.content(), sorted(self.folder.glob("ca/**/*"))
        done = self.card(*words, **instead)
        assert done.exit_code == 2, done.output
        assert (self.content(), sorted(self.folder.glob("ca/**/*"))) == (before, issued)
        return done.output

    def content(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.out).as_posix(): path.read_bytes() for path in self.out.rglob("*") if path.is_file()
        }

    def read(self, name: str) -> Any:
        return yaml.safe_load((self.out / name).read_text("utf-8"))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


def test_the_card_has_all_that_the_unit_needs(desk: Desk, tmp_path: Path) -> None:
    told = desk.made(*WIFI, "--apn", "internet.m2m", "--pin-file", "pin", "--time-server", "ntp.example.org")
    on_card = {name.removeprefix("edge-anpr/") for name in desk.content() if name.startswith("edge-anpr/")}
    assert on_card == {
        "packages/edge-anpr_0.1.0_all.deb", "network-config", "connections/edge-anpr-4g.nmconnection",
        "credstore/edge-anpr.identity", "credstore/edge-anpr.mqtt-password", "credstore/edge-anpr.tls-key",
        "etc/authority.pub", "etc/ca.pem", "etc/hits.pub", "etc/receipt.pub", "etc/ticket.pub", "etc/unit.pem",
        "etc/unit.yaml",
    }  # fmt: skip
    for name in on_card - {"packages/edge-anpr_0.1.0_all.deb", "network-config"}:
        assert f"edge-anpr/{name}" in told
    assert "network-config: the key of its wireless network" in told

    written = load(desk.out / "edge-anpr/etc/unit.yaml")
    assert (written.unit.org, written.unit.site, written.unit.id) == ("town", "bridge", "pole-07")
    assert written.camera.id == "north"
    assert written.watchlist.keys == [Path("/etc/edge-anpr/authority.pub")]
    assert written.delivery.seal_to == Path("/etc/edge-anpr/hits.pub")
    assert written.mqtt.username == "0123"
    assert written.mqtt.tls is not None
    assert written.mqtt.tls.ca == Path("/etc/edge-anpr/ca.pem")
    raw = desk.read("edge-anpr/etc/unit.yaml")
    assert raw["mqtt"]["tls"]["key"] == "credential:edge-anpr.tls-key"
    assert raw["mqtt"]["password_file"] == "credential:edge-anpr.mqtt-password"
    assert raw["watchlist"]["identity"] == "credential:edge-anpr.identity"
    # Only what is asked for: a default that a later version changes is not nailed down by an old card.
    assert "health" not in raw

    credstore = desk.out / "edge-anpr/credstore"
    assert (credstore / "edge-anpr.mqtt-password").read_bytes() == b"pssst"
    assert (credstore / "edge-anpr.identity").read_bytes() == (tmp_path / "keys/pole-07.key").read_bytes()
    issued = tmp_path / "ca/units/town/bridge/pole-07/1"
    assert (credstore / "edge-anpr.tls-key").read_bytes() == (issued / "unit.key").read_bytes()
    connection = (desk.out / "edge-anpr/connections/edge-anpr-4g.nmconnection").read_text("utf-8")
    assert "apn=internet.m2m\npin=4711\n" in connection


def test_every_credential_is_one_that_a_service_loads(desk: Desk) -> None:
    """What nobody loads would lie in the credstore for nothing, and the unit would start without it."""
    desk.made()
    units = Path(__file__).parents[2] / "systemd"
    loaded = {
        line.removeprefix("LoadCredential=")
        for unit in units.glob("*.service")
        for line in unit.read_text("utf-8").splitlines()
        if line.startswith("LoadCredential=")
    }
    assert {path.name for path in (desk.out / "edge-anpr/credstore").iterdir()} == loaded


def test_cloud_init_gets_a_host_with_one_user_and_no_password(desk: Desk) -> None:
    desk.made("--time-server", "ntp.example.org", user="jo")
    assert (desk.out / "user-data").read_text("utf-8").startswith("#cloud-config\n")
    user_data = desk.read("user-data")
    assert user_data["hostname"] == "pole-07"
    assert user_data["ssh_pwauth"] is False
    (user,) = user_data["users"]
    assert user["name"] == "jo"
    assert user["lock_passwd"] is True
    assert user["ssh_authorized_keys"] == [SSH_KEY]
    assert not {"passwd", "plain_text_passwd", "hashed_passwd"} & user.keys()
    assert user_data["ntp"]["servers"] == ["ntp.example.org"]
    assert user_data["runcmd"][-1][-1] == "edge-anpr-first-boot.service"
    meta_data = desk.read("meta-data")
    assert meta_data["local-hostname"] == "pole-07"
    assert meta_data["instance-id"].startswith("pole-07-1-")


def test_no_secret_stands_where_cloud_init_keeps_copies(desk: Desk) -> None:
    desk.made(*WIFI, "--apn", "internet.m2m", "--pin-file", "pin")
    secrets = [path.read_bytes() for path in (desk.out / "edge-anpr/credstore").iterdir()]
    for name in ("user-data", "meta-data"):
        text = (desk.out / name).read_bytes()
        assert not [secret for secret in (*secrets, b"4711", b"correct horse") if secret.strip() in text]
    # cloud-init makes the wireless network of network-config; the passphrase itself, which may open more, is not there.
    assert not [name for name, content in desk.content().items() if b"correct horse" in content]
    key = wifi_key("council: poles", "correct horse").encode()
    assert [name for name, content in desk.content().items() if key in content] == ["network-config"]
    assert desk.read("edge-anpr/network-config")["network"].keys() == {"version", "ethernets"}


def test_a_passphrase_becomes_the_key_that_the_standard_says() -> None:
    assert wifi_key("IEEE", "password") == "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"


@pytest.mark.parametrize(
    ("words", "cable"),
    [
        ((), {"dhcp4": True, "dhcp6": True}),
        (
            ("--address", "192.0.2.7/24", "--gateway", "192.0.2.1", "--dns", "192.0.2.2", "--dns", "2001:db8::2"),
            {
                "dhcp4": False,
                "addresses": ["192.0.2.7/24"],
                "routes": [{"to": "default", "via": "192.0.2.1"}],
                "nameservers": {"addresses": ["192.0.2.2", "2001:db8::2"]},
            },
        ),
    ],
)
def test_the_cable(desk: Desk, words: tuple[str, ...], cable: dict[str, Any]) -> None:
    desk.made(*words)
    assert desk.read("network-config")["network"]["ethernets"]["cable"] == {
        "match": {"name": "e*"},
        "optional": True,
        **cable,
    }


def test_the_same_command_writes_the_same_card_and_keeps_the_certificate(desk: Desk, tmp_path: Path) -> None:
    assert "certificate made" in desk.made()
    before = desk.content()
    told = desk.made()
    assert desk.content() == before
    assert "certificate kept" in told
    assert "acl" not in told
    told = desk.made("--renew")
    assert "certificate made" in told
    assert str(Path("ca/acl")) in told
    after = desk.content()
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"meta-data", "edge-anpr/etc/unit.pem", "edge-anpr/credstore/edge-anpr.tls-key"}
    assert len(list((tmp_path / "ca/units/town/bridge/pole-07").iterdir())) == 2
    # The newest is the one that is kept.
    desk.made()
    assert desk.content() == after


def test_a_card_that_a_start_has_taken_is_taken_again_when_it_is_written_again(desk: Desk) -> None:
    desk.made(*WIFI)
    before = desk.content()
    for name in list(before):
        if name.startswith("edge-anpr/"):
            (desk.out / name).unlink()
    (desk.out / "edge-anpr/done").touch()
    desk.made(*WIFI)
    after = desk.content()
    assert desk.read("meta-data")["instance-id"].startswith("pole-07-2-")
    assert {name for name in after if after[name] != before.get(name)} == {"meta-data"}
    assert "edge-anpr/done" not in after


def test_what_the_unit_has_no_more_goes_from_the_card(desk: Desk) -> None:
    desk.made(*WIFI, "--apn", "internet.m2m")
    desk.made()
    assert not (desk.out / "edge-anpr/connections").exists()
    assert not (desk.out / "edge-anpr/network-config").exists()
    assert "wifis" not in desk.read("network-config")["network"]


def test_a_card_that_is_half_written_is_nobodys(desk: Desk) -> None:
    """cloud-init acts on another instance-id; so that one comes last, when all that it stands for is there."""
    (desk.out / "user-data").unlink()
    (desk.out / "user-data/in-the-way").mkdir(parents=True)
    done = desk.card()
    assert done.exit_code == 2, done.output
    assert "user-data" in done.output
    assert (desk.out / "meta-data").read_text("utf-8") == "# from the image\n"


def test_another_units_card_is_refused(desk: Desk) -> None:
    desk.made()
    told = desk.refused(unit="pole-08", identity="keys/pole-07.key")
    assert "is the card of town/bridge/pole-07, and not of town/bridge/pole-08" in told
    assert not (desk.folder / "ca/units/town/bridge/pole-08").exists()


def test_what_is_no_boot_partition_is_refused(desk: Desk) -> None:
    assert "is no folder" in desk.refused(out="elsewhere")
    (desk.folder / "home").mkdir()
    (desk.folder / "home/thesis.odt").touch()
    assert "is neither the boot partition" in desk.refused(out="home")
    (desk.out / "meta-data").unlink()
    assert "without cloud-init" in desk.refused()
    (desk.folder / "seed").mkdir()
    (desk.folder / "seed/.Trashes").mkdir()
    desk.made(out="seed")


def test_all_mistakes_are_told_at_once(desk: Desk) -> None:
    (desk.folder / "ssh.pub").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n", "utf-8")
    (desk.folder / "edge-anpr_0.1.0_all.deb").write_bytes(b"not found")
    (desk.folder / "passphrase").write_text("short", "utf-8")
    (desk.folder / "pin").write_text("four", "utf-8")
    (desk.folder / "unit.yaml").write_text(
        CONFIG.replace("fps: 15", "fps: fast").replace("keys/hits.pub", "1"), "utf-8"
    )
    told = desk.refused(
        *WIFI, "--apn", "a b", "--pin-file", "pin", "--address", "192.0.2.7", "--gateway", "192.0.3.1", "--dns", "one",
        "--time-server", "a b", unit="-x", user="root", authority="nowhere",
    )  # fmt: skip
    for words in (
        "--unit -x: no host name", "unit.yaml:2: camera.fps: takes a whole number", "--user root",
        "--ssh-key ssh.pub: holds no public SSH key", "--package edge-anpr_0.1.0_all.deb: is no Debian package",
        "--address 192.0.2.7: how large its network is", "--gateway 192.0.3.1: is not in 192.0.2.7/32",
        "--dns one: is no address", "8 to 63 ASCII characters", "--apn a b", "a PIN has 4 to 8 digits",
        "--time-server a b", "nowhere/ca.pem: cannot be read",
    ):  # fmt: skip
        assert words in told, (words, told)
    assert "short" not in told
    assert "four" not in told


@pytest.mark.parametrize(
    ("of", "becomes", "told"),
    [
        ("keys/hits.pub", "keys/hits.key", "holds no public sealing key"),
        ("keys/receipt.pub", "keys/none.pub", "keys/none.pub: cannot be read"),
        ("host: mqtt.example.org, ", "", "mqtt.host: is missing"),
        ("password_file: secret", "password_file: credential:x", "mqtt.password_file: credential:x is on no card yet"),
        ("source: v4l2", "source: clip, path: clip.mp4", "camera.path: is a place on the unit"),
        ("{until", "{outbox: outbox.db, until", "delivery.outbox: is a place on the unit"),
        ("source: v4l2, id: north, fps: 15", "source: rtsp, url: 'rtsp://cam/1'", "address instead of a name"),
        ("keys/ticket.pub", "other/authority.pub", "two files are called authority.pub"),
    ],
)
def test_a_config_that_would_not_do_on_the_unit_is_refused(desk: Desk, of: str, becomes: str, told: str) -> None:
    assert of in CONFIG
    (desk.folder / "other").mkdir()
    keys.write(desk.folder / "other/authority.pub", envelope.new_pair("other")[1])
    text = CONFIG.replace(of, becomes).replace("fps: 15, ", "")
    (desk.folder / "unit.yaml").write_text(text.replace(", fps: 15", "") if "clip" in becomes else text, "utf-8")
    assert told in desk.refused()


def test_a_camera_on_the_network_is_all_that_the_recogniser_may_reach(desk: Desk) -> None:
    url = "rtsp://user:pssst@192.0.2.10:554/stream"
    text = CONFIG.replace("source: v4l2, id: north, fps: 15", f"source: rtsp, url: '{url}'")
    (desk.folder / "unit.yaml").write_text(text, "utf-8")
    desk.made()
    (drop_in,) = [one for one in desk.read("user-data")["write_files"] if one["path"].endswith("/rtsp.conf")]
    assert "PrivateNetwork=no\n" in drop_in["content"]
    assert "IPAddressAllow=192.0.2.10\n" in drop_in["content"]
    assert "pssst" not in (desk.out / "user-data").read_text("utf-8")


def test_a_certificate_of_other_cameras_or_without_its_key_does_not_do(desk: Desk) -> None:
    desk.made()
    text = CONFIG.replace("id: north", "id: south")
    (desk.folder / "unit.yaml").write_text(text, "utf-8")
    assert "its certificate is for north, and the config's camera is south" in desk.refused()
    desk.made("--renew")
    for key in (desk.folder / "ca").glob("units/*/*/*/*/unit.key"):
        key.unlink()
    assert "say --renew for another beside it" in desk.refused()


def test_files_of_any_size_are_whole_on_the_card(desk: Desk) -> None:
    package = DEB + bytes(range(256)) * 40_000  # larger than what the authority reads of its own files
    (desk.folder / "edge-anpr_0.1.0_all.deb").write_bytes(package)
    desk.made()
    written = (desk.out / "edge-anpr/packages/edge-anpr_0.1.0_all.deb").read_bytes()
    assert hashlib.sha256(written).digest() == hashlib.sha256(package).digest()
    assert not list(desk.out.rglob("*.part"))
