"""Several commands one after the other in one process of its own: JSON lists of arguments in, JSON of codes and outputs out.

A step that is an object writes a file: `{"path": …, "text": …}`.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path

import streamvault


def main() -> None:
    done: list[tuple[int, str]] = []
    for step in json.load(sys.stdin):
        if isinstance(step, dict):
            Path(step["path"]).write_text(step["text"])
            continue
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = streamvault.run(step)
        done.append((code, out.getvalue()))
    json.dump(done, sys.stdout)


if __name__ == "__main__":
    main()
