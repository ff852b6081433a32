"""`edge-anpr watchlist …`: what an authority does with a list before a unit may use it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_anpr import files
from edge_anpr.errors import Unusable

if TYPE_CHECKING:
    from edge_anpr.watch.watchlist import Watchlist

_FILE = click.Path(path_type=Path)


@click.group()
def watchlist() -> None:
    """Make, sign and check the list of plates that a unit reports.

    \b
    edge-anpr watchlist keygen authority                    # once: authority.key stays in the safe, authority.pub
                                                            # goes to every unit (watchlist.keys)
    edge-anpr watchlist make stolen.csv --out stolen.json …  # plates from a table; every bad row is named
    edge-anpr watchlist sign stolen.json --key authority.key --out stolen.signed
    edge-anpr watchlist verify stolen.signed --key authority.pub
    """  # noqa: D301 - click wants a real backspace before lines that it is to keep


@watchlist.command()
@click.argument("name", type=_FILE)
@click.option("--comment", default="", help="Whose key this is; it stands in the file.")
def keygen(name: Path, comment: str) -> None:
    """Make a key pair for signing lists: NAME.key, the secret, and NAME.pub, which units trust.

    Whoever has the secret decides which plates are reported. Keep it off the units and off the broker.
    """
    from edge_anpr.privacy import keys
    from edge_anpr.watch import envelope

    secret, public = envelope.new_pair(comment)
    keys.write(name.with_name(f"{name.name}.key"), secret)
    keys.write(name.with_name(f"{name.name}.pub"), public)
    click.echo(f"{name}.key  secret: signs lists")
    click.echo(f"{name}.pub  public: key id {keys.key_id(public.raw)}; name it under watchlist.keys of each unit")


@watchlist.command()
@click.argument("table", type=_FILE)
@click.option("--out", required=True, type=_FILE, help="The list, to be signed.")
@click.option("--list-id", required=True, help="Its name; it stays the same from version to version.")
@click.option("--version", required=True, type=click.IntRange(min=0), help="Counts up; units refuse an older one.")
@click.option("--unit", "units", multiple=True, required=True, help="A unit that may use it; repeat it, or '*'.")
@click.option("--valid-until", required=True, help="When it ends, like 2026-12-31 or 2026-12-31T12:00:00Z.")
@click.option("--valid-from", help="When it begins; now, if nothing is said.")
@click.option("--regime", required=True, help="The law it rests on, like 'Sv 126jj'.")
@click.option("--reference", required=True, help="The order's own number.")
@click.option("--authority", required=True, help="Who gave the order, and answers for it.")
@click.option("--mandate-until", required=True, help="When the order ends.")
def make(
    table: Path, out: Path, list_id: str, version: int, units: tuple[str, ...], valid_until: str,
    valid_from: str | None, regime: str, reference: str, authority: str, mandate_until: str,
) -> None:  # fmt: skip
    """Make a list from a CSV file with the columns plate,country,reason,not_after,priority.

    Every bad row is listed with its line and its reason, and then no list is written. Exit code 2.
    """
    from edge_anpr.watch import making
    from edge_anpr.watch.watchlist import Header, Mandate, payload

    begin = datetime.now(UTC).replace(microsecond=0) if valid_from is None else _moment("--valid-from", valid_from, 0)
    header = Header(
        list_id, version, begin, _moment("--valid-until", valid_until, 1), units,
        Mandate(regime, reference, authority, _moment("--mandate-until", mandate_until, 1)),
    )  # fmt: skip
    try:
        text = files.read(table, most_bytes=making.MAX_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise Unusable(f"{table}: is not UTF-8 text; save it as UTF-8") from None
    made, bad = making.from_csv(text, header)
    if made is None:
        for row in bad:
            click.echo(f"{table}:{row.line}: {row.text}", err=True)
        click.echo(f"edge-anpr: {table}: {len(bad)} bad rows; no list was written", err=True)
        sys.exit(2)
    _write(out, payload(made))
    click.echo(f"{out}: {len(made)} plates in {len(made.entries)} groups; not signed yet")


@watchlist.command()
@click.argument("file", type=_FILE)
@click.option("--key", "secrets", multiple=True, required=True, type=_FILE, help="NAME.key; twice while keys change.")
@click.option("--out", required=True, type=_FILE)
def sign(file: Path, secrets: tuple[Path, ...], out: Path) -> None:
    """Sign a list. It is checked first: what a unit would refuse is not signed."""
    from edge_anpr.privacy import keys
    from edge_anpr.watch import envelope
    from edge_anpr.watch.watchlist import MAX_BYTES, ListRefused, parse

    payload = files.read(file, most_bytes=MAX_BYTES)
    try:
        count = len(parse(payload))
    except ListRefused as error:
        raise Unusable(f"{file}: {error}") from None
    signed = envelope.sign(payload, envelope.LIST, *(keys.read(path, "ed25519", secret=True) for path in secrets))
    _write(out, signed)
    click.echo(f"{out}: {count} plates, signed")


@watchlist.command()
@click.argument("file", type=_FILE)
@click.option("--key", "public", multiple=True, required=True, type=_FILE, help="NAME.pub, as the unit has it.")
@click.option("--unit", help="Say whether this unit would take it now.")
def verify(file: Path, public: tuple[Path, ...], unit: str | None) -> None:
    """Say who signed a list, and whether it would be taken. Exit code 2 when not."""
    from edge_anpr.watch import opening

    found, key_id, digest = _open(file, public)
    if unit is not None:
        try:
            opening.judge(found.header, unit, datetime.now(UTC))
        except Unusable as error:
            raise Unusable(f"{file}: {error}") from None
    click.echo(f"{file}: signed by key {key_id}; sha256 {digest}")


@watchlist.command()
@click.argument("file", type=_FILE)
@click.option("--key", "public", multiple=True, type=_FILE, help="NAME.pub; without it nothing is verified.")
@click.option("--plates", is_flag=True, help="Show the plates as well, in clear.")
def show(file: Path, public: tuple[Path, ...], plates: bool) -> None:
    """Show what a list says: mandate, validity, and how many plates for which reason."""
    from edge_anpr.tools.terminal import table

    found, key_id, _ = _open(file, public)
    header, mandate = found.header, found.header.mandate
    rows = [
        ("list", f"{header.list_id} version {header.version}"),
        ("signed by", key_id or "nobody, or not verified: name --key"),
        ("valid", f"{header.valid_from:%Y-%m-%d %H:%M} to {header.valid_until:%Y-%m-%d %H:%M} UTC"),
        ("mandate", f"{mandate.regime}, {mandate.reference}, {mandate.authority}"),
        ("mandate ends", f"{mandate.not_after:%Y-%m-%d %H:%M} UTC"),
        ("units", ", ".join(header.units)),
    ]
    table("List", ("what", "value"), rows)
    counts: dict[tuple[str, str, int], list[datetime]] = {}
    for item in found.entries:
        key = (item.reason, item.country, item.priority)
        counts.setdefault(key, []).extend([item.not_after] * len(item.plates))
    summary = [
        (reason, country, priority, len(ends), f"{min(ends):%Y-%m-%d}", f"{max(ends):%Y-%m-%d}")
        for (reason, country, priority), ends in sorted(counts.items())
        if ends
    ]
    table(f"{len(found)} plates", ("reason", "country", "priority", "plates", "first ends", "last ends"), summary)
    if plates:
        for item in found.entries:
            for plate in item.plates:
                click.echo(f"{plate},{item.country},{item.reason},{item.not_after:%Y-%m-%dT%H:%M:%SZ},{item.priority}")


@watchlist.command()
@click.argument("file", type=_FILE)
@click.option("--passages-per-day", type=click.FloatRange(min=1), default=5000.0, show_default=True)
@click.option("--key", "public", multiple=True, type=_FILE, help="NAME.pub; without it nothing is verified.")
def simulate(file: Path, passages_per_day: float, public: tuple[Path, ...]) -> None:
    """Say how many false hits a day a list will make, by class, where so many vehicles pass.

    A false hit is a vehicle that is taken for a listed one because its plate was misread. A unit reckons the same and
    refuses a list that would make more than watchlist.false_hits_per_day. See docs/matching.md.
    """
    from edge_anpr.datatypes import MatchClass
    from edge_anpr.tools.terminal import table
    from edge_anpr.watch.budget import expected_false_hits

    found, _, _ = _open(file, public)
    expected = expected_false_hits(list(found.plates()), passages_per_day, MatchClass.NEAR)
    total, rows = 0.0, []
    for step in MatchClass:
        total += expected[step]
        rows.append((step.value, f"{expected[step]:.3g}", f"{total:.3g}", _every(total)))
    columns = ("class", "false hits a day", "up to this class", "that is one in")
    table(f"{len(found)} plates, {passages_per_day:g} passages a day", columns, rows)
    click.echo("watchlist.match says up to which class a unit goes: confusable, if nothing is said")


def _every(per_day: float) -> str:
    if per_day <= 0:
        return "for ever"
    days = 1 / per_day
    return f"{days / 365:.3g} years" if days > 730 else f"{days:.3g} days" if days > 2 else f"{days * 24:.3g} hours"


def _open(file: Path, public: tuple[Path, ...]) -> tuple[Watchlist, str | None, str]:
    """A list, who signed it, and its sha256; without keys whatever it is, signed or not."""
    from edge_anpr.privacy import keys
    from edge_anpr.watch import envelope, opening
    from edge_anpr.watch.watchlist import ListRefused, parse

    raw = files.read(file, most_bytes=envelope.MAX_BYTES)
    try:
        if not public:
            bare = envelope.kind_of(raw) is None
            return parse(raw if bare else envelope.unverified(raw, envelope.LIST)), None, ""
        return opening.read(raw, opening.Trust(keys.trusted(public)))
    except (ListRefused, envelope.EnvelopeRefused) as error:
        raise Unusable(f"{file}: {error}") from None


def _moment(option: str, text: str, days: int) -> datetime:
    from edge_anpr.watch.making import moment

    try:
        return moment(text, end=days > 0)
    except ValueError as error:
        raise click.UsageError(f"{option}: {error}") from None


def _write(path: Path, content: bytes) -> None:
    files.replace(path, content, secret=True)
    with files.writing(path):
        path.chmod(0o640)  # it names plates: for its owner, and the group of the service
