"""The command line as a whole: exit codes, errors as one line, start-up that loads nothing heavy, signals."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

import streamvault
from access import commands
from tests.test_house import ROOT
from vault.errors import StreamvaultError

COMMAND = [sys.executable, "-m", "streamvault"]


def failing(error: BaseException) -> click.Command:
    """A command that raises."""

    def fail() -> None:
        raise error

    return click.Command("fail", callback=fail)


def call(monkeypatch: pytest.MonkeyPatch, error: BaseException, *options: str) -> int:
    monkeypatch.setitem(commands.cli.commands, "fail", failing(error))
    return streamvault.run([*options, "fail"])


def classes(root: type[StreamvaultError]) -> list[type[StreamvaultError]]:
    return [root, *(found for child in root.__subclasses__() for found in classes(child))]


@pytest.mark.parametrize("kind", [kind for kind in classes(StreamvaultError) if kind.__module__ == "vault.errors"])
def test_every_error_of_ours_is_one_line_and_its_exit_code(
    kind: type[StreamvaultError], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, kind("what we did\nand where: rtsp://u:geheim@192.0.2.1/")) == kind.exit_code
    out, err = capsys.readouterr()
    assert (out, err) == ("", "streamvault: what we did and where: rtsp://***@192.0.2.1/\n")
    assert f"  {kind.exit_code}  " in commands.EXIT_CODES


def test_an_error_nobody_foresaw_is_one_line_too_and_a_trace_under_debug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, RuntimeError("surprise rtsp://u:geheim@192.0.2.1/")) == 1
    err = capsys.readouterr().err
    assert err.startswith("streamvault: RuntimeError: surprise")
    assert "--debug" in err
    assert len(err.splitlines()) == 1
    assert call(monkeypatch, RuntimeError("surprise rtsp://u:geheim@192.0.2.1/"), "--debug") == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "geheim" not in err


def test_an_interrupt_has_the_shells_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, KeyboardInterrupt()) == 130
    # The terminal shows ^C first, so the message begins on a line of its own.
    assert capsys.readouterr().err == "\nstreamvault: interrupted\n"


@pytest.mark.parametrize("interrupted", ["access", "click.core", "vault.console", "index.ledger_cli", "index.node"])
def test_an_interrupt_while_it_starts_ends_with_the_shells_exit_code_and_no_trace(interrupted: str, data_path: Path) -> None:
    """A real signal, once the module is imported: the process tells of each, in a pipe so small that it cannot run ahead."""
    streamvault.run(["--data", str(data_path), "init"])
    command = [sys.executable, "-X", "importtime", "-m", "streamvault", "--data", str(data_path), "ledger", "verify"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=pipe, bufsize=0, pipesize=4096) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.decode().split("|")[-1].strip() == interrupted:
                process.send_signal(signal.SIGINT)
                break
        else:
            pytest.fail(f"{interrupted} was not imported")
        said = [line for line in process.stderr if not line.startswith(b"import time:") and line.strip()]
        # A signal that Python meets while it compiles a text ends the process itself, which is 130 to a shell as well.
        assert process.wait(30) in (130, -signal.SIGINT), said
    assert said in ([], [b"streamvault: interrupted\n"])


def test_a_shell_that_lets_it_ignore_interrupts_is_obeyed() -> None:
    line = """trap '' INT; "$0" -c 'import signal, streamvault, sys
sys.argv[1:] = ["--version"]
signal.raise_signal(signal.SIGINT)
streamvault.main()'"""
    run = subprocess.run(["sh", "-c", line, sys.executable], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_a_command_imports_no_other_commands_modules() -> None:
    code = (
        "import sys, streamvault\n"
        "assert streamvault.run(['verify', '--help']) == 0\n"
        "print(sorted({'ingest.cli', 'index.cli', 'retention.cli', 'access.serve'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


def test_help_and_a_mistyped_command_load_nothing_heavy() -> None:
    code = (
        "import sys, streamvault\n"
        "assert streamvault.run(['camera', '--help']) == 0\n"
        "assert streamvault.run(['camera', 'ad']) == 2\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'av', 'numpy', 'lmdb', 'cryptography', 'rich', 'blake3'}))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    # The mistyped command's message is cleaned of credentials, which is what loads cryptography.
    assert run.stdout.splitlines()[-1] == "['cryptography']"


@pytest.mark.parametrize("command", [["--help"], ["config", "check", "--json"], ["config", "check"], ["camera", "list"]])
def test_a_reader_that_has_enough_ends_the_command_quietly(command: list[str], data_path: Path) -> None:
    streamvault.run(["--data", str(data_path), "init"])
    with subprocess.Popen(
        [*COMMAND, "--data", str(data_path), *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 128 + signal.SIGPIPE


@pytest.mark.parametrize("command", ["config check --json", "camera list", "--help"])
@pytest.mark.parametrize("where", ["/dev/full", "&-"])
def test_an_output_that_cannot_be_written_is_one_line_and_exit_code_7(command: str, where: str, data_path: Path) -> None:
    streamvault.run(["--data", str(data_path), "init"])
    line = f'"$0" -m streamvault --data "$1" {command} >{where}'
    run = subprocess.run(["sh", "-c", line, sys.executable, data_path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.stderr.startswith("streamvault: standard output cannot be written: ")
    assert len(run.stderr.splitlines()) == 1
    assert run.returncode == 7


@pytest.mark.parametrize("group", [[], ["camera"], ["index"], ["simulate"], ["config"]])
def test_a_group_without_a_command_shows_its_help(group: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert streamvault.run(group) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage: streamvault ")
    assert "Commands:\n" in err
