"""The commands `user …` and `token …`: who may sign in, their passwords, and what their programs sign in with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from access.people.console import ACTIONS, open_desk, read_secret, token_json, token_state, user_json, user_state
from vault.console import (
    Session,
    by_option,
    duration_text,
    json_option,
    pass_session,
    print_fields,
    print_json,
    print_table,
    text_options,
)
from vault.errors import UsageError
from vault.timebase import US, format_local

if TYPE_CHECKING:
    from access.people.model import User

ROLES = click.Choice(("admin", "investigator", "unit", "planner", "inspector"))

random_option = click.option("--random", "at_random", is_flag=True, help="A random password, printed once.")
stdin_option = click.option(
    "--password-stdin", "from_stdin", is_flag=True, help="Read passwords from standard input, one a line."
)


user_options = text_options(
    {
        "unit": "The unit they are of; an empty text is none.",
        "real_name": "Their name.",
        "staff_number": "Their number in the service or unit.",
        "trained_on": "Date of the training, as 2026-11-22.",
    }
)
"""What may be said of a user besides the role, each None where nothing is said."""


@click.group()
def user() -> None:
    """The people who sign in."""


@user.command("add")
@click.argument("user_id", metavar="ID")
@click.option("--role", type=ROLES, required=True, help="What they are here for.")
@user_options
@random_option
@stdin_option
@click.option("--ask", is_flag=True, help="Ask for a password.")
@by_option
@pass_session
def add(
    session: Session, /, user_id: str, role: str, at_random: bool, from_stdin: bool, ask: bool, by: str, **said: Any
) -> None:  # fmt: skip
    """Add a user, whose id is never given to another.

    Without --random, --ask or --password-stdin nobody can sign in as them until `user password`. A password set by another person
    must be changed first of all.
    """
    from access.people.model import Role, User
    from access.people.passwords import checked_password, random_password
    from access.people.users import Users

    if at_random + from_stdin + ask > 1:
        raise UsageError("set a password in one way only: --random, --ask or --password-stdin")
    password = random_password() if at_random else None
    if from_stdin or ask:
        password = checked_password(read_secret(from_stdin, "Password", again=True), user_id)
    with open_desk(session) as desk:
        added = Users(desk.people).add(_with(User(user_id, Role(role)), said), by, password)
    click.echo(f"user {added.id} added, {added.role}; {user_state(added)}")
    if at_random:
        click.echo(f"password: {password}")


@user.command("set")
@click.argument("user_id", metavar="ID")
@click.option("--role", type=ROLES, help="What they are here for.")
@user_options
@click.option("--disable/--enable", "disabled", default=None, help="Whether they are kept from signing in. At once.")
@by_option
@pass_session
def set_(session: Session, /, user_id: str, by: str, **said: Any) -> None:
    """Change what is said of a user. The last administrator who can sign in stays one."""
    from access.people.users import Users

    if all(value is None for value in said.values()):
        raise UsageError("say what should change; `user set --help` lists it")
    with open_desk(session) as desk:
        changed = Users(desk.people).change(user_id, lambda old: _with(old, said), by)
    click.echo(f"user {changed.id} changed; {user_state(changed)}")


@user.command("password")
@click.argument("user_id", metavar="ID")
@click.option("--own", is_flag=True, help="You are this user: the password you have is asked for too.")
@random_option
@stdin_option
@by_option
@pass_session
def password(session: Session, user_id: str, own: bool, at_random: bool, from_stdin: bool, by: str) -> None:
    """Set a user's password, which ends what they are doing.

    With --own the user does it: of standard input the first line is the password they have, the second the new one. Otherwise
    somebody else does, and the user must change it first of all.
    """
    from access.people.attempts import Attempts
    from access.people.login import change_password
    from access.people.passwords import random_password
    from access.people.users import Users

    if own and at_random:
        raise UsageError("--own and --random: a password that you keep is one that you choose; leave one out")
    new = random_password() if at_random else None
    with open_desk(session) as desk:
        if own:
            old = read_secret(from_stdin, "Present password")
            new = read_secret(from_stdin, "New password", again=True)
            attempts = Attempts(desk.node.environment, desk.node.clock)
            changed = change_password(desk.people, attempts, user_id, old, new)
        else:
            desk.people.user(user_id)
            new = new or read_secret(from_stdin, "New password", again=True)
            changed = Users(desk.people).set_password(user_id, new, by)
    click.echo(f"password of user {changed.id} set; {user_state(changed)}")
    if at_random:
        click.echo(f"password: {new}")


@user.command("list")
@click.option("--all", "removed", is_flag=True, help="Show removed users too.")
@json_option
@pass_session
def list_(session: Session, removed: bool, as_json: bool) -> None:
    """List the users."""
    with open_desk(session) as desk:
        users = desk.people.users(removed=removed)
    if as_json:
        print_json([user_json(item) for item in users])
        return
    rows = [
        [item.id, item.role, item.unit, item.real_name, item.staff_number, item.trained_on, user_state(item)] for item in users
    ]
    print_table(["id", "role", "unit", "name", "staff number", "trained on", "state"], rows)


@user.command("show")
@click.argument("user_id", metavar="ID")
@json_option
@pass_session
def show(session: Session, user_id: str, as_json: bool) -> None:
    """Show one user."""
    from access.people.attempts import Attempts

    with open_desk(session) as desk:
        item = desk.people.user(user_id)
        waits_us = Attempts(desk.node.environment, desk.node.clock).waits_us(user_id)
        tokens = [token for token in desk.people.tokens() if token.user == user_id and token_state(desk, token) == "in force"]
    if as_json:
        print_json(user_json(item) | {"tokens": [token.id for token in tokens], "locked_us": waits_us})
        return
    print_fields(
        {
            "id": item.id, "role": item.role, "unit": item.unit or None, "name": item.real_name or None,
            "staff number": item.staff_number or None, "trained on": item.trained_on or None, "state": user_state(item),
            "locked": f"for {duration_text(waits_us)}, after wrong passwords; another password ends it" if waits_us else None,
            "password set": format_local(item.password_set_us) if item.password_hash else None,
            "tokens": ", ".join(token.id for token in tokens) or None,
        }
    )  # fmt: skip


@user.command("remove")
@click.argument("user_id", metavar="ID")
@by_option
@pass_session
def remove(session: Session, user_id: str, by: str) -> None:
    """Remove a user and revoke their tokens. What was noted of them stays, and their id is given to none again."""
    from access.people.users import Users

    with open_desk(session) as desk:
        Users(desk.people).remove(user_id, by)
    click.echo(f"user {user_id} removed")


@click.group()
def token() -> None:
    """What programs sign in with, in the place of a person's password."""


@token.command("add")
@click.argument("user_id", metavar="USER")
@click.option("--action", "actions", multiple=True, type=ACTIONS, help="May be repeated; without it, no footage at all.")
@click.option("--days", type=click.IntRange(1, 400), default=90, show_default=True, help="For how long it holds.")
@by_option
@pass_session
def add_token(session: Session, user_id: str, actions: tuple[str, ...], days: int, by: str) -> None:
    """Make a token of a user, who with it may do these actions at most. It is printed once and can be shown to nobody again."""
    from access.people.tokens import Tokens
    from vault.grant import Action

    with open_desk(session) as desk:
        expires_us = desk.node.clock.now_us() + days * 86_400 * US
        made, text = Tokens(desk.people).add(user_id, map(Action, actions), expires_us, by)
    click.echo(f"token {made.id} of user {user_id}, until {format_local(made.expires_us)}", err=True)
    click.echo(text)


@token.command("list")
@click.option("--user", "user_id", help="Of this user only.")
@click.option("--all", "ended", is_flag=True, help="Show those that are revoked or over too.")
@json_option
@pass_session
def list_tokens(session: Session, user_id: str | None, ended: bool, as_json: bool) -> None:
    """List the tokens that hold, without their secrets."""
    with open_desk(session) as desk:
        found = [
            token
            for token in desk.people.tokens()
            if (ended or token_state(desk, token) == "in force") and (user_id is None or token.user == user_id)
        ]
        shown = [token_json(desk, token) for token in found]
    if as_json:
        print_json(shown)
        return
    rows = [
        [item.id, item.user, ", ".join(sorted(item.actions)), about["state"], format_local(item.expires_us), item.made.by]
        for item, about in zip(found, shown, strict=True)
    ]
    print_table(["id", "user", "actions", "state", "until", "by"], rows)


@token.command("show")
@click.argument("token_id", metavar="ID")
@json_option
@pass_session
def show_token(session: Session, token_id: str, as_json: bool) -> None:
    """Show one token, without its secret."""
    with open_desk(session) as desk:
        shown = token_json(desk, desk.people.token(token_id))
    if as_json:
        print_json(shown)
        return
    acts = {name: shown[name] and f"{shown[name]['by']}, {shown[name]['at']}" for name in ("made", "revoked")}
    print_fields(shown | {"actions": ", ".join(shown["actions"]) or "reports only"} | acts)


@token.command("revoke")
@click.argument("token_id", metavar="ID")
@by_option
@pass_session
def revoke_token(session: Session, token_id: str, by: str) -> None:
    """End a token, at once."""
    from access.people.tokens import Tokens

    with open_desk(session) as desk:
        Tokens(desk.people).revoke(token_id, by)
    click.echo(f"token {token_id} revoked")


def _with(base: User, said: dict[str, Any]) -> User:
    from access.people.model import Role

    changes = {name: value for name, value in said.items() if value is not None}
    if "role" in changes:
        changes["role"] = Role(changes["role"])
    return replace(base, **changes)
