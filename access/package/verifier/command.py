"""Verifies a package of footage: a folder, a .tar or an encrypted .tar. It only reads, and trusts no byte of what it reads."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from access.package.verifier.forms import Finding, Findings, fingerprint, grouped, public_key, shown
from access.package.verifier.looking import Look, moment
from access.package.verifier.reading import Reading

KINDS = {
    "missing": "缺失", "extra": "多余", "renamed": "被改名", "changed": "内容被改动", "special": "不是普通文件",
    "name": "名称异常", "order": "顺序被改动", "duplicate": "重复", "form": "格式不符", "container": "封装损坏",
    "signature": "签名无效", "checkpoint": "日志检查点无效", "proof": "日志证明无效", "custody": "保管记录不一致",
    "key": "签名单位不符", "ledger": "日志被删改", "password": "密码不符", "unread": "无法读取", "openssl": "无法验签",
}  # fmt: skip
"""Every kind of finding, and what it is called in Chinese."""
_PASSED_OVER = {"key", "password", "unread", "openssl"}
VARIABLE = "STREAMVAULT_PACKAGE_PASSWORD"
MAX_SMALL_BYTES = 1024 * 1024
_EXITS = """exit codes: 0 whole and unchanged; 8 not; 4 signed by another installation, or another password; 7 it could not be
looked at (unreadable, or openssl is missing or older than 3.0); 2 the call is wrong."""


class NoPassword(Exception):
    """One is needed and was not given."""


class Verdict(NamedTuple):
    """`facts`: what the package says of itself; proven only where there is no finding."""

    findings: list[Finding]
    facts: dict[str, Any]

    @property
    def exit_code(self) -> int:
        kinds = {finding.kind for finding in self.findings}
        if kinds - _PASSED_OVER:
            return 8
        return 4 if kinds & {"key", "password"} else 7 if kinds else 0

    def document(self) -> dict[str, Any]:
        """For programs."""
        named = [{"kind": one.kind, "where": one.where, "message": one.message} for one in self.findings]
        return {"whole": not self.findings, "exit_code": self.exit_code, "findings": named, "package": self.facts}


def examine(
    path: str,
    trust: Iterable[str] = (),
    password: Callable[[], str] = lambda: "",
    progress: Callable[[int], None] = lambda size: None,
    succession: bytes = b"",
) -> Verdict:
    """Look at one package. `trust`: fingerprints of keys that are trusted; none: whoever signed it is named and not judged.

    `succession`: how the installation's keys followed each other, where it is known from elsewhere. Whatever `password` raises
    comes out; nothing else does.
    """
    findings = Findings()
    reading = Reading(findings, password, progress)
    if not reading.read(path):
        return Verdict(findings.all, {})
    look = Look(reading.files, findings, trust, succession)
    look.all(reading.root, reading.time)
    return Verdict(findings.all, look.facts)


def trusted_key(text: str) -> str:
    """A fingerprint from a fingerprint as people write it, or from a file with a public key. Raises ValueError."""
    plain = re.sub(r"[\s:-]", "", text).lower()
    if re.fullmatch(r"[0-9a-f]{64}", plain):
        return plain
    try:
        return fingerprint(public_key(content(text)))
    except FileNotFoundError:
        raise ValueError(
            f"--key {shown(text)}: neither a fingerprint of 64 hexadecimal digits nor a file that is there"
        ) from None


def told(verdict: Verdict, package: str) -> list[str]:
    """What is said to people, Chinese and English, a line each."""
    facts, lines = verdict.facts, [f"包 package: {shown(package)}"]
    if "export" in facts:
        start, end = moment(facts["start_us"]), moment(facts["end_us"])
        for zh, en, value in (
            ("导出编号", "export", facts["export"]),
            ("时段 (UTC)", "range", f"{start} – {end}"),
            ("摄像机", "cameras", ", ".join(facts["cameras"][:20])),
            (
                "调取人员",
                "taken by",
                f"{facts['person']} ({facts['staff_number']})" + (f", {facts['unit_name']}" if facts["unit_name"] else ""),
            ),
            ("用途", "purpose", f"{facts['purpose']}: {facts['why']}"),
            ("案号", "case", facts["case"]),
            ("去向", "destination", facts["destination"]),
            ("文件", "files", f"{facts['files']}, {facts['bytes']:,} B"),
        ):
            lines.append(f"{zh} {en}: {shown(value)}")
        if facts["damaged"]:
            lines.append(f"出具前已损坏的来源段 source segments that were damaged before it was made: {facts['damaged']}")
        if "ledger" in facts:
            entries = ", ".join(map(str, facts["sequences"]))
            lines.append(shown(f"日志 ledger: {facts['ledger']}, 条目 entries {entries} / {facts['entries']}"))
    if "fingerprint" in facts:
        lines.append(f"签名公钥指纹 signed with the key: {grouped(facts['fingerprint'])}")
    lines += [f"✗ {KINDS[one.kind]} {one.kind}: {': '.join(filter(None, one[1:]))}" for one in verdict.findings]
    if verdict.exit_code == 0:
        lines.append("结论：完整，未被改动，且已记入日志。 VERDICT: whole, unchanged, and on record in the ledger.")
        if not facts.get("trusted"):
            lines.append(
                "请将上列指纹与出具单位公布的指纹核对。 Compare the fingerprint above with the one that the office made known, "
                "or give it with --key."
            )
    elif verdict.exit_code == 8:
        lines.append("结论：不可采信，包已损坏或被改动。 VERDICT: not to be relied on, it was damaged or changed.")
    elif verdict.exit_code == 4:
        lines.append(
            "结论：拒绝，签名单位或密码不符。 VERDICT: refused, another installation signed it, or the password is another."
        )
    else:
        lines.append("结论：无法核验。 VERDICT: it could not be verified.")
    return lines


def ask(path: str | None) -> str:
    """A package's password: from a file, the environment, or a person. Raises NoPassword."""
    if path is not None:
        try:
            data = sys.stdin.buffer.readline(MAX_SMALL_BYTES) if path == "-" else content(path)
        except (OSError, ValueError) as error:
            raise NoPassword(f"the password cannot be read from {path}: {error}") from None
        return data.split(b"\n")[0].rstrip(b"\r").decode("utf-8", "surrogateescape")
    if VARIABLE in os.environ:
        return os.environ[VARIABLE]
    if not sys.stdin or not sys.stdin.isatty():
        raise NoPassword(f"the package is encrypted: give its password with --password-file or in {VARIABLE}")
    return getpass.getpass("密码 password: ")


def main(arguments: Sequence[str]) -> int:
    """The command line of the file that is handed out; the exit code."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("verify.py", description=__doc__, epilog=_EXITS, formatter_class=form)
    parser.add_argument("package", help="a folder, a .tar, or a .tar.enc")
    parser.add_argument(
        "--key", action="append", default=[], help="trust this key only: its fingerprint, or its file public.pem"
    )
    parser.add_argument("--succession", help="the file with which the office shows how its keys followed each other")
    parser.add_argument(
        "--password-file", help=f"of an encrypted package; - is standard input; else {VARIABLE}, else it is asked for"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    call = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        # Where a terminal cannot show Chinese the rest is still said.
        getattr(stream, "reconfigure", lambda **how: None)(errors="backslashreplace")
    try:
        trust = [trusted_key(text) for text in call.key]
        succession = content(call.succession) if call.succession else b""
        verdict = examine(call.package, trust, lambda: ask(call.password_file), _progress(), succession)
    except (ValueError, NoPassword, OSError) as error:
        sys.stderr.write(f"verify.py: {shown(error)}\n")
        return 2
    text = json.dumps(verdict.document(), ensure_ascii=False, indent=2) if call.json else "\n".join(told(verdict, call.package))
    sys.stdout.write(f"{text}\n")
    return verdict.exit_code


def content(path: str) -> bytes:
    """Of a small file. Raises OSError, ValueError for a large one."""
    with open(path, "rb") as file:
        data = file.read(MAX_SMALL_BYTES + 1)
    if len(data) > MAX_SMALL_BYTES:
        raise ValueError(f"{path}: is too long to be that")
    return data


def _progress() -> Callable[[int], None]:
    """A line on the terminal for every 64 MB."""
    done, said = 0, 0

    def more(size: int) -> None:
        nonlocal done, said
        done += size
        if done - said >= 64_000_000:
            said = done
            sys.stderr.write(f"\r{done // 1_000_000:,} MB")
            sys.stderr.flush()

    return more if sys.stderr and sys.stderr.isatty() else lambda size: None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
