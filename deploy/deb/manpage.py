"""edge-anpr(1), made of the command tree itself, so that no command or option can be missing from it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

_FRAME = """.TH EDGE\\-ANPR 1 "{date}" "edge\\-anpr {version}" "User Commands"
.SH NAME
edge\\-anpr \\- read number plates on a roadside unit and report the listed ones
.SH SYNOPSIS
.B edge\\-anpr
[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGS\\fR]...
.SH DESCRIPTION
{description}
.SH OPTIONS
{options}
.SH COMMANDS
{commands}
.SH FILES
.TP
.I /etc/edge\\-anpr/unit.yaml
The unit's config, root:edge\\-anpr, 0640. Without it both services wait. Begin with
.IR /usr/share/doc/edge\\-anpr/examples/config.example.yaml .
.TP
.I /etc/credstore/edge\\-anpr.*
Secrets, named \\fBcredential:\\fINAME\\fR in the config.
.TP
.I /var/lib/edge\\-anpr
The outbox: hits that were not delivered yet.
.TP
.I /usr/share/doc/edge\\-anpr/docs
Cameras, delivery, matching, privacy and more.
.SH EXIT STATUS
0, or 2 when something has to be mended that stderr names; 3 when a source could not be read; 130 after Ctrl\\-C.
.SH SEE ALSO
.BR systemctl (1),
.BR journalctl (1)
"""


def page(root: click.Group, *, version: str, date: str) -> str:
    """The page as roff source."""
    top = click.Context(root, info_name="edge-anpr")
    return _FRAME.format(
        version=_escaped(version),
        date=date,
        description=_text(root.help),
        options="\n".join(_options(top)),
        commands="\n".join(_command(context) for context in _below(top)),
    )


def _below(context: click.Context) -> Iterator[click.Context]:
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            assert command is not None
            here = click.Context(command, info_name=name, parent=context)
            yield here
            yield from _below(here)


def _command(context: click.Context) -> str:
    usage = " ".join([context.command_path, *context.command.collect_usage_pieces(context)])
    return "\n".join([f'.SS "{_escaped(usage)}"', _text(context.command.help), *_options(context)])


def _options(context: click.Context) -> Iterator[str]:
    for option in context.command.get_params(context):
        record = option.get_help_record(context)
        if record is not None:
            yield f".TP\n\\fB{_escaped(record[0])}\\fR\n{_lines(record[1]) or '.'}"


def _text(help_text: str | None) -> str:
    r"""Paragraphs; one that begins with \b keeps its lines, as click prints it."""
    made = []
    for paragraph in inspect.cleandoc(help_text or "").split("\n\n"):
        kept = paragraph.startswith("\b\n")
        made.append(f".PP\n.nf\n{_lines(paragraph[2:])}\n.fi" if kept else f".PP\n{_lines(paragraph)}")
    return "\n".join(made)


def _lines(text: str) -> str:
    lines = [re.sub(r"`([^`]+)`", r"\\fB\1\\fR", _escaped(line)) for line in text.splitlines()]
    return "\n".join(rf"\&{line}" if line.startswith((".", "'")) else line for line in lines)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq")
