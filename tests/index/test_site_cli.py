"""What `site …` and the days of cameras say and refuse."""

from __future__ import annotations

import pytest

from tests.support.commands import Run


def test_a_site_from_its_adding_to_its_removal(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("site", "add", "gate", "--category", "public-area", "--unit", "惠阳区公安分局", "--design-on", "2026-05-01") == 0
    assert "public-area, class key, 90 days" in capsys.readouterr().out
    assert run("site", "set", "gate", "--days", "89") == 2
    assert "Art. 6" in capsys.readouterr().err
    assert run("site", "set", "gate", "--category", "other", "--by", "Li") == 0
    assert "gate changed; other, 30 days, from" in capsys.readouterr().out
    site = run.shown("site", "show", "gate")
    assert (site["class"], site["days"], site["announced"]["days"], site["announced"]["by"]) == ("key", 90, 30, "Li")
    assert run("site", "show", "gate") == 0
    assert "惠阳区公安分局" in capsys.readouterr().out
    assert run("site", "set", "gate", "--keep") == 0
    assert run.shown("site", "show", "gate")["announced"] is None
    assert run("site", "set", "gate", "--keep") == 4
    assert run("site", "list") == 0
    assert run("camera", "add", "cam-1", "rtsp://192.0.2.1/s", "--site", "gate") == 0
    assert run.shown("site", "list")[1]["cameras"] == 1
    assert run("site", "remove", "gate") == 4
    assert run("camera", "set", "cam-1", "--site", "default") == 0
    assert run("site", "remove", "gate") == 0
    assert [item["id"] for item in run.shown("site", "list")] == ["default"]


def test_the_ledger_names_who_said_so(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("site", "add", "gate", "--category", "finance", "--by", "李警官") == 0
    assert run("camera", "add", "cam-1", "rtsp://192.0.2.1/s", "--site", "gate", "--by", "王警官") == 0
    assert run("camera", "set", "cam-1", "--days", "100", "--by", "Zhao") == 0
    entries = run.shown("ledger", "show")
    assert [(item["kind"], item["actor"]) for item in entries][-4:] == [
        ("registry", "李警官"), ("registry", "王警官"), ("policy", "Zhao"), ("registry", "Zhao"),
    ]  # fmt: skip


def test_categories_are_those_of_the_rule(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    listed = run.shown("site", "categories")
    assert [item["least_days"] for item in listed] == [90] * 11 + [92, 30]
    assert run("site", "categories") == 0
    assert "公共区域" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("call", "code", "why"),
    [
        (("site", "add", "gate"), 2, "--category"),
        (("site", "add", "gate", "--category", "bank"), 2, "not known"),
        (("site", "add", "a b", "--category", "other"), 2, "not usable"),
        (("site", "set", "nowhere", "--name", "x"), 3, "no site"),
        (("site", "set", "default"), 2, "say what should change"),
        (("site", "set", "default", "--by", "Li"), 2, "say what should change"),
        (("camera", "set", "cam-1"), 2, "say what should change"),
        (("site", "set", "default", "--keep", "--days", "40"), 2, "means nothing"),
        (("site", "remove", "default"), 4, "stays"),
        (("camera", "add", "cam-1", "rtsp://192.0.2.1/s", "--days", "29"), 2, "Art. 5"),
        (("camera", "add", "cam-1", "rtsp://192.0.2.1/s", "--gb-code", "123"), 2, "20 digits"),
    ],
)
def test_a_wrong_call_is_one_line(
    run: Run, capsys: pytest.CaptureFixture[str], call: tuple[str, ...], code: int, why: str
) -> None:
    assert run(*call) == code
    error = capsys.readouterr().err
    assert why in error
    assert error.strip().splitlines()[-1].startswith("streamvault: ")
