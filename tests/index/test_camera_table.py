"""CSV files of cameras, as spreadsheets and people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.camera_table import MAX_ROWS, CameraLine, Problem, read_table

HEAD = "id,url,site,name,transport,user,password\n"


def lines(text: str, encoding: str = "utf-8") -> list[CameraLine]:
    found, problems = read_table(text.encode(encoding))
    assert problems == []
    return found


def problems(text: str) -> list[Problem]:
    return read_table(text.encode())[1]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_file_is_read_in_the_encodings_that_spreadsheets_write(encoding: str) -> None:
    (line,) = lines("id,url,name\r\n9901-1,rtsp://192.0.2.1/s,南门\r\n", encoding)
    assert (line.row, line.id, line.url, line.name) == (2, "9901-1", "rtsp://192.0.2.1/s", "南门")
    assert (line.site, line.transport, line.user) == (None, "auto", None)


def test_columns_may_stand_in_any_order_and_case() -> None:
    (line,) = lines("URL,Transport,ID\nrtsp://192.0.2.1/s,UDP,cam-1\n")
    assert (line.id, line.transport) == ("cam-1", "udp")


def test_credentials_come_from_the_url_or_from_columns() -> None:
    found = lines(HEAD + "a,rtsp://u:p%40@192.0.2.1/s,,,,,\nb,rtsp://192.0.2.2/s,,,,v,w\n")
    assert [(line.url, line.user, line.password) for line in found] == [
        ("rtsp://192.0.2.1/s", "u", "p@"),
        ("rtsp://192.0.2.2/s", "v", "w"),
    ]


def test_a_line_shows_no_secret_in_its_repr() -> None:
    (line,) = lines(HEAD + "a,rtsp://geheim:geheim@192.0.2.1/s,,,,,\n")
    assert "geheim" not in repr(line)


def test_blank_lines_count_as_rows_and_are_passed_over() -> None:
    assert [line.row for line in lines("id,url\n\n,\na,rtsp://192.0.2.1/s\n")] == [4]


@pytest.mark.parametrize(
    ("text", "row", "said"),
    [
        ("", 1, "no camera in the file"),
        ("id,url\n", 1, "no camera in the file"),
        ("id,ulr\na,b\n", 1, "column 2 has a name we do not know: did you mean url? The columns are id, url,"),
        ("id;url\na;b\n", 1, "column 1 has a name we do not know: is the header line missing, or is it divided by ;"),
        ("id\na\n", 1, "column url is missing"),
        ("id,url,id\n", 1, "column id stands twice"),
        ("id,url\na\n", 2, "has 1 fields where the header line has 2"),
        ("id,url\na,\n", 2, "url is empty"),
        ("id,url\na b,rtsp://192.0.2.1/\n", 2, "camera id"),
        ("id,url\na,nowhere\n", 2, "scheme"),
        ("id,url,transport\na,rtsp://192.0.2.1/,quic\n", 2, "transport is none of auto, tcp, udp"),
        ("id,url\na,rtsp://192.0.2.1/\na,rtsp://192.0.2.2/\n", 3, "the id stands in row 2 already"),
        ("id,url,user,password\na,rtsp://192.0.2.1/,,w\n", 2, "there is a password and no user"),
        ("id,url,user\na,rtsp://u@192.0.2.1/,v\n", 2, "credentials stand in the url and in the columns too"),
        ('id,url\na,"rtsp://192.0.2.1/\n', 2, "is not CSV"),
    ],
)
def test_what_is_wrong_is_said_with_its_row(text: str, row: int, said: str) -> None:
    (problem,) = problems(text)
    assert problem.row == row
    assert said in problem.text


def test_every_wrong_row_is_named_at_once() -> None:
    assert [problem.row for problem in problems("id,url\na,\nb,rtsp://192.0.2.1/\nc,\n")] == [2, 4]


def test_utf_16_is_named_as_what_it_is() -> None:
    _, (problem,) = read_table("id,url\n".encode("utf-16"))
    assert "UTF-16" in problem.text


def test_a_file_has_a_largest_number_of_rows() -> None:
    text = "id,url\n" + "".join(f"c{number},rtsp://192.0.2.1/\n" for number in range(MAX_ROWS + 1))
    assert problems(text)[-1].text.startswith("a file may hold at most")


@given(st.binary(max_size=400))
def test_any_bytes_give_cameras_or_problems_and_nothing_else(data: bytes) -> None:
    found, wrong = read_table(b"id,url\n" + data)
    assert found or wrong


@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_no_problem_quotes_a_url(text: str) -> None:
    secret = "Zx81geheim"
    _, wrong = read_table(f"id,url,site\nx y,rtsp://u:{secret}@{text},\n".encode())
    assert not [problem for problem in wrong if secret in problem.text]


@pytest.mark.parametrize(
    "text",
    [
        "cam-1;rtsp://admin:TOPSECRET@192.0.2.1/x\n",
        "cam-1,rtsp://192.0.2.1/x,admin,TOPSECRET\n",
        "id,url,TOPSECRET\n",
        "id,url,passwordTOPSECRET\n",
        "id,url,transport,user\na,rtsp://192.0.2.1/,TOPSECRET,u\n",
        "id,url\nTOPSECRET!,rtsp://192.0.2.1/\n",
        "id,url\nTOPSECRET,rtsp://192.0.2.1/\nTOPSECRET,rtsp://192.0.2.2/\n",
        "id,url\na,TOPSECRET\n",
    ],
)
def test_a_file_without_its_header_or_with_a_slipped_row_gives_no_password_away(text: str) -> None:
    (problem,) = problems(text)
    assert "topsecret" not in problem.text.lower()
