"""A forecast as a picture: what is stored day by day, against what the store holds. The only module that knows matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from vault.errors import UsageError

_FORMATS = {".svg": "svg", ".png": "png"}
_TB = 1e12


def format_of(path: Path) -> str:
    """`svg` or `png` by the file's name. Raises UsageError."""
    found = _FORMATS.get(path.suffix.lower())
    if found is None:
        raise UsageError(f"{path}: a chart is a file named .svg or .png")
    return found


def stored_chart(first: date, stored: Sequence[float], capacity_bytes: int | None, need_bytes: float, kind: str) -> bytes:
    """The picture's file. `stored`: bytes at the end of each day from `first`."""
    # Without pyplot: it keeps figures in a global list, and asks for a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    days = [first + timedelta(days=number) for number in range(len(stored))]
    axes.plot(days, [size / _TB for size in stored], label="stored", color="#1f6f8b", linewidth=2)  # type: ignore[arg-type]
    axes.axhline(need_bytes / _TB, label="needed for all classes' days", color="#7a7a7a", linestyle=":")
    if capacity_bytes is not None:
        axes.axhline(capacity_bytes / _TB, label="the store holds", color="#b03a2e", linestyle="--")
    axes.set_ylabel("TB")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.autofmt_xdate()
    out = io.BytesIO()
    figure.savefig(out, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return out.getvalue()
