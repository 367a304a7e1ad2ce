"""Figures as pictures: what will be stored day by day against what the store holds, and what was kept by class. The only module that
knows matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from vault.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FORMATS = {".svg": "svg", ".png": "png"}
_TB = 1e12
_FEW_DAYS = 10
_COLORS = {"general": "#1f6f8b", "key": "#b03a2e", "viewing": "#c9a227"}


def format_of(path: Path) -> str:
    """`svg` or `png` by the file's name. Raises UsageError."""
    found = _FORMATS.get(path.suffix.lower())
    if found is None:
        raise UsageError(f"{path}: a chart is a file named .svg or .png")
    return found


def stored_chart(first: date, stored: Sequence[float], capacity_bytes: int | None, need_bytes: float, kind: str) -> bytes:
    """The picture's file. `stored`: bytes at the end of each day from `first`."""
    figure, axes = _empty()
    days = [first + timedelta(days=number) for number in range(len(stored))]
    axes.plot(days, [size / _TB for size in stored], label="stored", color="#1f6f8b", linewidth=2)  # type: ignore[arg-type]
    axes.axhline(need_bytes / _TB, label="needed for all classes' days", color="#7a7a7a", linestyle=":")
    if capacity_bytes is not None:
        axes.axhline(capacity_bytes / _TB, label="the store holds", color="#b03a2e", linestyle="--")
    return _file(figure, axes, days, "TB", kind)


def usage_chart(usage: Mapping[str, Sequence[tuple[date, int]]], kind: str) -> bytes:
    """The picture's file: bytes kept at the end of each day, the classes on top of each other. Each has the same days."""
    figure, axes = _empty()
    days = [day for day, _ in next(iter(usage.values()), ())]
    most = max((sum(sizes) for sizes in zip(*([size for _, size in one] for one in usage.values()), strict=True)), default=0)
    # A small site's terabytes would be nothing but zeros.
    unit, name = (_TB, "TB") if most >= _TB / 10 else (1e9, "GB")
    heights = [[size / unit for _, size in one] for one in usage.values()]
    colors = [_COLORS.get(one, "#7a7a7a") for one in usage]
    if len(days) > 1:
        axes.stackplot(days, heights, labels=list(usage), colors=colors)  # type: ignore[arg-type]
    else:
        below = 0.0
        for label, height, color in zip(usage, heights, colors, strict=True):
            axes.bar(days, height, bottom=below, label=label, color=color)  # type: ignore[arg-type]
            below += height[0]
    return _file(figure, axes, days, name, kind)


def _empty() -> tuple[Figure, Axes]:
    # Without pyplot: it keeps figures in a global list, and asks for a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _file(figure: Figure, axes: Axes, days: Sequence[date], unit: str, kind: str) -> bytes:
    axes.set_ylabel(unit)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right")
    if len(days) <= _FEW_DAYS:
        # Left to itself the axis would have hours.
        axes.set_xticks(list(days), [day.isoformat() for day in days])  # type: ignore[arg-type]
    figure.autofmt_xdate()
    out = io.BytesIO()
    figure.savefig(out, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return out.getvalue()
