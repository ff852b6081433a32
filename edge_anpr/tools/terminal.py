"""What people see: hits and heartbeats as they arrive, a progress bar, a table; the only file that names rich.

Colours and the bar are for terminals. Where output goes to a file or a pipe, it is plain text, one line each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from edge_anpr.plates.syntax import grouped
from edge_anpr.privacy.seal import is_sealed

_PHASES = {
    "first": ("HIT first", "bold green"),
    "final": ("HIT final", "green"),
    "withdrawn": ("WITHDRAWN", "bold red"),
}


class HitPrinter:
    """Prints each MQTT message of a unit as one line; call it with (topic, payload).

    Nothing in a payload is trusted: what is missing or of another kind is shown as ``-``, and control characters are
    not printed.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self._console = Console(file=file, highlight=False, soft_wrap=True)

    def __call__(self, topic: str, payload: bytes) -> None:
        """Print one message."""
        parts = topic.split("/")[5:]
        kind = parts[0] if parts else ""
        if is_sealed(payload):
            line = Text(" " * 11 + f"{_clean(kind):<12}sealed, {len(payload)} bytes", "dim")
            self._console.print(line, soft_wrap=True)
            return
        try:
            body = json.loads(payload)
        except (ValueError, RecursionError):  # thousands of brackets
            body = None
        if not isinstance(body, dict):
            line = Text(f"{_clean(topic)}: {len(payload)} bytes that are no JSON object", "red")
        elif kind == "hit":
            line = _hit(body)
        elif kind == "health":
            line = _health(body)
        elif kind == "status":
            line = _status(body)
        elif kind == "birth":
            line = _birth(body)
        elif kind == "alarm":
            line = _alarm(body)
        else:
            line = Text(f"{_clean(kind)}: {len(payload)} bytes", "dim")
        self._console.print(line, soft_wrap=True)


@contextmanager
def progress(total: int, description: str) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, if that is a terminal; the value is called with how much further the work has come."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda step: bar.advance(task, step)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], file: TextIO | None = None) -> None:
    """Print a table; numbers are set to the right."""
    drawn = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        drawn.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        drawn.add_row(*(Text(_clean(value)) for value in row))
    Console(file=file).print(drawn)


def _hit(body: dict[str, Any]) -> Text:
    word, style = _PHASES.get(str(body.get("phase")), ("HIT ?", "bold yellow"))
    match = _part(body, "match")
    read, layout, listed = body.get("read"), body.get("layout"), match.get("listed")
    plate = grouped(read, layout) if isinstance(read, str) and isinstance(layout, str) else read
    confidences = body.get("char_confidence")
    told = confidences if isinstance(confidences, list) else []
    certain = [value for value in told if isinstance(value, int | float)]
    line = Text(f"{_time(body.get('captured_at'))}  ")
    line.append(f"{word:<10}  ", style)
    line.append(f"{_clean(plate):<11}", "bold")
    line.append(f" {_clean(body.get('country')):<3} {_clean(match.get('class'))}")
    if isinstance(listed, str) and listed != read:
        line.append(f" (listed {_clean(listed)})", "yellow")
    line.append(f"  {_clean(match.get('reason'))}", "cyan")
    line.append(f"  {_clean(body.get('agree'))}/{_clean(body.get('frames'))} frames agree")
    line.append(f"  least certain character {min(certain):.0%}" if certain else "", "dim")
    return line.append(f"  {_clean(body.get('hit_id'))[:8]}", "dim")


def _health(body: dict[str, Any]) -> Text:
    recogniser, publisher = _part(body, "recogniser"), _part(body, "publisher")
    outbox, latency = _part(publisher, "outbox"), _part(recogniser, "latency_ms")
    state = _clean(recogniser.get("state", "no recogniser yet"))
    line = Text(f"{_time(body.get('at'))}  ")
    line.append("health      ", "blue")
    line.append(f"{state:<11}", "" if state in {"running", "ended", "no recogniser yet"} else "bold red")
    for name, value in (
        ("fps", recogniser.get("fps")),
        ("p95 ms", latency.get("p95")),
        ("frames", recogniser.get("frames")),
        ("passages", recogniser.get("passages")),
        ("hits", recogniser.get("hits")),
        ("outbox", outbox.get("hits")),
        ("broker s", publisher.get("connected_s")),
    ):
        line.append(f" {name} ", "dim")
        line.append(_clean(value))
    return line


def _status(body: dict[str, Any]) -> Text:
    word = _clean(body.get("status"))
    line = Text(f"{_time(body.get('at'))}  ")
    return line.append(f"{'status':<12}", "blue").append(word, "bold red" if word == "lost" else "bold")


def _alarm(body: dict[str, Any]) -> Text:
    active = body.get("active")
    told = [item for item in active if isinstance(item, dict)] if isinstance(active, list) else []
    line = Text(" " * 11)
    line.append(f"{'alarm':<12}", "bold red" if told else "blue")
    texts = [
        f"{_clean(item.get('code'))} since {_time(item.get('since'))}: {_clean(item.get('text'))}" for item in told
    ]
    return line.append("; ".join(texts) or "none stands any more", "red" if told else "dim")


def _birth(body: dict[str, Any]) -> Text:
    camera, watchlist, mandate = _part(body, "camera"), _part(body, "list"), _part(body, "mandate")
    told = "  ".join(
        f"{name} {_clean(value)}"
        for name, value in (
            ("edge-anpr", body.get("version")),
            ("camera", camera.get("id")),
            ("source", camera.get("source")),
            ("list", watchlist.get("list_id")),
            ("entries", watchlist.get("entries")),
            ("mandate", mandate.get("reference")),
        )
    )
    return Text(" " * 11).append(f"{'birth':<12}", "blue").append(told, "dim")


def _part(body: dict[str, Any], key: str) -> dict[str, Any]:
    part = body.get(key)
    return part if isinstance(part, dict) else {}


def _time(value: object) -> str:
    """The time of day of ``2026-05-01T12:00:00.000Z``, in UTC."""
    text = _clean(value) if isinstance(value, str) else ""
    return f"{text[11:19]}Z" if len(text) > 19 else " " * 9


def _clean(value: object) -> str:
    if value is None:
        return "-"
    return "".join(character if character.isprintable() else "?" for character in str(value))
