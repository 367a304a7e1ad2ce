"""The QR code of a public key, as another program reads it: from the picture and from a terminal's characters."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support.tools import need
from vault.signing.ed25519 import PrivateKey, PublicKey
from vault.signing.qr import qr_file, qr_lines

PEM = PrivateKey.generate().public.pem


def read(path: Path) -> bytes:
    command = [need("zbarimg"), "--raw", "--quiet", "-Sdisable", "-Sqrcode.enable", str(path)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def picture(rows: list[list[int]], path: Path, scale: int = 6) -> None:
    """A bitmap (PBM) of dark and light modules."""
    lines = [" ".join(str(module) for module in row for _ in range(scale)) for row in rows for _ in range(scale)]
    path.write_text(f"P1\n{len(rows[0]) * scale} {len(rows) * scale}\n" + "\n".join(lines) + "\n")


def test_the_picture_is_read_as_the_key(tmp_path: Path) -> None:
    (tmp_path / "key.png").write_bytes(qr_file(PEM.decode(), "png"))
    assert PublicKey.parse(read(tmp_path / "key.png").strip() + b"\n").pem == PEM


def test_what_a_terminal_shows_is_read_as_the_key(tmp_path: Path) -> None:
    rows: list[list[int]] = []
    for line in qr_lines(PEM.decode()).splitlines():
        # Light characters on a dark ground.
        shown = re.sub(r"\x1b\[[0-9;]*m", "", line)
        rows.append([0 if mark in "█▀" else 1 for mark in shown])
        rows.append([0 if mark in "█▄" else 1 for mark in shown])
    picture(rows, tmp_path / "terminal.pbm")
    assert read(tmp_path / "terminal.pbm").strip() + b"\n" == PEM


def test_the_drawing_has_the_same_modules(tmp_path: Path) -> None:
    svg = qr_file(PEM.decode(), "svg").decode()
    size = int(re.search(r'<svg[^>]* width="(\d+)"', svg)[1]) // 6  # type: ignore[index]
    rows = [[0] * size for _ in range(size)]
    # segno draws rows of dark modules as strokes: a move, absolute or relative, and a length.
    x = y = 0.0
    for move, dx, dy, length in re.findall(r"([Mm])(-?[\d.]+) (-?[\d.]+)h(\d+)", svg[svg.index("qrline") :]):
        x, y = (float(dx), float(dy)) if move == "M" else (x + float(dx), y + float(dy))
        for at in range(int(length)):
            rows[int(y)][int(x) + at] = 1
        x += int(length)
    picture(rows, tmp_path / "drawing.pbm")
    assert read(tmp_path / "drawing.pbm").strip() + b"\n" == PEM
