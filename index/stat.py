"""How large the index is, and how much of it a minute of one camera costs. Reads only."""

from __future__ import annotations

from dataclasses import dataclass

from index.environment import Environment, Table
from index.readers import Reader
from index.rows import unpack_usage

MIN_CAMERA_MINUTES = 1_000
"""With less footage a figure per camera-minute says nothing."""


@dataclass(frozen=True, slots=True)
class IndexStat:
    """Sizes in bytes. `entries` and `table_bytes` by table.

    `used_bytes` is the file up to the last page ever written, free pages between included: what a camera-minute is charged
    with. `file_bytes` is what is allocated on disk, ahead of need. `readers` are the read transactions of this moment.
    """

    engine: str
    entries: dict[str, int]
    table_bytes: dict[str, int]
    segments: int
    footage_bytes: int
    camera_minutes: float
    live_bytes: int
    used_bytes: int
    file_bytes: int
    map_bytes: int
    headroom_bytes: int
    readers: int
    oldest_reader: Reader | None

    @property
    def bytes_per_camera_minute(self) -> float | None:
        """None in a young vault: what an empty index takes would be charged to its few minutes."""
        return self.used_bytes / self.camera_minutes if self.camera_minutes >= MIN_CAMERA_MINUTES else None


def index_stat(environment: Environment) -> IndexStat:
    """One look at everything; cost grows with the cameras, not with the footage."""
    readers = environment.readers()
    space = environment.space()
    with environment.read() as txn:
        usage = [unpack_usage(raw) for _, raw in txn.scan(Table.USAGE)]
        entries = {table.name.lower(): txn.entries(table) for table in Table}
        table_bytes = {table.name.lower(): txn.pages(table) * environment.page_bytes for table in Table}
    return IndexStat(
        environment.engine,
        entries,
        table_bytes,
        sum(item.segments for item in usage),
        sum(item.size_bytes for item in usage),
        sum(item.duration_us for item in usage) / 60e6,
        space.live_bytes,
        space.used_bytes,
        space.file_bytes,
        space.map_bytes,
        space.headroom_bytes,
        len(readers),
        readers[0] if readers else None,
    )
