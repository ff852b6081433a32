"""``edge-anpr provision card``: all that a unit needs, onto the card from which it starts."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_anpr.errors import Unusable
from edge_anpr.provision import CERTIFICATE_DAYS

if TYPE_CHECKING:
    from edge_anpr.provision.authority import Authority, Issued
    from edge_anpr.provision.belongings import Mistakes
    from edge_anpr.provision.cloud_config import Mobile, Wifi, Wired

_PATH = click.Path(path_type=Path)
PACKAGE_BYTES = 200_000_000
Passphrase = Callable[["Authority"], bytes | None]


@click.command()
@click.option("--org", required=True, help="unit.org on the unit.")
@click.option("--site", required=True, help="unit.site on the unit.")
@click.option("--unit", required=True, help="unit.id on the unit, and its host name.")
@click.option("--config", "-c", required=True, type=_PATH, help="The unit's config; the files that it names go along.")
@click.option("--authority", required=True, type=_PATH, metavar="DIR", help="Makes the unit's certificate (`ca`).")
@click.option("--package", "packages", required=True, multiple=True, type=_PATH, help="edge-anpr's .deb; repeatable.")
@click.option("--ssh-key", "ssh_keys", required=True, multiple=True, type=_PATH, help="Public keys; repeatable.")
@click.option("--user", default="technician", show_default=True, help="Who may log in, with these keys only.")
@click.option("--identity", type=_PATH, help="The unit's own key, in place of watchlist.identity of the config.")
@click.option("--address", metavar="IP/BITS", help="The cable's address. Without it: DHCP.")
@click.option("--gateway", metavar="IP", help="The cable's way out, with --address.")
@click.option("--dns", multiple=True, metavar="IP", help="A name server for the cable; repeatable.")
@click.option("--wifi", metavar="SSID", help="A wireless network.")
@click.option("--wifi-passphrase-file", type=_PATH, help="Holds its passphrase.")
@click.option("--wifi-country", metavar="XX", help="Where the unit stands, like NL: what its radio may do.")
@click.option("--apn", help="A modem's access point.")
@click.option("--pin-file", type=_PATH, help="Holds the PIN of the modem's SIM.")
@click.option(
    "--time-server", "time_servers", multiple=True, metavar="HOST", help="In place of the image's; repeatable."
)
@click.option("--renew", is_flag=True, help="Another certificate; else the one that the unit has goes onto the card.")
@click.option("--passphrase-file", type=_PATH, help="Holds the passphrase of ca.key. Else it is asked for.")
@click.option("--out", required=True, type=_PATH, metavar="DIR", help="Where the card's boot partition is mounted.")
def card(
    org: str, site: str, unit: str, config: Path, authority: Path, packages: tuple[Path, ...],
    ssh_keys: tuple[Path, ...], user: str, identity: Path | None, address: str | None, gateway: str | None,
    dns: tuple[str, ...], wifi: str | None, wifi_passphrase_file: Path | None, wifi_country: str | None,
    apn: str | None, pin_file: Path | None, time_servers: tuple[str, ...], renew: bool, passphrase_file: Path | None,
    out: Path,
) -> None:  # fmt: skip
    """Write a unit's card: stock Raspberry Pi OS (trixie) or a Debian cloud image then starts as this unit.

    Write the image onto the card, mount its first partition (bootfs), and name it with --out. With Debian's cloud
    images, name an empty folder, and make a disk labelled CIDATA of it. At the first start the unit installs the
    package, takes its config and keys, overwrites and deletes them on the boot partition, and begins.

    The config is one that `edge-anpr check` accepts here, with the paths of this machine: of what it names, public
    keys, list and models go to /etc/edge-anpr of the unit, secrets to /etc/credstore. Its `unit` is replaced by
    --org, --site, --unit, and its `mqtt.tls` by the certificate; so one config serves many units.

    Until the unit has started once, the card holds its keys, in clear, and whoever has it can be the unit. The same
    command writes the same card again. Another unit's card is refused.
    """
    from edge_anpr.cli_provision import open_authority, passphrase_of
    from edge_anpr.provision import card as cards
    from edge_anpr.provision import cloud_config
    from edge_anpr.provision.authority import check_name
    from edge_anpr.provision.belongings import Belongings, Mistakes, gather
    from edge_anpr.provision.certificates import Role

    name, mistakes = f"{org}/{site}/{unit}", Mistakes()
    with mistakes.caught():
        check_name(Role.UNIT, name)
        if unit.startswith("-") or unit.endswith("-"):
            raise Unusable(f"--unit {unit}: no host name begins or ends in -; take another one")
    with mistakes.caught():
        cards.judge(out, name)
    belongings = Belongings("", {})
    with mistakes.caught():
        belongings = gather(config, (org, site, unit), identity)
    with mistakes.caught():
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", user) or user == "root":
            raise Unusable(f"--user {user}: write 1 to 31 of a-z, 0-9 and -, beginning with a letter, and not root")
    public = [key for path in ssh_keys for key in _ssh_keys(path, mistakes)]
    cable, wireless = _wired(address, gateway, dns, mistakes), _wifi(wifi, wifi_passphrase_file, wifi_country, mistakes)
    modem = _mobile(apn, pin_file, mistakes)
    for host in time_servers:
        if not re.fullmatch(r"[A-Za-z0-9.:-]{1,255}", host):
            mistakes.found.append(f"--time-server {host}: is no host name and no address")
    carried = dict(belongings.files) | _packages(packages, mistakes)
    opened = None
    with mistakes.caught():
        opened = open_authority(authority)
    mistakes.tell()
    assert opened is not None
    had = opened.at_hand(name)
    issued = _issued(opened, name, belongings.camera, renew, lambda one: passphrase_of(one, passphrase_file))
    carried |= _certificate(issued)
    if modem is not None:
        carried["connections/edge-anpr-4g.nmconnection"] = cloud_config.connection(modem)
    network = cloud_config.network_config(cable, wireless)
    if wireless is not None:
        carried["network-config"] = cloud_config.network_config(cable, None)
    made = cards.Card(
        name, unit,
        cloud_config.user_data(unit, user, public, time_servers, belongings.system),
        network, carried,
    )  # fmt: skip
    instance = cards.write(out, made)
    _tell(out, made, instance, wireless is not None)
    fresh = had is None or had.certificate.serial != issued.certificate.serial
    click.echo(f"certificate {'made' if fresh else 'kept'}, until {issued.certificate.ends:%Y-%m-%d}: {issued.folder}")
    if fresh:
        click.echo(f"now to the broker: {authority / 'acl'} (deploy/broker/install)")


_IN_WORDS = {
    "etc/unit.yaml": "its config",
    "credstore/edge-anpr.tls-key": "the key of its certificate",
    "credstore/edge-anpr.identity": "its own key, with which it asks for lists",
    "credstore/edge-anpr.mqtt-password": "its password at the broker",
    "connections/edge-anpr-4g.nmconnection": "the modem's network, and the PIN of its SIM if it has one",
}


def _tell(out: Path, card: object, instance: str, wifi: bool) -> None:
    from edge_anpr.provision.card import FOLDER, Card

    assert isinstance(card, Card)
    click.echo(f"{out}: card of {card.unit}, {instance}; it is written, and may be pulled out")
    click.echo("until the unit has started once, whoever has the card can read:")
    for place in sorted(card.files):
        if not place.endswith(".deb") and place != "network-config":
            click.echo(f"  {FOLDER}/{place}{''.join(f': {words}' for words in [_IN_WORDS.get(place)] if words)}")
    if wifi:
        click.echo("  network-config: the key of its wireless network")


def _certificate(issued: Issued) -> dict[str, bytes]:
    from edge_anpr import files
    from edge_anpr.provision import belongings

    return {
        place: files.read(issued.folder / name, "it was issued for this unit; restore it, or say --renew")
        for place, name in (
            (belongings.AUTHORITY, "ca.pem"), (belongings.CERTIFICATE, "unit.pem"), (belongings.TLS_KEY, "unit.key"),
        )
    }  # fmt: skip


def _issued(opened: Authority, name: str, camera: str, renew: bool, passphrase: Passphrase) -> Issued:
    """The certificate that the unit has, or a new one; the camera's name has to stand in it, or hits are refused."""
    from edge_anpr.provision.certificates import Role

    kept = None if renew else opened.at_hand(name)
    if kept is None:
        return opened.issue(Role.UNIT, name, CERTIFICATE_DAYS, passphrase(opened), renew=renew, cameras=(camera,))
    if camera not in kept.certificate.cameras:
        raise Unusable(
            f"{name}: its certificate is for {', '.join(kept.certificate.cameras)}, and the config's camera is"
            f" {camera}; say --renew for another certificate"
        )
    return kept


def _packages(paths: tuple[Path, ...], mistakes: Mistakes) -> dict[str, bytes]:
    from edge_anpr import files

    found: dict[str, bytes] = {}
    for path in paths:
        with mistakes.caught():
            raw = files.read(path, "name edge-anpr's .deb", PACKAGE_BYTES)
            if not raw.startswith(b"!<arch>\ndebian-binary"):
                raise Unusable(f"--package {path}: is no Debian package")
            found[f"packages/{path.name.removesuffix('.deb')}.deb"] = raw
    if found and not any(name.startswith("packages/edge-anpr_") for name in found):
        mistakes.found.append("--package: none is called edge-anpr_VERSION_ARCHITECTURE.deb")
    return found


def _ssh_keys(path: Path, mistakes: Mistakes) -> list[str]:
    from edge_anpr import files

    with mistakes.caught():
        lines = files.read(path, "it should hold public SSH keys", 100_000).decode("utf-8", "replace").splitlines()
        lines = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if not lines or not all(re.fullmatch(r"[a-z0-9@.-]+ AAAA[A-Za-z0-9+/]+=*( .*)?", line) for line in lines):
            raise Unusable(f"--ssh-key {path}: holds no public SSH key (one line, like `ssh-ed25519 AAAA...`)")
        return lines
    return []


def _wired(address: str | None, gateway: str | None, dns: tuple[str, ...], mistakes: Mistakes) -> Wired:
    from edge_anpr.provision.cloud_config import Wired

    own: IPv4Interface | IPv6Interface | None = None
    way: IPv4Address | IPv6Address | None = None
    servers: list[IPv4Address | IPv6Address] = []
    for option, value in (("--address", address), ("--gateway", gateway), *(("--dns", one) for one in dns)):
        try:
            if value is None:
                continue
            if option == "--address":
                own = ip_interface(value)
                if "/" not in value:
                    mistakes.found.append(f"{option} {value}: how large its network is belongs to it, like {value}/24")
            elif option == "--gateway":
                way = ip_address(value)
            else:
                servers.append(ip_address(value))
        except ValueError:
            mistakes.found.append(f"{option} {value}: is no address")
    if way is not None and own is None and address is None:
        mistakes.found.append("--gateway: belongs to --address; with DHCP the network names it")
    if way is not None and own is not None and way not in own.network:
        mistakes.found.append(f"--gateway {way}: is not in {own.network}, the network of --address")
    return Wired(own, way, tuple(servers))


def _wifi(ssid: str | None, path: Path | None, country: str | None, mistakes: Mistakes) -> Wifi | None:
    from edge_anpr.provision.cloud_config import Wifi, wifi_key

    if ssid is None and path is None and country is None:
        return None
    if ssid is None or path is None or country is None:
        mistakes.found.append("--wifi, --wifi-passphrase-file and --wifi-country go together")
        return None
    if not 1 <= len(ssid.encode()) <= 32 or not ssid.isprintable():
        mistakes.found.append("--wifi: a network's name has 1 to 32 bytes, and no control characters")
    if not re.fullmatch(r"[A-Z]{2}", country):
        mistakes.found.append(f"--wifi-country {country}: write two capital letters, like NL")
    with mistakes.caught():
        passphrase = _secret("--wifi-passphrase-file", path)
        if not re.fullmatch(r"[ -~]{8,63}", passphrase):
            raise Unusable(f"--wifi-passphrase-file {path}: a passphrase has 8 to 63 ASCII characters")
        return Wifi(ssid, wifi_key(ssid, passphrase), country)
    return None


def _mobile(apn: str | None, path: Path | None, mistakes: Mistakes) -> Mobile | None:
    from edge_anpr.provision.cloud_config import Mobile

    if apn is None:
        if path is not None:
            mistakes.found.append("--pin-file: belongs to --apn")
        return None
    if not re.fullmatch(r"[A-Za-z0-9.-]{1,100}", apn):
        mistakes.found.append(f"--apn {apn}: write 1 to 100 letters, digits, dots and -")
    pin = None
    with mistakes.caught():
        pin = None if path is None else _secret("--pin-file", path)
        if pin is not None and not re.fullmatch(r"[0-9]{4,8}", pin):
            raise Unusable(f"--pin-file {path}: a PIN has 4 to 8 digits")
    return Mobile(apn, pin)


def _secret(option: str, path: Path) -> str:
    from edge_anpr import files

    return files.read(path, f"{option} names no file", 1000).decode("utf-8", "replace").rstrip("\r\n")
