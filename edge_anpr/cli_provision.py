"""``edge-anpr provision …``: certificates for the broker, its units and centres, and taking them back."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_anpr.cli_card import card
from edge_anpr.cli_types import HOST_PORT
from edge_anpr.errors import Unusable
from edge_anpr.provision import CERTIFICATE_DAYS

if TYPE_CHECKING:
    from edge_anpr.provision.authority import Authority, Issued
    from edge_anpr.provision.certificates import Certificate

_PATH = click.Path(path_type=Path)
_DAYS = click.IntRange(min=1, max=36500)
MAX_PASSPHRASE_BYTES = 1000


@click.group()
def provision() -> None:
    """Make the certificates with which units, centres and the broker know each other; take them back.

    \b
    Once:        edge-anpr provision ca authority/ --ask-passphrase
                 edge-anpr provision broker authority/ --name mqtt.example.org
                 edge-anpr provision centre authority/
    Each unit:   edge-anpr provision unit authority/ --org town --site bridge --unit pole-07
    After each:  crl.pem and acl of the folder go to the broker, which is then reloaded (docs/broker.md)
    Stolen unit: edge-anpr provision revoke authority/ --unit town/bridge/pole-07
                 and when the broker has crl.pem and acl:
                 edge-anpr provision evict authority/ --unit town/bridge/pole-07 --broker mqtt.example.org:8883

    Keep the folder off the broker and off the units, on a disk that is encrypted and backed up: with its ca.key one can
    be any unit. A certificate's name (CN) is the name at the broker: org/site/unit, or the centre's.
    """  # noqa: D301 - click wants a real backspace before lines that it is to keep


provision.add_command(card)
_passphrase_option = click.option(
    "--passphrase-file", type=_PATH, help="Holds the passphrase of ca.key, nothing else. Else it is asked for."
)
_renew_option = click.option(
    "--renew",
    is_flag=True,
    help="One more for a name that has one; the old one stays good until it ends or is revoked.",
)


def _days_option(command: Callable[..., None]) -> Callable[..., None]:
    text = "How long it is good, in days; not longer than the authority."
    return click.option("--days", type=_DAYS, default=CERTIFICATE_DAYS, show_default=True, help=text)(command)


@provision.command()
@click.argument("folder", type=_PATH, metavar="DIR")
@click.option("--name", default="edge-anpr", show_default=True, help="Whose authority it is; stands in certificates.")
@click.option("--days", type=_DAYS, default=3650, show_default=True, help="When it ends, all that it issued ends.")
@click.option("--passphrase-file", type=_PATH, help="Encrypt ca.key with the passphrase in this file.")
@click.option("--ask-passphrase", is_flag=True, help="Encrypt ca.key with a passphrase that you type.")
def ca(folder: Path, name: str, days: int, passphrase_file: Path | None, ask_passphrase: bool) -> None:
    """Make a certificate authority in DIR: once, for all units of one broker.

    \b
    ca.key   secret: whoever has it can be any unit, any centre, and the broker
    ca.pem   goes to everybody: mqtt.tls.ca of a unit, --ca of a centre, cafile of the broker
    crl.pem  goes to the broker: which certificates were taken back
    acl      goes to the broker: who may write and read what
    """  # noqa: D301 - as above
    _need_library()
    from edge_anpr.provision import authority

    if ask_passphrase and passphrase_file is not None:
        raise click.UsageError("--ask-passphrase or --passphrase-file, not both")
    passphrase = None if passphrase_file is None else _passphrase_in(passphrase_file)
    if ask_passphrase:
        _need_terminal()
        typed = str(click.prompt("Passphrase of ca.key", hide_input=True, confirmation_prompt=True, err=True))
        passphrase = typed.encode()
    made = authority.create(folder, name, days, passphrase)
    click.echo(f"{folder}: certificate authority, until {made.ends:%Y-%m-%d}")
    if passphrase is None:
        click.echo("ca.key is not encrypted; keep DIR on a disk that is")


@provision.command()
@click.argument("folder", type=_PATH, metavar="DIR")
@click.option("--name", required=True, help="The host name under which units reach the broker.")
@click.option("--dns", multiple=True, help="Another host name of it; repeatable.")
@click.option("--ip", "ips", multiple=True, help="An address under which units reach it; repeatable.")
@_days_option
@_renew_option
@_passphrase_option
def broker(
    folder: Path, name: str, dns: tuple[str, ...], ips: tuple[str, ...], days: int, renew: bool,
    passphrase_file: Path | None,
) -> None:  # fmt: skip
    """Make the broker's key and certificate. Units refuse a broker whose name or address is not in it."""
    try:
        addresses = [ip_address(one) for one in ips]
    except ValueError as error:
        raise click.UsageError(f"--ip: {error}") from None
    opened = open_authority(folder)
    from edge_anpr.provision.certificates import Role

    made = opened.issue(
        Role.BROKER, name, days, passphrase_of(opened, passphrase_file), renew=renew, dns=(name, *dns), ips=addresses
    )
    _tell(made, "goes to the broker (deploy/broker/install)")


@provision.command()
@click.argument("folder", type=_PATH, metavar="DIR")
@click.option("--org", required=True, help="unit.org of the unit's config.")
@click.option("--site", required=True, help="unit.site of the unit's config.")
@click.option("--unit", required=True, help="unit.id of the unit's config.")
@click.option("--camera", "cameras", multiple=True, help="camera.id of its config, cam-1 if none; repeatable.")
@_days_option
@_renew_option
@_passphrase_option
def unit(
    folder: Path, org: str, site: str, unit: str, cameras: tuple[str, ...], days: int, renew: bool,
    passphrase_file: Path | None,
) -> None:  # fmt: skip
    """Make a unit's key and certificate. At the broker it may write under its own name and cameras only."""
    opened = open_authority(folder)
    from edge_anpr.provision.certificates import Role

    passphrase = passphrase_of(opened, passphrase_file)
    made = opened.issue(Role.UNIT, f"{org}/{site}/{unit}", days, passphrase, renew=renew, cameras=cameras)
    _tell(made, "goes to the unit: mqtt.tls {ca: ca.pem, certificate: unit.pem, key: unit.key}")


@provision.command()
@click.argument("folder", type=_PATH, metavar="DIR")
@click.option("--name", default="centre", show_default=True, help="One for each process that is connected.")
@_days_option
@_renew_option
@_passphrase_option
def centre(folder: Path, name: str, days: int, renew: bool, passphrase_file: Path | None) -> None:
    """Make a centre's key and certificate. It reads all units and sends them lists, receipts and commands.

    The broker knows a process by this name, and ends its session when another one comes with the same name. So
    `centre serve`, `centre arm`, and a second `centre serve`, need one each.
    """
    opened = open_authority(folder)
    from edge_anpr.provision.certificates import Role

    made = opened.issue(Role.CENTRE, name, days, passphrase_of(opened, passphrase_file), renew=renew)
    _tell(made, "goes to the centre: --ca ca.pem --certificate centre.pem --tls-key centre.key")


@provision.command()
@click.argument("folder", type=_PATH, metavar="DIR")
@click.option("--unit", "units", multiple=True, metavar="ORG/SITE/UNIT", help="All certificates of a unit; repeatable.")
@click.option("--centre", "centres", multiple=True, metavar="NAME", help="All certificates of a centre; repeatable.")
@click.option("--serial", "serials", multiple=True, help="One certificate, by the first digits that `show` prints.")
@_passphrase_option
def revoke(
    folder: Path, units: tuple[str, ...], centres: tuple[str, ...], serials: tuple[str, ...],
    passphrase_file: Path | None,
) -> None:  # fmt: skip
    """Take certificates back: crl.pem and acl are written anew, and are to go to the broker now.

    When the broker has them and was reloaded, the name gets no new session, and a session that stands can neither
    write nor read. `evict` then ends that session, too; so does a restart of the broker.
    """
    if not (units or centres or serials):
        raise click.UsageError("say whom: --unit ORG/SITE/UNIT, --centre NAME or --serial DIGITS")
    opened = open_authority(folder)
    from edge_anpr.provision.certificates import Role

    chosen: list[Certificate] = []
    for role, names in ((Role.UNIT, units), (Role.CENTRE, centres)):
        for name in names:
            found = [one for one in opened.standing() if (one.role, one.name) == (role, name)]
            if not found:
                raise Unusable(f"{name}: no {role.value} of this name has a certificate that could be revoked")
            chosen += found
    chosen += [opened.by_serial(digits) for digits in serials]
    opened.revoke([one.serial for one in chosen], passphrase_of(opened, passphrase_file))
    for one in chosen:
        click.echo(f"{one.name}: {one.serial_hex[:8]} is revoked")
    click.echo(f"now to the broker: {folder / 'crl.pem'} and {folder / 'acl'} (deploy/broker/install), then `evict`")


@provision.command()
@click.argument("folder", type=_PATH, metavar="DIR")
@click.option("--unit", "name", metavar="ORG/SITE/UNIT", help="The unit whose session ends.")
@click.option("--centre", metavar="NAME", help="The centre whose session ends.")
@click.option("--broker", "address", required=True, type=HOST_PORT, metavar="HOST:PORT", help="The broker.")
@_passphrase_option
def evict(
    folder: Path, name: str | None, centre: str | None, address: tuple[str, int], passphrase_file: Path | None
) -> None:
    """End the live session of a name at the broker; all others go on.

    Whoever had it must show a certificate again. So first `revoke`, then crl.pem to the broker, and then this.
    """
    who = name or centre
    if who is None or (name is not None and centre is not None):
        raise click.UsageError("say whose: --unit ORG/SITE/UNIT or --centre NAME")
    opened = open_authority(folder)
    from edge_anpr.provision.evict import evict as end
    from edge_anpr.unit.mqtt import Broker

    if who not in {one.name for one in opened.issued()}:
        raise Unusable(f"{who}: was never given a certificate here; see `edge-anpr provision show {folder}`")
    pair = opened.eviction(who, passphrase_of(opened, passphrase_file))
    with tempfile.TemporaryDirectory() as place:
        certificate, key = Path(place, "eviction.pem"), Path(place, "eviction.key")
        certificate.write_bytes(pair.certificate)
        key.touch(mode=0o600)
        key.write_bytes(pair.key)
        where = Broker(
            *address, "edge-anpr-evict",
            ca=folder / "ca.pem", certificate=certificate, key=key,
        )  # fmt: skip
        try:
            end(where)
        except Unusable as error:
            raise Unusable(f"{address[0]}:{address[1]}: {error}") from None
    click.echo(f"{who}: no session any more; a new one needs a certificate that is not revoked")


@provision.command()
@click.argument("folder", type=_PATH, metavar="DIR")
@click.option("--all", "everything", is_flag=True, help="Also what has ended.")
def show(folder: Path, everything: bool) -> None:
    """Show what was issued, until when it is good, and what was revoked.

    A renewed name stands there once for each certificate. Cameras are named where they are others than cam-1.
    """
    opened = open_authority(folder)
    from edge_anpr.provision.authority import FIRST_CAMERA
    from edge_anpr.tools.terminal import table

    now, revoked = datetime.now(UTC), opened.revocations().revoked
    rows = []
    for one in (opened.certificate, *opened.issued()):
        if one.ends > now or everything:
            state = f"{(one.ends - now).days} days left" if one.ends > now else "ended"
            state = "revoked" if one.serial in revoked else state
            purpose = " ".join((one.role.value, *(name for name in one.cameras if one.cameras != (FIRST_CAMERA,))))
            rows.append((one.name, purpose, one.serial_hex[:8], f"{one.ends:%Y-%m-%d}", state))
    table("Certificates", ("name", "for", "serial", "until", "state"), rows)


def _tell(made: Issued, where: str) -> None:
    click.echo(f"{made.folder}: {where}")
    click.echo(f"  {made.certificate.name}, until {made.certificate.ends:%Y-%m-%d}; its key is nowhere else")


def _need_library() -> None:
    try:
        import edge_anpr.provision.certificates  # noqa: F401
    except ImportError:
        raise Unusable("certificates need a library: pip install 'edge-anpr[provision]'") from None


def _need_terminal() -> None:
    if not sys.stdin.isatty():
        raise Unusable("nobody can type a passphrase here; name it with --passphrase-file")


def open_authority(folder: Path) -> Authority:
    """The authority in a folder. Raises Unusable."""
    _need_library()
    from edge_anpr.provision.authority import Authority

    return Authority(folder)


def passphrase_of(opened: Authority, path: Path | None) -> bytes | None:
    """The passphrase of its ca.key, from a file or from a person; None if it has none. Raises Unusable."""
    if path is not None:
        return _passphrase_in(path)
    if not opened.encrypted:
        return None
    _need_terminal()
    return str(click.prompt("Passphrase of ca.key", hide_input=True, err=True)).encode()


def _passphrase_in(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_PASSPHRASE_BYTES + 1)
    except OSError as error:
        raise Unusable(f"--passphrase-file {path}: cannot be read: {error.strerror}") from error
    text = text.rstrip(b"\r\n")
    if not text or len(text) > MAX_PASSPHRASE_BYTES:
        raise Unusable(f"--passphrase-file {path}: holds no passphrase (1 to {MAX_PASSPHRASE_BYTES} bytes)")
    return text
