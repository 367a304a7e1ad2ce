"""Commands that show or hand out footage."""

from __future__ import annotations

import click

COMMANDS: tuple[click.Command, ...] = ()
