"""A short text as a QR code (ISO/IEC 18004): SVG, PNG, or characters for a terminal. The one wrapper of `segno`."""

from __future__ import annotations

import io

import segno

MARGIN = 4
"""Light modules around it, as ISO/IEC 18004 §9.1 asks for."""


def qr_file(text: str, kind: str) -> bytes:
    """`kind`: `svg` or `png`."""
    out = io.BytesIO()
    segno.make_qr(text, error="m").save(out, kind=kind, scale=6, border=MARGIN, light="#fff")
    return out.getvalue()


def qr_lines(text: str) -> str:
    """Two rows of modules a line of characters; a light ground of its own, for terminals are dark or light."""
    rows = [bytes(row) for row in segno.make_qr(text, error="m").matrix_iter(border=MARGIN)]
    if len(rows) % 2:
        rows.append(bytes(len(rows[0])))
    marks = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}
    body = [
        "".join(marks[upper, lower] for upper, lower in zip(*rows[at : at + 2], strict=True)) for at in range(0, len(rows), 2)
    ]
    return "\n".join(f"\x1b[97;40m{line}\x1b[0m" for line in body) + "\n"
