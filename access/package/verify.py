#!/usr/bin/env python3
"""Verifies a package of footage: nothing but Python 3.8 and `openssl` is needed. Usage: python3 verify.py --help

This file is handed out with every package. It is no part of what it proves: take it from a place that you trust.
"""

from __future__ import annotations

TAR_END = bytes(1024)


def tar_header(name: str, size: int, time: int) -> bytes:
    """The one header that a file has in a package's .tar: POSIX ustar; sizes from 8 GiB on in base 256, as GNU and others do.

    Raises ValueError for a name that is too long.
    """
    raw, prefix = name.encode("ascii"), b""
    if len(raw) > 100:
        cut = raw.index(b"/", len(raw) - 101)
        raw, prefix = raw[cut + 1 :], raw[:cut]
    if len(prefix) > 155:
        raise ValueError("too long a name")
    length = b"%011o\0" % size if size < 1 << 33 else b"\x80" + size.to_bytes(11, "big")
    zero = b"0000000\0"
    head = raw.ljust(100, b"\0") + b"0000644\0" + zero + zero + length + b"%011o\0" % time
    tail = b"0" + bytes(100) + b"ustar\x0000" + bytes(64) + zero + zero + prefix.ljust(155, b"\0") + bytes(12)
    return head + b"%06o\0 " % (sum(head) + 8 * 32 + sum(tail)) + tail
