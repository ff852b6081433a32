"""``edge-anpr load``: how many units a broker and a centre carry."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_anpr.cli_types import HOST_PORT
from edge_anpr.errors import Unusable

if TYPE_CHECKING:
    from edge_anpr.tools.crowd import Figures, Storm
    from edge_anpr.tools.processes import Watch
    from edge_anpr.unit.mqtt import Broker

_PATH = click.Path(path_type=Path)
_NAME = r"[a-z0-9-]{1,32}"
MOST_UNITS = 9999


@click.command()
@click.option("--units", type=click.IntRange(1, MOST_UNITS), required=True, help="How many are played.")
@click.option("--broker", "address", required=True, type=HOST_PORT, metavar="HOST:PORT", help="The MQTT 5 broker.")
@click.option("--seal-to", required=True, type=_PATH, help="hits.pub of `centre keygen`: test hits are sealed, too.")
@click.option("--receipt-key", required=True, type=_PATH, help="receipt.pub of `centre keygen`.")
@click.option(
    "--hits-per-minute", type=click.FloatRange(0.01, 600.0), default=1.0, show_default=True, help="Of each unit."
)
@click.option("--seconds", type=click.FloatRange(1.0, 86_400.0), default=120.0, show_default=True)
@click.option("--health-every", type=click.FloatRange(0.5, 3600.0), default=30.0, show_default=True, help="Seconds.")
@click.option("--storm", is_flag=True, help="Cut all connections at once halfway, and see how all come back.")
@click.option("--org", default="load", show_default=True, help="Units are called ORG/SITE/load-0001 and so on.")
@click.option("--site", default="test", show_default=True)
@click.option("--certificates", type=_PATH, metavar="DIR", help="Folder of `provision ca`; holds one for each unit.")
@click.option("--ca", type=_PATH, help="Instead of --certificates: TLS without certificates of the units.")
@click.option("--username", help="One name at the broker for all units.")
@click.option("--password-file", type=_PATH, help="A file that holds the password, nothing else.")
@click.option("--patience", default=60.0, show_default=True, help="Seconds in which all units have to connect.")
@click.option(
    "--pid", "pids", multiple=True, metavar="NAME=PID",
    help="A process of this machine to watch; repeatable. Without it: mosquitto and `centre serve`, if they run here.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def load(
    address: tuple[str, int],
    seal_to: Path,
    receipt_key: Path,
    seconds: float,
    pids: tuple[str, ...],
    as_json: bool,
    **said: Any,
) -> None:
    """Play many units against a broker and a centre, and print how quickly hits arrive and what that costs.

    Each unit is real from its outbox on: it connects by itself, says health, sends sealed hits with a picture, waits
    for the centre's receipts, and comes back when it is cut off. Their plates have twelve characters, which no country
    issues; still the centre records them, so give it a database for this, and not the one of a control room at work:

    \b
    edge-anpr centre keygen keys/
    edge-anpr centre serve --broker HOST:PORT --key keys/hits.key --receipt-key keys/receipt.key \\
        --db sqlite:///load.db
    edge-anpr load --units 500 --broker HOST:PORT --seal-to keys/hits.pub --receipt-key keys/receipt.pub --storm

    With TLS and a broker that knows units by their certificates, `edge-anpr provision unit load/test/load-0001` and so
    on make those of --certificates. Topics of other names are not touched. When the broker is restarted meanwhile, that
    is measured as a storm as well. Outboxes lie in a temporary folder; TMPDIR=/dev/shm keeps their writes off a disk
    that the centre needs. Exit code 1 when a hit had no receipt in the end.
    """  # noqa: D301 - click wants a real backspace before lines that it is to keep
    from edge_anpr.privacy import keys
    from edge_anpr.tools.load import play
    from edge_anpr.tools.played import Wish
    from edge_anpr.tools.terminal import progress

    try:
        from edge_anpr.tools.processes import Watch, found
    except ModuleNotFoundError:
        raise Unusable("to watch processes needs a library: pip install 'edge-anpr[load]'") from None

    wish = Wish(
        hits_per_minute=said["hits_per_minute"],
        seconds=seconds,
        storm=said["storm"],
        health_s=said["health_every"],
        public=keys.read(seal_to, "x25519", secret=False),
        centres=keys.trusted([receipt_key]),
    )
    way = _way(address, said)
    ways = {name: way(name) for name in _names(said["org"], said["site"], said["units"])}
    watch = Watch(dict(map(_pid, pids)), {**({} if pids else found()), "this tool": os.getpid()})
    with progress(round(seconds), f"{len(ways)} units") as step:

        def every_second(playing: bool) -> None:
            watch.look()
            step(int(playing))

        figures = play(wish, ways, every_second, said["patience"])
    if as_json:
        click.echo(json.dumps(_told(figures, watch), indent=1))
    else:
        _show(figures, watch)
    sys.exit(1 if figures.unfinished else 0)


def _way(address: tuple[str, int], said: dict[str, Any]) -> Callable[[str], Broker]:
    """What gives a unit's way to the broker by its name."""
    from edge_anpr.privacy import keys
    from edge_anpr.unit.mqtt import Broker

    password = keys.password(said["password_file"], "--password-file")

    def way(name: str) -> Broker:
        ca, certificate, key = said["ca"], None, None
        if said["certificates"] is not None:
            folder = _latest(said["certificates"] / "units" / name)
            ca, certificate, key = folder / "ca.pem", folder / "unit.pem", folder / "unit.key"
        return Broker(
            *address,
            client_id=f"edge-anpr-{name.replace('/', '-')}",
            username=said["username"],
            password=password,
            ca=ca,
            certificate=certificate,
            key=key,
        )

    return way


def _names(org: str, site: str, units: int) -> list[str]:
    for option, given in (("--org", org), ("--site", site)):
        if not re.fullmatch(_NAME, given):
            raise click.UsageError(f"{option} takes 1 to 32 of a-z, 0-9 and -")
    return [f"{org}/{site}/load-{number:04d}" for number in range(1, units + 1)]


def _latest(folder: Path) -> Path:
    numbers = [int(one.name) for one in folder.iterdir() if one.name.isdecimal()] if folder.is_dir() else []
    if not numbers:
        raise Unusable(f"--certificates: holds no {folder}; `edge-anpr provision unit` makes what is in it")
    return folder / str(max(numbers))


def _pid(given: str) -> tuple[str, int]:
    name, _, pid = given.rpartition("=")
    if not name or not (pid.isascii() and pid.isdigit()):
        raise click.UsageError("--pid takes NAME=PID, like broker=1234")
    return name, int(pid)


def _told(figures: Figures, watch: Watch) -> dict[str, Any]:
    """The figures as plain values, for --json and for the tables."""
    from edge_anpr.tools.load import percentile

    def latency(values: list[float]) -> dict[str, Any]:
        named = {f"p{percent}_s": percentile(values, percent) for percent in (50, 95, 99)}
        shown = {name: None if value is None else round(value, 3) for name, value in named.items()}
        return {"messages": len(values), **shown, "max_s": round(max(values), 3) if values else None}

    def after(storm: Storm, moment_s: float | None) -> float | None:
        return None if moment_s is None else round(moment_s - storm.began_s, 1)

    return {
        "units": figures.units,
        "connecting_s": round(figures.connecting_s, 1),
        "playing_s": round(figures.playing_s, 1),
        "appended": figures.appended,
        "receipted": figures.receipted,
        "unfinished": figures.unfinished,
        "sent": figures.sent,
        "resent": figures.resent,
        "reconnects": figures.reconnects,
        "messages_per_s": round(figures.receipted / figures.playing_s, 1) if figures.playing_s else None,
        "calm": latency(figures.calm_s),
        "stormy": latency(figures.stormy_s),
        "storms": [
            {
                "lost": storm.lost,
                "connected_after_s": after(storm, storm.connected_s),
                "settled_after_s": after(storm, storm.settled_s),
            }
            for storm in figures.storms
        ],
        "processes": [
            {
                "name": usage.name,
                "pid": usage.pid,
                "cpu_percent_mean": round(sum(usage.cpu_percent) / max(1, len(usage.cpu_percent)), 1),
                "cpu_percent_p99_of_seconds": percentile(usage.cpu_percent, 99),
                "rss_megabytes": round(usage.rss_megabytes, 1),
            }
            for usage in watch.usages
        ],
    }


def _show(figures: Figures, watch: Watch) -> None:
    from edge_anpr.tools.terminal import table

    told = _told(figures, watch)
    names = {
        "units": "units",
        "connecting_s": "s until all had come",
        "playing_s": "s of play",
        "appended": "messages of hits made",
        "receipted": "of these with a receipt",
        "messages_per_s": "a second",
        "resent": "sent once more",
        "reconnects": "reconnections",
    }
    table("Played", ("what", "number"), [(text, told[name]) for name, text in names.items()])
    rows = [(text, *told[kind].values()) for kind, text in (("calm", "in calm"), ("stormy", "during storms"))]
    table("From append to receipt", ("when", "messages", "p50 s", "p95 s", "p99 s", "longest s"), rows)
    if told["storms"]:
        table(
            "Storms",
            ("units lost", "all connected after s", "all hits receipted after s"),
            [tuple(storm.values()) for storm in told["storms"]],
        )
    table(
        "Processes of this machine",
        ("name", "pid", "CPU % of a core", "in its worst second", "memory MB"),
        [tuple(usage.values()) for usage in told["processes"]],
    )
