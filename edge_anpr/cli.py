"""The command line. Everything heavy is imported by the command that needs it: a daemon loads no table printer."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

import click

import edge_anpr
from edge_anpr.cli_types import HOST_PORT
from edge_anpr.errors import Unusable

# numpy and OpenCV each bring an OpenBLAS that starts a thread per core; nothing here multiplies large matrices.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# OpenCV reads these when it is imported, and could be made to print what it works on.
for _name in ("OPENCV_TRACE", "OPENCV_DUMP_CONFIG", "OPENCV_LOG_LEVEL"):
    os.environ.pop(_name, None)

EXIT_USAGE = 2
EXIT_UNREADABLE = 3
EXIT_INTERRUPTED = 130

_config_option = click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="The unit's YAML file; start from config.example.yaml.",
)


# Commands of an office, each in its own module: a daemon does not load them (4 MB).
_ELSEWHERE = ("centre", "load", "provision", "watchlist")


class _Commands(click.Group):
    """Turns what a person must mend into one clear line and exit code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted((*super().list_commands(ctx), *_ELSEWHERE))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _ELSEWHERE:
            command: click.Command = getattr(import_module(f"edge_anpr.cli_{cmd_name}"), cmd_name)
            return command
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Unusable as error:
            for line in str(error).splitlines():
                click.echo(f"edge-anpr: {line}", err=True)
            sys.exit(EXIT_USAGE)
        except KeyboardInterrupt:
            sys.exit(EXIT_INTERRUPTED)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(edge_anpr.__version__, prog_name="edge-anpr")
def main() -> None:
    """Read number plates on the roadside unit, report those on the list, forget the rest.

    \b
    Try it:      edge-anpr run --demo
    Your unit:   edge-anpr check -c unit.yaml && edge-anpr self-test -c unit.yaml && edge-anpr run -c unit.yaml
    Your clips:  edge-anpr read clip.mp4 pictures/ --no-frames
    Your list:   edge-anpr watchlist --help
    Many units:  edge-anpr centre --help, edge-anpr provision --help, edge-anpr load --help
    """  # noqa: D301 - click wants a real backspace before lines that it is to keep


@main.command()
@_config_option
def check(config_path: Path | None) -> None:
    """Check a config and print the values in force, defaults filled in.

    Every mistake is named at once, with its line and key. Exit code 2 when there is any.
    """
    from edge_anpr import config

    click.echo(config.effective(config.load(_named(config_path))), nl=False)


@main.command()
@_config_option
@click.option("--demo", is_flag=True, help="The clip, list and broker that come with the package.")
def run(config_path: Path | None, demo: bool) -> None:
    """Run a whole unit on this machine and print its hits and heartbeats as they arrive.

    Starts the recogniser and the publisher as two processes, and an embedded MQTT 5 broker unless the config names
    one. Ctrl-C ends all of them. On a pole, systemd runs `recognise` and `publish` instead.
    """
    from edge_anpr.demo import prepared
    from edge_anpr.tools.terminal import HitPrinter
    from edge_anpr.unit import journal, supervisor

    if demo == (config_path is not None):
        raise click.UsageError("name a config with -c FILE, or say --demo")
    from edge_anpr import config

    journal.begin("supervisor")
    if demo:
        click.echo("demo: ten vehicles pass in 40 s; two of their plates are on the list. Ctrl-C ends it.", err=True)
    with prepared() if demo else nullcontext(_named(config_path)) as path:
        sys.exit(supervisor.run(path, config.load(path), HitPrinter()))


@main.command()
@_config_option
def recognise(config_path: Path | None) -> None:
    """Run the recogniser: camera, models and list in, hits into the outbox. It uses no network."""
    from edge_anpr.privacy import process

    process.restart_uncached()
    from edge_anpr import config
    from edge_anpr.unit import journal, recogniser

    journal.begin("recogniser")
    sys.exit(journal.until_mended(lambda: recogniser.run(config.load(_named(config_path)))))


@main.command()
@_config_option
@click.option("--broker", type=HOST_PORT, metavar="HOST:PORT", help="Instead of the broker that the config names.")
def publish(config_path: Path | None, broker: tuple[str, int] | None) -> None:
    """Run the publisher: hits from the outbox, and health, to the MQTT broker. It uses no camera."""
    from edge_anpr.privacy import process

    process.restart_uncached()
    from edge_anpr import config
    from edge_anpr.unit import journal, publisher

    journal.begin("publisher")

    def work() -> int:
        loaded = config.load(_named(config_path))
        return publisher.run(loaded, broker, loaded.watchlist.inbox if loaded.watchlist.centre_keys else None)

    sys.exit(journal.until_mended(work))


@main.command("self-test")
@_config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def self_test(config_path: Path | None, as_json: bool) -> None:
    """Test whether this machine computes what it should: it reads drawn plates whose text is known.

    The models' hashes, what really computes them, how fast, and of which versions. Without -c the models that come
    with the package are tested, on the CPU. A unit that fails does not start. Exit code 1 when anything is wrong.
    """
    from edge_anpr import config
    from edge_anpr.tools import selftest
    from edge_anpr.tools.terminal import table

    models = config.load(config_path).models if config_path else config.Models()
    found = selftest.run(models.detector, models.ocr, provider=models.provider, threads=models.threads)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        table("Self-test", ("what", "found"), selftest.rows(found))
    for complaint in found["complaints"]:
        click.echo(f"edge-anpr: {complaint}", err=True)
    sys.exit(0 if found["passed"] else 1)


@main.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--every", type=click.IntRange(min=1), default=1, help="Look at each N-th frame of a clip only.")
@click.option("--no-frames", is_flag=True, help="Print passages only.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--out", "out_path", type=click.Path(path_type=Path), help="Write to a file instead of stdout.")
def read(sources: tuple[str, ...], every: int, no_frames: bool, threads: int, out_path: Path | None) -> None:
    """Read plates in recorded clips, pictures or folders of pictures; print JSON Lines.

    For measuring on material that somebody already has: it prints plates in clear, and refuses live cameras. A
    folder's pictures are unrelated, and each plate in them is a passage of its own. Exit code 3 when a file could not
    be read; it is named on stderr and the others are read.
    """
    from edge_anpr.tools import read as reading
    from edge_anpr.tools.terminal import progress

    jobs = reading.plan(sources)
    with _output(out_path, [job.path for job in jobs]) as out:

        def emit(line: dict[str, Any]) -> None:
            out.write(json.dumps(line, separators=(",", ":")) + "\n")

        with progress(sum(job.frames for job in jobs), "reading") as step:
            failed = reading.read(jobs, emit, every=every, with_frames=not no_frames, threads=threads, step=step)
    for path in failed:
        click.echo(f"edge-anpr: {path}: cannot be read to its end; it is damaged, or no picture or video", err=True)
    if failed:
        click.echo(f"edge-anpr: {len(failed)} of {len(jobs)} files could not be read", err=True)
        sys.exit(EXIT_UNREADABLE)


@main.command()
@click.argument("source", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Times through the source.")
@click.option("--lores", type=click.IntRange(min=160), metavar="PX", help="Detect on a second stream so wide.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, for --compare later.")
@click.option(
    "--compare", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="OLD.json", help="Beside these."
)
def bench(
    source: Path | None, rounds: int, lores: int | None, threads: int, as_json: bool, compare: Path | None
) -> None:
    """Measure what a frame costs here, beside what the two networks alone cost; the demo's clip, or a SOURCE of yours.

    Frames are decoded first, and taken as a live unit takes them: what does not move is not looked at. "bare" are the
    network passes that a look made, once more; "full" is one pass of each network at its own size. The last line is
    the one to show others. On a shared machine compare ratios, not milliseconds.
    """
    from edge_anpr.tools import bench as benching
    from edge_anpr.tools.terminal import progress, table

    clip = source or Path(__file__).parent / "demo" / "clip.mp4"
    old = json.loads(compare.read_text("utf-8")) if compare else None
    ready = benching.Bench(threads)
    material = benching.frames(clip, lores)
    with progress(len(material) * (rounds + 2), "looking") as step:
        told = benching.measure(ready, material, rounds=rounds, step=step)
    if as_json:
        click.echo(json.dumps(told, indent=1))
        return
    columns = ("figure", "p50", "p95", *(("before", "change") if old else ()))
    table(f"{clip.name}, {told['picture']}, {told['source_fps']:g} fps", columns, benching.rows(told, old))
    click.echo(benching.line(told))


@contextmanager
def _output(path: Path | None, sources: list[Path]) -> Iterator[TextIO]:
    """Where the lines go; opened once all else is known to be right, because opening a file empties it."""
    if path is not None and path.exists() and any(path.samefile(source) for source in sources):
        raise Unusable(f"--out {path}: is one of the sources; name another file")
    try:
        if path is None:
            yield sys.stdout
            sys.stdout.flush()
        else:
            with path.open("w", encoding="utf-8") as file:
                yield file
    except BrokenPipeError:
        # Who read our output has had enough; Python would complain once more while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if path is None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Unusable(f"--out {path or 'stdout'}: cannot be written: {error.strerror}") from error


def _named(path: Path | None) -> Path:
    if path is None:
        raise click.UsageError("name the unit's config with -c FILE")
    return path
