"""The commands about people and permission, put together; each is in a module beside this one."""

from __future__ import annotations

import click

from access.people.permit_cli import application, grant
from access.people.table_cli import (
    export_grants,
    export_terminals,
    export_units,
    export_users,
    import_grants,
    import_terminals,
    import_units,
    import_users,
)
from access.people.unit_cli import terminal, unit
from access.people.user_cli import token, user

for _group, _commands in (
    (unit, (import_units, export_units)), (terminal, (import_terminals, export_terminals)),
    (user, (import_users, export_users)), (grant, (import_grants, export_grants)),
):  # fmt: skip
    for _command in _commands:
        _group.add_command(_command)

COMMANDS: tuple[click.Command, ...] = (unit, user, application, grant, token)
