"""A row of the register: what was asked, how it ended, and who may see it."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pytest

from access.occasion import Outcome
from access.people.model import Principal, Role, User
from access.register import Row, Wanted, row_of, seen_by
from access.register_page import Book, page
from access.register_rows import COLUMNS, as_csv, as_json, as_parquet
from tests.support.browser import shown
from tests.support.deeds import SAID, START_US, step
from vault.grant import Refusal
from vault.ledger.entry import Entry, Kind, NewEntry, decode_entry, encode_entry
from vault.timebase import US, Interval

HOSTILE = [
    "=HYPERLINK(\"http://x\")", "@SUM(A1)", "'=1+1", "\u202egnp.exe", "<script>alert(1)</script>", "\"><img src=x onerror=y>",
    "a\nb\r\nc", "../../etc/passwd", "x\0y", "\x1b[31mred", "{{ 7 * 7 }}", "＝1+1", "'; --",
]  # fmt: skip


def entries(*news: NewEntry) -> list[Entry]:
    return [decode_entry(encode_entry(new, at, new.at_us or 0)) for at, new in enumerate(news)]


def row(*news: NewEntry) -> Row:
    return row_of(entries(*news))


def test_what_was_asked_for_is_in_the_row_and_it_is_open() -> None:
    found = row(step("a", Outcome.ASKED, START_US, address="192.0.2.9", authority=["grant 12"]))
    assert (found.outcome, found.is_open, found.ended_us, found.size_bytes) == ("open", True, None, None)
    assert (found.unit, found.user, found.taker, found.staff_number) == ("unit-1", "user-1", "first officer", "9901001")
    assert (found.case, found.destination, found.purpose, found.why) == (SAID.case, SAID.destination, "investigation", SAID.why)
    assert (found.cameras, found.start_us, found.end_us) == ((7,), START_US - 60 * US, START_US)
    assert (found.authority, found.address, found.export) == ("grant 12", "192.0.2.9", "a")


@pytest.mark.parametrize(
    ("steps", "outcome", "still_open"),
    [
        ([Outcome.ASKED], "open", True),
        ([Outcome.ASKED, Outcome.WAITING], "waiting", True),
        ([Outcome.ASKED, Outcome.WAITING, Outcome.APPROVED], "open", True),
        ([Outcome.ASKED, Outcome.WAITING, Outcome.REFUSED], "refused", False),
        ([Outcome.ASKED, Outcome.WAITING, Outcome.APPROVED, Outcome.DONE], "done", False),
        ([Outcome.ASKED, Outcome.ABORTED], "aborted", False),
        ([Outcome.REFUSED], "refused", False),
    ],
)
def test_how_it_went_is_the_last_word(steps: list[Outcome], outcome: str, still_open: bool) -> None:
    found = row(*(step("a", one, START_US + at, user=f"user-{at}") for at, one in enumerate(steps)))
    assert (found.outcome, found.is_open) == (outcome, still_open)
    assert found.ended_us == (None if still_open else START_US + len(steps) - 1)
    assert found.approver == ("user-2" if Outcome.APPROVED in steps else "")
    assert found.entries == tuple(range(len(steps)))


def test_an_export_that_was_broken_off_and_taken_up_again_is_one_row() -> None:
    def of(deed: str, *more: tuple[Outcome, dict[str, object]]) -> list[NewEntry]:
        made = [step(deed, outcome, START_US + at, **said) for at, (outcome, said) in enumerate(more)]  # type: ignore[arg-type]
        return [replace(one, subject={**one.subject, "export": "E1"}) for one in made]

    asked = of("E1", (Outcome.ASKED, {}), (Outcome.WAITING, {}), (Outcome.APPROVED, {"user": "user-2"}))
    not_allowed = of("z", (Outcome.REFUSED, {"user": "user-9", "code": "role", "article": "Art. 14 (7)"}))
    first = of("v1", (Outcome.ASKED, {}), (Outcome.ABORTED, {"bytes": 5, "why_ended": "killed"}))
    assert row(*asked[:2], *not_allowed).outcome == "waiting"
    broken = row(*asked, *first)
    assert (broken.deed, broken.outcome, broken.reason, broken.approver) == ("E1", "aborted", "killed", "user-2")
    again = [*asked, *not_allowed, *first, *of("v2", (Outcome.ASKED, {}))]
    assert (row(*again).outcome, row(*again).ended_us, row(*again).reason) == ("open", None, "")
    done = row(*again, *of("v2", (Outcome.ASKED, {}), (Outcome.DONE, {"bytes": 9, "sha256": "ff"}))[1:])
    assert (done.outcome, done.size_bytes, done.sha256, done.code) == ("done", 9, "ff", "")


def test_bytes_hash_and_refusal_are_those_of_the_end() -> None:
    done = row(step("a", Outcome.ASKED, START_US), step("a", Outcome.DONE, START_US + 5, bytes=12, sha256="ab"))
    assert (done.size_bytes, done.sha256, done.ended_us) == (12, "ab", START_US + 5)
    refused = row(step("a", Outcome.REFUSED, START_US, code="window", article="Art. 14 (4)", reason="not within"))
    assert (refused.code, refused.article, refused.reason) == ("window", "Art. 14 (4)", "not within")


def test_an_entry_of_another_form_is_shown_as_far_as_it_can_be() -> None:
    odd = NewEntry(Kind.EXPORT, "x", {"camera": 3, "unit": ["no"]}, {"bytes": "many", "start_us": None, "outcome": 7}, "odd", 5)
    found = row(odd)
    assert (found.cameras, found.unit, found.size_bytes, found.outcome) == ((3,), "", None, "open")


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        (Wanted(), True), (Wanted("unit-1"), True), (Wanted("unit-2"), False), (Wanted(person="first officer"), True),
        (Wanted(person="9901001"), True), (Wanted(person="user-1"), True), (Wanted(person="first"), False),
        (Wanted(camera=7), True), (Wanted(camera=8), False), (Wanted(case="2026-117"), True), (Wanted(case="2026"), False),
        (Wanted(user="user-2"), False), (Wanted(still_open=True), False),
    ],
)  # fmt: skip
def test_rows_are_chosen_by_unit_person_camera_and_case(wanted: Wanted, taken: bool) -> None:
    assert wanted.takes(row(step("a", Outcome.ASKED, START_US), step("a", Outcome.DONE, START_US))) is taken


@pytest.mark.parametrize(
    ("role", "unit", "asked", "sees"),
    [
        (None, "", None, (None, "")), (None, "", "unit-2", ("unit-2", "")),
        (Role.ADMIN, "", None, (None, "")), (Role.INSPECTOR, "", "unit-2", ("unit-2", "")),
        (Role.UNIT, "unit-1", None, ("unit-1", "")), (Role.UNIT, "unit-1", "unit-1", ("unit-1", "")),
        (Role.UNIT, "unit-1", "unit-2", Refusal), (Role.UNIT, "", None, Refusal), (Role.PLANNER, "unit-1", "unit-1", Refusal),
        (Role.INVESTIGATOR, "unit-1", None, (None, "user-1")), (Role.INVESTIGATOR, "", "unit-2", ("unit-2", "user-1")),
    ],
)  # fmt: skip
def test_who_sees_which_part(role: Role | None, unit: str, asked: str | None, sees: object) -> None:
    principal = Principal("x", None if role is None else User("user-1", role, unit))
    if sees is Refusal:
        with pytest.raises(Refusal, match=r"Art\. 14 \(7\)"):
            seen_by(principal, Wanted(asked))
    else:
        found = seen_by(principal, Wanted(asked, case="c"))
        assert (found.unit, found.user) == sees
        assert found.case == "c"


def hostile_rows() -> list[Row]:
    said = [replace(SAID, why=text, case=text, destination=text, taker=text, staff_number=text) for text in HOSTILE]
    return [
        row(step(f"h{at}", Outcome.ASKED, START_US, said=one, unit=HOSTILE[at]), step(f"h{at}", Outcome.DONE, START_US, reason=HOSTILE[at]))
        for at, one in enumerate(said)
    ]  # fmt: skip


def test_hostile_words_are_inert_in_a_spreadsheet_and_no_row_is_torn() -> None:
    data = as_csv(hostile_rows(), {7: "=cam"})
    assert data.startswith(b"\xef\xbb\xbf")
    lines = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert lines[0] == list(COLUMNS)
    assert [len(line) for line in lines] == [len(COLUMNS)] * (len(HOSTILE) + 1)
    cells = [cell for line in lines[1:] for cell in line]
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@＝＋－＠\t\r") or not cell.isprintable()]
    assert "'=cam" in cells


def test_hostile_words_are_inert_on_the_page() -> None:
    book = Book(hostile_rows(), Interval(START_US, START_US + US), HOSTILE[4], HOSTILE[5], START_US, HOSTILE[4])
    text = page(book, {7: HOSTILE[5]}, ZoneInfo("Asia/Shanghai"))
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;" in text
    assert "{{ 7 * 7 }}" in text
    assert not [character for character in text if not character.isprintable() and character != "\n"]


def test_the_book_prints_on_a4_turned_with_its_words_as_words(tmp_path: Path) -> None:
    book = Book(hostile_rows() * 3, Interval(START_US, START_US + US), HOSTILE[4], HOSTILE[5], START_US, HOSTILE[4])
    path, printed = tmp_path / "book.html", tmp_path / "book.pdf"
    path.write_text(page(book, {7: HOSTILE[5]}, ZoneInfo("Asia/Shanghai")))
    assert not re.search(r"<(script|img)", shown(tmp_path / "profile", path, "--dump-dom").decode())
    shown(tmp_path / "profile", path, "--no-pdf-header-footer", f"--print-to-pdf={printed}")
    boxes = {tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox \[([0-9. ]+)\]", printed.read_bytes())}
    assert [(round(width), round(height)) for _, _, width, height in boxes] == [(842, 595)]


@pytest.mark.parametrize(
    ("language", "there", "not_there"), [("zh", "侦查办案", "investigation"), ("en", "investigation", "调取人员")]
)
def test_the_page_is_in_the_language_that_was_asked_for(language: str, there: str, not_there: str) -> None:
    book = Book([row(step("a", Outcome.ASKED, START_US))], Interval(START_US, START_US + US), "unit-1", "", START_US, "x")
    text = page(book, {}, ZoneInfo("Asia/Shanghai"), language)
    assert there in text
    assert not_there not in text


def test_a_refusal_is_told_in_the_languages_of_the_page_and_its_article_once() -> None:
    reason = "unit unit-1 has no grant of camera gate-1 (#6) (Art. 14 (4))"
    refused = row(step("a", Outcome.REFUSED, START_US, code="camera", article="Art. 14 (4)", reason=reason))
    taken = row(step("b", Outcome.ASKED, START_US, authority=["operator", "grant 3"]))
    book = Book([refused, taken], Interval(START_US, START_US + US), "", "", START_US, "x")
    text = page(book, {}, ZoneInfo("Asia/Shanghai"))
    assert "第14条 (4)" in text
    assert "摄像机未获授权" in text
    assert text.count("Art. 14 (4)") == 1
    assert "本机操作员" in text
    assert "授权 3" in text
    assert '<span lang="zh-CN">使用单位 unit-1 未获摄像机 gate-1 (#6) 的授权</span>' in text
    assert '<span lang="en">unit unit-1 has no grant of camera gate-1 (#6)</span>' in text


def test_other_tools_read_the_file_of_columns(tmp_path: Path) -> None:
    made = [
        row(step("a", Outcome.ASKED, START_US, cameras=(7, 8)), step("a", Outcome.DONE, START_US + US, bytes=12)),
        *hostile_rows(),
    ]
    (tmp_path / "register.parquet").write_bytes(as_parquet(made, {7: "gate-1"}))
    found = duckdb.sql(
        f"SELECT unit, cameras, camera_numbers, bytes, epoch_us(asked), outcome FROM '{tmp_path}/register.parquet' WHERE bytes = 12"
    ).fetchall()
    assert found == [("unit-1", ["gate-1", "#8"], [7, 8], 12, START_US, "done")]
    assert list(as_json(made[0], {})) == [*COLUMNS, "open"]
