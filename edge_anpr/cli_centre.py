"""``edge-anpr centre …``: what the control room runs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from edge_anpr import cli_records
from edge_anpr.cli_types import HOST_PORT
from edge_anpr.errors import Unusable

_PATH = click.Path(path_type=Path)


@click.group()
def centre() -> None:
    """Arm units with a signed list, withdraw it, take their hits: what the control room runs.

    \b
    Once:         edge-anpr centre keygen keys/
    On each unit: watchlist.source: arm, watchlist.centre_keys: [ticket.pub], delivery.seal_to: hits.pub,
                  delivery.until: receipt, delivery.receipt_keys: [receipt.pub]
    Every day:    edge-anpr centre arm  --broker HOST:PORT --list FILE --authority FILE --key keys/ticket.key ...
                  edge-anpr centre serve --broker HOST:PORT --key keys/hits.key --receipt-key keys/receipt.key --db URL
    In a hurry:   edge-anpr centre revoke --broker HOST:PORT --list-id ID --up-to-version N --key keys/ticket.key ...
    """  # noqa: D301 - click wants a real backspace before lines that it is to keep


cli_records.register(centre)


def _broker_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        (
            click.option(
                "--broker", "address", required=True, type=HOST_PORT, metavar="HOST:PORT", help="The MQTT 5 broker."
            ),
            click.option("--username", help="The centre's name at the broker."),
            click.option("--password-file", type=_PATH, help="A file that holds the password, nothing else."),
            click.option("--ca", type=_PATH, help="The broker's certificate authority, PEM; turns TLS on."),
            click.option("--certificate", type=_PATH, help="The centre's own certificate, PEM."),
            click.option("--tls-key", type=_PATH, help="The key of --certificate, PEM."),
        )
    ):
        command = option(command)
    return command


_revocations_option = click.option(
    "--revocations",
    required=True,
    type=_PATH,
    metavar="DIR",
    help="Where withdrawn lists are kept, the same for `arm` and `revoke`; made if it is not there.",
)
_ticket_key_option = click.option(
    "--key", "key_path", required=True, type=_PATH, help="ticket.key of `centre keygen`; it signs."
)


@centre.command()
@click.argument("folder", type=_PATH, metavar="DIR")
def keygen(folder: Path) -> None:
    """Make the centre's keys in DIR: three secret ones that stay here, three public ones for the units.

    \b
    ticket.key  secret: signs "this list is for this unit now", and "this list is withdrawn"
    ticket.pub  goes on every unit, under watchlist.centre_keys
    receipt.key secret: signs "this hit is in our records": units delete what it names
    receipt.pub goes on every unit, under delivery.receipt_keys
    hits.key    secret: opens hits; whoever has it reads every hit
    hits.pub    goes on every unit, as delivery.seal_to

    Lists themselves are signed with another key, by who answers for them. Nothing that exists is overwritten.
    """  # noqa: D301 - as above
    from edge_anpr.privacy import keys, seal
    from edge_anpr.watch import envelope

    names = [folder / f"{name}.{half}" for name in ("ticket", "receipt", "hits") for half in ("key", "pub")]
    for path in names:
        if path.exists():
            raise Unusable(f"{path}: is there already; a key is never overwritten: name another folder")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Unusable(f"{folder}: cannot be made: {error.strerror}") from error
    made = (
        *envelope.new_pair("centre, tickets"),
        *envelope.new_pair("centre, receipts"),
        *seal.new_pair("centre, hits"),
    )
    for path, key in zip(names, made, strict=True):
        keys.write(path, key)
        click.echo(f"{path}")
    click.echo("Back the two .key files up where nobody else can read them; the .pub ones go on the units.")


@centre.command()
@_broker_options
@click.option("--list", "list_path", required=True, type=_PATH, help="The signed list; a newer version is noticed.")
@click.option(
    "--authority", required=True, multiple=True, type=_PATH, help="Public key of who signs lists; repeatable."
)
@_ticket_key_option
@_revocations_option
@click.option("--unit-keys", type=_PATH, metavar="DIR", help="Public keys of the units, UNIT.pub; see above.")
@click.option("--auto", is_flag=True, help="Answer without asking; for a site with --unit-keys or a guarded broker.")
def arm(
    list_path: Path,
    authority: tuple[Path, ...],
    key_path: Path,
    revocations: Path,
    unit_keys: Path | None,
    auto: bool,
    **at: Any,
) -> None:
    """Answer units that ask for their list, until Ctrl-C.

    Each is shown with the list it would get (never its plates) and gets it by your y. Only units that the list names
    get it, while list and mandate are valid, sealed to a key that the unit made when it started. A newer version in
    the same file goes to all of them. A withdrawn one goes to nobody.

    Whoever may publish as a unit at the broker can ask in its name: let the broker tie names to certificates. With
    --unit-keys a request must also be signed by the unit's own key.
    """
    from edge_anpr.centre.armer import SUBSCRIPTION, Armer
    from edge_anpr.centre.broker import until_stopped
    from edge_anpr.centre.listfile import ListFile
    from edge_anpr.centre.operator import Operator
    from edge_anpr.centre.revocations import Revocations
    from edge_anpr.privacy import keys
    from edge_anpr.watch import envelope

    _begin("arm")
    secret = keys.read(key_path, "ed25519", secret=True)
    authorities = {keys.key_id(key.raw): key.raw for key in (_public(path) for path in authority)}
    listfile = ListFile(list_path, authorities)
    withdrawn = Revocations(revocations, envelope.trusted_by(secret))
    units = None
    if unit_keys is not None:
        units = {path.stem: _public(path).raw for path in sorted(unit_keys.glob("*.pub"))}
        if not units:
            raise Unusable(f"--unit-keys {unit_keys}: holds no UNIT.pub, like pole-07.pub")
    elif auto:
        logging.warning("--auto without --unit-keys: whoever may publish as a unit at this broker gets the list")
    link = _link("arm", [SUBSCRIPTION], at)
    armer = Armer(link, listfile, withdrawn, secret, None if auto else Operator().decide, units)
    until_stopped(link, armer.turn)


@centre.command()
@_broker_options
@click.option("--list-id", required=True, help="The list's list_id.")
@click.option("--up-to-version", required=True, type=click.IntRange(min=0), help="This version and all before it.")
@click.option("--unit", "units", multiple=True, help="Only this unit; repeatable. Without it: all.")
@_ticket_key_option
@_revocations_option
def revoke(
    list_id: str, up_to_version: int, units: tuple[str, ...], key_path: Path, revocations: Path, **at: Any
) -> None:
    """Withdraw a list up to a version; units that are connected stop using it within ten seconds.

    The signed withdrawal is kept in --revocations first, where `centre arm` finds it, gives the list to nobody any
    more and repeats the withdrawal to units that still hold it; then it is left at the broker for every unit, also
    for those that are away now. To say it twice does no harm. A newer version can be given as usual.

    Exit code 1 when the broker knows none of the units.
    """
    from edge_anpr.centre.revocations import Revocations
    from edge_anpr.centre.revoker import SUBSCRIPTION, tell
    from edge_anpr.privacy import keys
    from edge_anpr.watch import arming, envelope

    _begin("revoke")
    secret = keys.read(key_path, "ed25519", secret=True)
    names = units or ("*",)
    raw = arming.revoke(list_id, up_to_version, names, secret, datetime.now(UTC))
    Revocations(revocations, envelope.trusted_by(secret)).add(raw)
    link = _link("revoke", [SUBSCRIPTION], at)
    try:
        told = tell(link, raw, names)
    finally:
        link.close()
    for one in told:
        click.echo(f"{one.topic}: {'told' if one.listening else 'is away; the broker keeps it until it is back'}")
    missing = sorted(set(units) - {one.topic.rsplit("/", 1)[-1] for one in told})
    if missing or not told:
        who = f"unit {', '.join(missing)}" if missing else "any unit"
        click.echo(
            f"edge-anpr: this broker does not know {who}; is it the right one? `centre arm` tells them", err=True
        )
        sys.exit(1)


@centre.command()
@_broker_options
@click.option(
    "--key",
    "key_paths",
    required=True,
    multiple=True,
    type=_PATH,
    help="hits.key of `centre keygen`; it opens. Repeatable: old keys still open what waited on a unit.",
)
@click.option("--receipt-key", required=True, type=_PATH, help="receipt.key of `centre keygen`; it signs receipts.")
@cli_records.db_option
@click.option("--keep-days", type=click.FloatRange(min=0, min_open=True), default=28.0, show_default=True)
@click.option(
    "--evidence-days", type=click.FloatRange(min=0, min_open=True), help="Pictures go sooner; else with their hits."
)
@click.option("--metrics", metavar="HOST:PORT", help="Where Prometheus may ask, like 127.0.0.1:9178.")
def serve(
    key_paths: tuple[Path, ...],
    receipt_key: Path,
    url: str,
    keep_days: float,
    evidence_days: float | None,
    metrics: str | None,
    **at: Any,
) -> None:
    """Take the hits of all units into a database, each once, and give their units receipts, until Ctrl-C.

    A unit with delivery.until: receipt keeps a hit until its receipt has come, whatever is killed or cut between. Start
    several with one database, and they share the work. `centre watch` shows what it knows.
    """
    cli_records.need_libraries()
    from edge_anpr.centre.broker import until_stopped
    from edge_anpr.centre.metrics import Figures
    from edge_anpr.centre.metrics import serve as answer
    from edge_anpr.centre.receiver import UNACKNOWLEDGED, subscriptions
    from edge_anpr.centre.serving import Keep, Serving
    from edge_anpr.centre.store import Store
    from edge_anpr.privacy import keys

    _begin("centre")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    secrets = [keys.read(path, "x25519", secret=True) for path in key_paths]
    signing = keys.read(receipt_key, "ed25519", secret=True)
    store = Store(url)
    link = _link("serve", subscriptions(signing), at, UNACKNOWLEDGED)
    keep = Keep(keep_days, keep_days if evidence_days is None else min(evidence_days, keep_days))
    figures = Figures()
    if metrics is not None:
        answer(metrics, figures.registry)
    until_stopped(link, Serving(link, store, secrets, signing, keep, figures).turn)
    store.close()


@centre.command()
@_broker_options
@click.option("--key", "key_path", required=True, type=_PATH, help="hits.key of `centre keygen`; it opens.")
def hits(key_path: Path, **at: Any) -> None:
    """Print the hits of all units as they arrive, opened, until Ctrl-C.

    A hit that is sealed to another key is shown as sealed. This shows and does not store: hits that arrive while
    nobody listens wait on the units.
    """
    from edge_anpr.centre.broker import until_stopped
    from edge_anpr.centre.hits import SUBSCRIPTION, HitOpener
    from edge_anpr.privacy import keys
    from edge_anpr.tools.terminal import HitPrinter

    _begin("hits")
    secret = keys.read(key_path, "x25519", secret=True)
    link = _link("hits", [SUBSCRIPTION], at)
    until_stopped(link, HitOpener(link, secret, HitPrinter()).turn)


def _begin(name: str) -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=f"{name}: %(message)s")


def _public(path: Path) -> Any:
    from edge_anpr.privacy import keys

    return keys.read(path, "ed25519", secret=False)


def _link(role: str, subscriptions: Sequence[str], at: dict[str, Any], unacknowledged: int | None = None) -> Any:
    from edge_anpr.centre.broker import broker, words
    from edge_anpr.unit.mqtt import Link

    if (at["certificate"] is None) != (at["tls_key"] is None):
        raise click.UsageError("--certificate and --tls-key go together")
    where = broker(
        at["address"], role,
        at["username"], at["password_file"], at["ca"], at["certificate"], at["tls_key"],
    )  # fmt: skip
    try:
        return Link(where, subscribe=subscriptions, unacknowledged=unacknowledged)
    except Unusable as error:
        raise Unusable(words(str(error))) from error
