"""Basic and Digest against the examples of their RFCs, the choice among challenges, and that no secret shows."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.rtsp.auth import Authenticator, Credentials, describe_challenges, parse_challenges
from vault.errors import SourceRefused

RFC_7616 = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
RFC_7616_CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


def answer(challenge: str, user: str, password: str, cnonce: str, method: str = "GET", url: str = "/dir/index.html") -> str:
    authenticator = Authenticator(Credentials(user, password), cnonce=lambda: cnonce)
    authenticator.challenged([challenge])
    return authenticator.authorization(method, url) or ""


def response_of(header: str) -> str:
    found = re.search(r'response="([0-9a-f]+)"', header)
    assert found
    return found[1]


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_digest_gives_the_answers_of_rfc_7616_section_3_9_1(algorithm: str, response: str) -> None:
    header = answer(RFC_7616.format(algorithm=algorithm), "Mufasa", "Circle of Life", RFC_7616_CNONCE)
    assert response_of(header) == response
    assert f"algorithm={algorithm}" in header
    assert "qop=auth, nc=00000001" in header
    assert 'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"' in header


def test_digest_gives_the_corrected_answer_of_rfc_7616_section_3_9_2() -> None:
    """The RFC's own figures are not SHA-512/256; errata 4897 gives the right ones."""
    challenge = (
        'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, charset=UTF-8, userhash=true, '
        'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS"'
    )
    cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v"
    header = answer(challenge, "Jäsøn Doe", "Secret, or not?", cnonce, url="/doe.json")
    assert 'username="793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"' in header
    assert response_of(header) == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
    assert "Jäsøn" not in header


def test_digest_gives_the_answer_of_rfc_2617_section_3_5() -> None:
    challenge = 'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    header = answer(challenge, "Mufasa", "Circle Of Life", "0a4f113b")
    assert response_of(header) == "6629fae49393a05397450978507c4ef1"
    assert "algorithm" not in header


def test_without_qop_the_answer_is_that_of_rfc_2069() -> None:
    # md5(md5("u:r:p"):n:md5("DESCRIBE:rtsp://192.0.2.7/live")), worked out apart from the module.
    header = answer('Digest realm="r", nonce="n"', "u", "p", "unused", "DESCRIBE", "rtsp://192.0.2.7/live")
    assert response_of(header) == _rfc_2069()
    assert "qop" not in header
    assert "nc=" not in header
    assert "cnonce" not in header


def _rfc_2069() -> str:
    import hashlib

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    return md5(f"{md5('u:r:p')}:n:{md5('DESCRIBE:rtsp://192.0.2.7/live')}")


def test_session_algorithms_keep_their_client_nonce() -> None:
    authenticator = Authenticator(Credentials("u", "p"))
    authenticator.challenged(['Digest realm="r", nonce="n", algorithm=MD5-sess, qop=auth'])
    first, second = (authenticator.authorization("OPTIONS", "rtsp://192.0.2.7/") or "" for _ in range(2))
    nonces = [re.findall(r'cnonce="([^"]+)"', header) for header in (first, second)]
    assert nonces[0] == nonces[1]
    assert "nc=00000002" in second


def test_basic_is_answered_where_nothing_better_is_offered() -> None:
    header = answer('Basic realm="WallyWorld"', "Aladdin", "open sesame", "")
    assert header == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="  # RFC 7617 §2


@pytest.mark.parametrize(
    ("values", "scheme"),
    [
        (['Basic realm="a"', 'Digest realm="a", nonce="n"'], "Digest MD5"),
        (['Digest realm="a", nonce="n", algorithm=MD5', 'Digest realm="a", nonce="n", algorithm=SHA-256'], "Digest SHA-256"),
        (['Digest realm="a", nonce="n", algorithm="sha-256-SESS", qop="auth", Basic realm="a"'], "Digest SHA-256-SESS"),
        (['Digest realm="a", nonce="n", algorithm=MD5, Basic realm="x"', "Negotiate"], "Digest MD5"),
        (['Digest realm="a", nonce="n", qop="auth-conf", Basic realm="a"'], "Basic"),
        (['Digest realm="no nonce"', 'basic REALM="a"'], "Basic"),
    ],
)
def test_the_strongest_challenge_that_we_do_is_answered(values: list[str], scheme: str) -> None:
    authenticator = Authenticator(Credentials("u", "p"))
    authenticator.challenged(values)
    assert authenticator.scheme == scheme
    assert authenticator.authorization("GET", "/")


def test_quoted_strings_may_hold_commas_signs_and_escaped_quotes() -> None:
    (first, second) = parse_challenges(['Digest realm="a, Basic b=\\"c\\"", nonce = "x=y" , qop=auth , Basic realm="z'])
    assert first.params == {"realm": 'a, Basic b="c"', "nonce": "x=y", "qop": "auth"}
    assert second.params == {"realm": "z"}
    authenticator = Authenticator(Credentials('u"\\', "p"))
    authenticator.challenged(['Digest realm="a\\"b", nonce="n"'])
    assert 'username="u\\"\\\\", realm="a\\"b"' in (authenticator.authorization("GET", "/") or "")


def test_what_cannot_be_answered_is_refused_with_what_to_do() -> None:
    with pytest.raises(SourceRefused, match=r"do not know \(NTLM, Digest SHA3\)"):
        Authenticator(Credentials("u", "p")).challenged(["NTLM", 'Digest realm="a", nonce="n", algorithm=SHA3'])
    with pytest.raises(SourceRefused, match="no WWW-Authenticate"):
        Authenticator(Credentials("u", "p")).challenged([])
    with pytest.raises(SourceRefused, match="none are given"):
        Authenticator(None).challenged(['Basic realm="a"'])


def test_neither_user_nor_password_shows_in_any_text() -> None:
    credentials = Credentials("operator-7", "pa55word/9")
    authenticator = Authenticator(credentials)
    authenticator.challenged(['Basic realm="a"'])
    assert "operator-7" not in repr(credentials) + repr(authenticator)
    assert "pa55word" not in repr(credentials) + repr(authenticator)
    basic = base64.b64encode(b"operator-7:pa55word/9").decode()
    assert authenticator.scrub(f"x pa55word/9 y {basic} z pa55word%2F9") == "x *** y *** z ***"


def test_after_forgetting_nothing_is_answered_any_more() -> None:
    authenticator = Authenticator(Credentials("u", "p"))
    authenticator.challenged(['Basic realm="a"'])
    authenticator.forget()
    assert authenticator.authorization("GET", "/") is None


@given(st.lists(st.text(max_size=200), max_size=4))
def test_any_challenge_is_parsed_answered_or_refused(values: list[str]) -> None:
    assert isinstance(describe_challenges(parse_challenges(values)), str)
    authenticator = Authenticator(Credentials("u", "p"))
    try:
        authenticator.challenged(["Digest " + value for value in values])
    except SourceRefused:
        return
    assert authenticator.authorization("GET", "/")
