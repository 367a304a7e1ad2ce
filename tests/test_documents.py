"""Documents rot where nobody runs them: links lead somewhere, commands that are shown can be called, `make` knows its targets."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

import streamvault
from access import commands
from ingest.cli import inner_loop
from tests.test_house import ROOT, shown, tracked

DOCUMENTS = [path for path in tracked() if path.suffix == ".md"]
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```(?:sh|bash|console|text)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:streamvault|make) [^`\n]+)`")
_PATH = re.compile(r"`((?:vault|index|ingest|retention|access|benchmarks|tests|deploy|docs)/[\w./*-]*)`")


def called(text: str, program: str) -> list[str]:
    """Every call of `program` in a document, with what stands behind a `#` left out."""
    lines = [line.strip().removeprefix("$ ") for block in _FENCE.findall(text) for line in block.splitlines()]
    lines += _INLINE.findall(text)
    return [line.split("  #")[0].split(" # ")[0] for line in lines if line.startswith(f"{program} ") and "…" not in line]


def documents_with(program: str) -> list[tuple[str, str]]:
    return [(shown(path), line) for path in DOCUMENTS for line in called(path.read_text(), program)]


def parse(arguments: list[str]) -> None:
    """Let click read a call as it would, without running it. Raises click.UsageError."""
    command: click.Command = commands.cli
    parent: click.Context | None = None
    name = "streamvault"
    while True:
        with command.make_context(name, arguments, parent=parent) as context:
            if not isinstance(command, click.Group):
                return
            rest = [*context._protected_args, *context.args]
            found, child, arguments = command.resolve_command(context, rest)
            assert child is not None
            name, command, parent = found or "", child, context


@pytest.mark.parametrize("path", DOCUMENTS, ids=shown)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    targets = [link.split("#")[0] for link in _LINK.findall(path.read_text()) if "://" not in link]
    assert not [target for target in targets if target and not (path.parent / target).exists()]


@pytest.mark.parametrize("path", DOCUMENTS, ids=shown)
def test_files_that_documents_name_are_there(path: Path) -> None:
    names = _PATH.findall(path.read_text())
    assert not [name for name in names if not list(ROOT.glob(name.rstrip("/") or name))]


@pytest.mark.parametrize(("where", "line"), documents_with("streamvault"))
def test_commands_that_documents_show_can_be_called(where: str, line: str) -> None:
    try:
        parse(shlex.split(line)[1:])
    except click.exceptions.Exit:
        # --help and --version end the parsing.
        pass
    except click.UsageError as error:
        pytest.fail(f"{where}: `{line}`: {error.format_message()}")


def test_the_search_for_commands_finds_both_forms_and_parsing_refuses_a_wrong_one() -> None:
    text = "```sh\nstreamvault init  # makes it\n```\nand `streamvault camera list --json`"
    assert called(text, "streamvault") == ["streamvault init", "streamvault camera list --json"]
    with pytest.raises(click.UsageError):
        parse(["camera", "list", "--nonsense"])


def test_make_targets_that_documents_name_are_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wanted = {(where, line.split()[1]) for where, line in documents_with("make")}
    assert wanted
    assert not {(where, target) for where, target in wanted if target not in targets}


def test_the_readme_says_where_each_command_is_described() -> None:
    rows = [line.split("|") for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| ")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row[2])}
    assert not set(commands.PLACES) - named - {"init", "serve", "demo"}


def test_every_benchmark_is_described() -> None:
    text = (ROOT / "benchmarks" / "README.md").read_text()
    files = [path.name for path in tracked() if path.parent.name == "benchmarks" and path.suffix in (".py", ".c")]
    assert not [name for name in files if f"`{name}`" not in text]


def children(command: click.Command) -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return []
    context = click.Context(command)
    found = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
    # None: the table of places names a command that its module does not have.
    assert not [name for name, child in found if child is None]
    return [(name, child) for name, child in found if child is not None]


def test_every_command_has_a_help_that_can_be_shown() -> None:
    def walk(command: click.Command, path: list[str]) -> list[list[str]]:
        below = children(command)
        return [path, *(found for name, child in below for found in walk(child, [*path, name]))]

    for path in walk(commands.cli, []):
        assert streamvault.run([*path, "--help"]) == 0


def test_the_version_says_which_inner_loop_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert streamvault.run(["--version"]) == 0
    assert inner_loop() in capsys.readouterr().out
