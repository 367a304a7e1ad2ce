"""The verifier as one file, `verify.py`: the modules of `access/package/verifier`, one behind the other, without their imports of each other.

A receiver has one file to fetch and to read, and the modules stay small. What they may use is what Python 3.8 has.
"""

from __future__ import annotations

import ast
import functools
from importlib.resources import files
from typing import Final

PARTS: Final = ("forms", "keys", "reading", "looking", "command")
"""In the order in which they stand: each uses those before it."""

_OWN: Final = "access.package.verifier"
_HEAD: Final = '''#!/usr/bin/env python3
"""Verifies a package of footage: a folder, a .tar or an encrypted .tar. Needs Python 3.8 and the command `openssl` 3.0, nothing else.

核验视频调取包。只需 Python 3.8 和 openssl 3.0：
    python3 verify.py PACKAGE --key FINGERPRINT

A forger can replace this file as well as any other: take it, and the fingerprint of the key, from the office that made the package.
"""
'''


@functools.cache
def verifier() -> bytes:
    """The bytes of `verify.py`; the same for everyone who has this version."""
    modules: set[str] = set()
    names: dict[str, set[str]] = {}
    bodies = []
    for part in PARTS:
        source = (files("access.package.verifier") / f"{part}.py").read_text(encoding="utf-8")
        lines = source.splitlines()
        tree = ast.parse(source)
        begin = 0
        for node in tree.body:
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.setdefault(node.module or "", set()).update(alias.name for alias in node.names)
            else:
                continue
            begin = node.end_lineno or 0
        words = ast.get_docstring(tree, clean=False) or ""
        bodies.append(f"# {part}: {words.splitlines()[0]}\n" + "\n".join(lines[begin:]).strip() + "\n")
    imports = [f"import {module}" for module in sorted(modules)]
    imports += [
        f"from {module} import {', '.join(sorted(names[module]))}"
        for module in sorted(names)
        if not module.startswith((_OWN, "__future__"))
    ]
    return (_HEAD + "\nfrom __future__ import annotations\n\n" + "\n".join(imports) + "\n\n\n" + "\n\n".join(bodies)).encode()
