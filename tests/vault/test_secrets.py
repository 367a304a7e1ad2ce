"""Credentials: sealed at rest, split off URLs as owners write them, and shown nowhere."""

from __future__ import annotations

import os
import string
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vault.errors import Damaged, NotFound, Refused, StreamvaultError, UsageError
from vault.secrets import CredentialBox, SplitUrl, has_secret, join_url, redact, split_url

SECRET = "S3cr3t"


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("rtsp://192.0.2.1/a", ("rtsp://192.0.2.1/a", None, None)),
        ("rtsp://user:pass@192.0.2.1:554/a?b=c#d", ("rtsp://192.0.2.1:554/a?b=c#d", "user", "pass")),
        ("rtsp://user@host/", ("rtsp://host/", "user", None)),
        ("rtsp://user:@host/", ("rtsp://host/", "user", "")),
        ("rtsp://:pass@host/", ("rtsp://host/", "", "pass")),
        ("rtsp://@host/", ("rtsp://host/", "", None)),
        ("rtsp://user:p@ss@host/", ("rtsp://host/", "user", "p@ss")),
        ("rtsp://user:p:a:s@host/", ("rtsp://host/", "user", "p:a:s")),
        ("rtsp://user:p%40s%2Fs%3a%25@host", ("rtsp://host", "user", "p@s/s:%")),
        ("rtsp://user:100%@host/", ("rtsp://host/", "user", "100%")),
        ("rtsp://user:%zz%4@host/", ("rtsp://host/", "user", "%zz%4")),
        ("rtsp://用户:密码@host/", ("rtsp://host/", "用户", "密码")),
        ("rtsp://u:%E5%AF%86@host/", ("rtsp://host/", "u", "密")),
        ("rtsps://u:p@[2001:db8::1]:322/a", ("rtsps://[2001:db8::1]:322/a", "u", "p")),
        ("rtsp://[fe80::1%25eth0]/a", ("rtsp://[fe80::1%25eth0]/a", None, None)),
        ("rtsp://host/user@place", ("rtsp://host/user@place", None, None)),
        ("rtsp://u:p@host?x=a@b", ("rtsp://host?x=a@b", "u", "p")),
        ("rtp://239.0.0.1:5004", ("rtp://239.0.0.1:5004", None, None)),
        ("RTMP://u:p@host/live/key", ("RTMP://host/live/key", "u", "p")),
        ("http://u:p@host:8080/a.flv", ("http://host:8080/a.flv", "u", "p")),
        ("rtsp://u:+ +@host/".replace(" ", "%20"), ("rtsp://host/", "u", "+ +")),
    ],
)
def test_a_url_is_split_as_its_owner_meant_it(url: str, parts: tuple[str, str | None, str | None]) -> None:
    assert tuple(split_url(url)) == parts


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "scheme"),
        ("192.0.2.1", "scheme"),
        ("//user:S3cr3t@host", "scheme"),
        ("user:S3cr3t@host", "scheme"),
        ("rtsp:/user:S3cr3t@host", "scheme"),
        ("1rtsp://user:S3cr3t@host", "scheme"),
        ("rtsp://", "no host"),
        ("rtsp://user:S3cr3t@", "no host"),
        ("rtsp://user:S3cr3t@/path", "no host"),
        ("rtsp:///path", "no host"),
        ("rtsp://user:S3cr3t@:554", "no host"),
        ("rtsp://user:S3cr3t@a:b", "no host"),
        ("rtsp://user:S3cr3t@2001:db8::1", "brackets"),
        ("rtsp://user:S3cr3t x@host/", "%20"),
        ("rtsp://user:S3cr3t@host/\r\nX: y", "control"),
        ("rtsp://user:S3cr3t@host/\0", "control"),
        ("rtsp://user:S3cr3t\u2028@host/", "control"),
        ("rtsp://user:S3cr3t/x@host/", "%2F"),
        ("rtsp://user:S3cr3t?x@host/", "%2F"),
        ("rtsp://user:S3cr3t#x@host/", "%2F"),
        ("rtsp://user:S3cr3t@host/" + "a" * 5000, "4096"),
    ],
)
def test_a_url_that_cannot_be_split_is_refused_without_showing_it(url: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        split_url(url)
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


def test_credentials_put_into_a_url_replace_those_it_had() -> None:
    assert join_url("rtsp://a:b@host/x", "u", "p@s/s:") == "rtsp://u:p%40s%2Fs%3A@host/x"
    assert join_url("rtsp://a:b@host/x", None, None) == "rtsp://host/x"
    assert join_url("rtsp://host", "u", None) == "rtsp://u@host"
    assert join_url("rtsp://[2001:db8::1]", None, "p") == "rtsp://:p@[2001:db8::1]"


texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=30)


@given(user=texts, password=texts)
@example(user="a:b@c/d", password="\x00\n %41@:/?#[]")
@example(user="\udcff", password="\udce4")
def test_any_credentials_survive_the_way_through_a_url(user: str, password: str) -> None:
    url = join_url("rtsp://192.0.2.1:554/a@b?c=d", user, password)
    assert tuple(split_url(url)) == ("rtsp://192.0.2.1:554/a@b?c=d", user, password)


@given(text=st.text(max_size=60), tail=st.text(st.sampled_from("rtsp:/@[]?#%. "), max_size=20))
def test_any_text_is_split_or_refused(text: str, tail: str) -> None:
    for url in (text, "rtsp://" + text, "rtsp://" + tail + text + tail):
        try:
            parts = split_url(url)
        except UsageError:
            continue
        if parts.user is None:
            assert parts.url == url
        # What is left has no userinfo that could be split off again.
        assert tuple(split_url(parts.url)) == (parts.url, None, None)


# Whatever can be in a URL that we accept: no white space.
passwords = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FFF, blacklist_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), max_size=20
)


@given(
    before=st.sampled_from(["", "connecting to ", "url='", '{"url": "', "a=b&", "<", "rtsp://other/x ", "错误:"]),
    scheme=st.sampled_from(["rtsp", "RTSP", "rtsps", "http", "rtmp", "rtp", "x+y.z-1"]),
    user=passwords,
    odd=passwords,
    after=st.sampled_from(["", "/", "/a?b=c", ":554/x@y", "'", '", "x": 1}', "> 401", " again", "\nnext line"]),
)
def test_a_password_in_a_url_never_shows_whatever_it_has_in_it(
    before: str, scheme: str, user: str, odd: str, after: str
) -> None:
    for password in (SECRET + odd, odd + SECRET, odd + SECRET + odd):
        shown = redact(f"{before}{scheme}://{user}:{password}@host{after}")
        assert SECRET not in shown
        assert redact(shown) == shown


@given(
    name=st.sampled_from(["password", "PASSWORD", "pwd", "passwd", "token", "access_token", "auth", "sig", "api_key", "psw"]),
    odd=passwords,
)
def test_a_password_in_path_or_query_never_shows(name: str, odd: str) -> None:
    odd = odd.replace("&", "")
    for url in (f"rtsp://h/user=admin_{name}={odd}{SECRET}_channel=1_stream=0.sdp", f"http://h/x?a=1&{name}={SECRET}{odd}&b=2"):
        assert SECRET not in redact(url)
        assert has_secret(url)


def test_what_is_no_secret_stays_readable() -> None:
    for text in (
        "",
        "plain words, 3 < 4 and a@b.example",
        "rtsp://192.0.2.1:554/Streaming/Channels/101?transportmode=unicast&profile=1",
        "cam-1: no answer within 10 s",
    ):
        assert redact(text) == text
        assert not has_secret(text)
    assert (
        redact("to rtsp://u:p@192.0.2.1:554/a?b=c: 401, and http://h/y")
        == "to rtsp://***@192.0.2.1:554/a?b=c: 401, and http://h/y"
    )


def test_a_hostile_text_is_redacted_in_reasonable_time() -> None:
    for text in (
        "a://" * 100_000,
        "a@" * 200_000,
        "pass" * 100_000,
        "password=" * 50_000,
        "a" * 400_000,
        "://" + "@" * 400_000,
    ):
        redact(text)


def test_a_split_url_shows_no_secret() -> None:
    for parts in (split_url(f"rtsp://{SECRET}:{SECRET}@host/?token={SECRET}"), SplitUrl("rtsp://host", None, SECRET)):
        assert SECRET not in repr(parts)
        assert SECRET not in f"{parts}"
        assert "host" in repr(parts)


@pytest.fixture
def box(tmp_path: Path) -> CredentialBox:
    return CredentialBox.create(tmp_path / "credentials.key")


@given(text=texts)
@example(text="")
@example(text="\udce4")
def test_what_is_sealed_opens_again(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    box = CredentialBox.create(tmp_path_factory.mktemp("keys") / "credentials.key")
    token = box.seal(text)
    assert token.isascii()
    assert box.open(token) == text
    assert len(text) < 6 or text not in token


def test_two_seals_of_one_text_differ(box: CredentialBox) -> None:
    assert box.seal(SECRET) != box.seal(SECRET)


def test_a_token_of_another_key_or_a_changed_one_is_damaged(box: CredentialBox, tmp_path: Path) -> None:
    other = CredentialBox.create(tmp_path / "other.key")
    token = box.seal(SECRET)
    for bad in (other.seal(SECRET), token[:-2] + "AA", token[:30], "", "密码", "x" * 100):
        with pytest.raises(Damaged) as caught:
            box.open(bad)
        assert SECRET not in str(caught.value)


def test_a_key_file_is_private_and_made_once(box: CredentialBox, tmp_path: Path) -> None:
    path = tmp_path / "credentials.key"
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    with pytest.raises(Refused, match="unreadable"):
        CredentialBox.create(path)
    assert path.read_bytes() == before
    assert CredentialBox(path).open(box.seal("x")) == "x"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_may_touch_is_refused(box: CredentialBox, tmp_path: Path, mode: int) -> None:
    (tmp_path / "credentials.key").chmod(mode)
    with pytest.raises(Refused, match=f"mode {mode:04o}"):
        CredentialBox(tmp_path / "credentials.key")


@pytest.mark.parametrize("data", [b"", b"short", b"\xff" * 44, b"A" * 44, b"=" * 44, os.urandom(2000)])
def test_a_key_file_with_something_else_in_it_is_damaged_and_not_quoted(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "credentials.key"
    path.touch(mode=0o600)
    path.write_bytes(data)
    with pytest.raises(Damaged) as caught:
        CredentialBox(path)
    assert caught.value.__cause__ is None
    assert len(str(caught.value)) < len(str(path)) + 100


def test_a_missing_key_a_folder_and_a_link_are_said_so(tmp_path: Path, box: CredentialBox) -> None:
    with pytest.raises(NotFound, match="backup"):
        CredentialBox(tmp_path / "nothing.key")
    with pytest.raises(Damaged, match="regular"):
        CredentialBox(tmp_path)
    (tmp_path / "link.key").symlink_to(tmp_path / "credentials.key")
    with pytest.raises(StreamvaultError):
        CredentialBox(tmp_path / "link.key")


def test_a_box_shows_no_key(box: CredentialBox, tmp_path: Path) -> None:
    key = (tmp_path / "credentials.key").read_text().strip()
    assert key not in repr(box)
    assert set(key) <= set(string.ascii_letters + string.digits + "-_=")
