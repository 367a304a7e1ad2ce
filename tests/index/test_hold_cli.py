"""What `hold …` says and refuses."""

from __future__ import annotations

import pytest

from tests.support.commands import Run

RANGE = ("--from", "2026-11-22T10:00:00Z", "--to", "2026-11-22T11:00:00Z")
CASE = ("--case", "2026-117", "--why", "theft at the gate")


@pytest.fixture
def run(run: Run, capsys: pytest.CaptureFixture[str]) -> Run:
    assert run("camera", "add", "gate-1", "rtsp://192.0.2.1/s") == 0
    assert run("camera", "add", "gate-2", "rtsp://192.0.2.2/s") == 0
    capsys.readouterr()
    return run


def test_a_hold_from_its_placing_to_its_release(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("camera", "remove", "gate-2") == 0
    assert run("hold", "add", "gate-1", "#2", *RANGE, *CASE, "--by", "李警官") == 0
    assert "hold 1 placed on 2 cameras" in capsys.readouterr().out
    assert run("hold", "extend", "1", "--to", "2026-11-22T12:00:00Z", "--by", "王警官") == 0
    assert run("hold", "release", "1", "--by", "李警官") == 0
    assert "another person says `hold confirm 1`" in capsys.readouterr().out
    assert run("hold", "confirm", "1", "--by", "李警官") == 4
    assert "another person must confirm" in capsys.readouterr().err
    assert run("hold", "list") == 0
    listed_text = capsys.readouterr().out
    assert "release asked" in listed_text
    assert "no end, only a release" in listed_text
    assert run("hold", "confirm", "1", "--by", "王警官") == 0
    capsys.readouterr()
    assert run.shown("hold", "list") == []
    (listed,) = run.shown("hold", "list", "--all")
    assert listed == run.shown("hold", "show", "1")
    assert (listed["state"], listed["case"], listed["why"], listed["until"]) == ("released", CASE[1], CASE[3], None)
    assert listed["cameras"] == [{"number": 1, "id": "gate-1"}, {"number": 2, "id": "#2"}]
    assert (listed["start"], listed["end"]) == ("2026-11-22T10:00:00.000000Z", "2026-11-22T12:00:00.000000Z")
    assert [listed[act]["by"] for act in ("placed", "extended", "release_asked", "released")] == [
        "李警官", "王警官", "李警官", "王警官",
    ]  # fmt: skip
    assert run("hold", "show", "1") == 0
    assert "theft at the gate" in capsys.readouterr().out


def test_who_does_not_say_who_is_the_operator_of_the_host_and_cannot_release_alone(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    placed = run.shown("hold", "add", "gate-1", *RANGE, *CASE)
    assert placed["placed"]["by"].startswith("operator@")
    assert (placed["spared"], placed["being_deleted"]) == (0, 0)
    assert run("hold", "release", "1") == 0
    assert run("hold", "confirm", "1") == 4


@pytest.mark.parametrize(
    ("call", "code", "why"),
    [
        (("add", "gate-9", *RANGE, *CASE), 3, "no camera 'gate-9'"),
        (("add", "gate-1", *RANGE, *CASE, "--until", "2020-01-01T00:00:00Z"), 2, "over already"),
        (("add", "gate-1", *RANGE, *CASE, "--until", "2020-01-01"), 2, "a hold until 2020-01-01 would be over"),
        (("add", "gate-1", "--from", "now", "--to", "now-1h", *CASE), 2, "must end after it starts"),
        (("add", "gate-1", *RANGE, "--case", "1"), 2, "--why"),
        (("show", "5"), 3, "no hold 5"),
        (("release", "5"), 3, "no hold 5"),
        (("show", "99999999999999"), 3, "no hold"),
        (("show", "-1"), 2, ""),
        (("release", "abc"), 2, "'abc' is not a hold's number"),
        (("show", "0"), 2, "out of the range of a hold's number"),
        (("extend", "1", "--open", "--until", "2030-01-01"), 2, "not both"),
    ],
)
def test_a_wrong_call_is_one_line(
    run: Run, capsys: pytest.CaptureFixture[str], call: tuple[str, ...], code: int, why: str
) -> None:
    assert run("hold", *call) == code
    error = capsys.readouterr().err
    assert why in error
    assert error.strip().splitlines()[-1].startswith("streamvault: ")
