"""What options of several commands take."""

from __future__ import annotations

import click

from edge_anpr import address


class _HostPort(click.ParamType):  # type: ignore[type-arg]  # generic in its newest version alone
    name = "HOST:PORT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Host and port."""
        if isinstance(value, tuple):
            return value
        try:
            return address.parse(str(value))
        except ValueError as error:
            raise click.UsageError(f"{param.opts[0] if param else 'it'} {error}", ctx) from None


HOST_PORT = _HostPort()
