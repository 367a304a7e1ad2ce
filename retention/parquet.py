"""The figures as Parquet, which any planner's tool reads as it stands. The only module that knows pyarrow.

Columns are described in `retention/FIGURES.md`; a column that is added is added at the end, and none changes its meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from retention.hourly import CameraHour
from vault.errors import Damaged
from vault.timebase import US

Table: TypeAlias = Any
"""A `pyarrow.Table`, which has no types of its own to check with."""

_NAME: Final = pa.dictionary(pa.int32(), pa.string())
HOURLY: Final = pa.schema(
    [
        ("camera", pa.uint32()),
        ("camera_id", _NAME),
        ("site", _NAME),
        ("site_class", _NAME),
        ("hour", pa.timestamp("us", tz="UTC")),
        ("bytes", pa.int64()),
        ("seconds_recorded", pa.float64()),
        ("seconds_missing", pa.float64()),
        ("missing", pa.map_(pa.string(), pa.float64())),
        ("bit_rate", pa.float64()),
        ("frames", pa.int64()),
        ("packets_lost", pa.int64()),
        ("clock_offset_us", pa.int64()),
    ]
)
USAGE: Final = pa.schema(
    [
        ("day", pa.date32()),
        ("site", _NAME),
        ("site_class", _NAME),
        ("cameras", pa.int64()),
        ("segments", pa.int64()),
        ("bytes", pa.int64()),
        ("seconds", pa.float64()),
    ]
)
MAX_FILE_BYTES: Final = 256 * 1024 * 1024


def hourly_bytes(hours: Iterable[CameraHour]) -> bytes:
    """One day's hours as a file."""
    columns: dict[str, list[Any]] = {name: [] for name in HOURLY.names}
    for hour in hours:
        values = (
            hour.camera.number, str(hour.camera.id), hour.camera.site, hour.site_class, hour.hour_us, hour.size_bytes,
            hour.recorded_us / US, sum(hour.missing_us.values()) / US,
            [(reason, missing_us / US) for reason, missing_us in sorted(hour.missing_us.items())],
            hour.bit_rate, hour.frames, hour.lost_packets, hour.clock_offset_us,
        )  # fmt: skip
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    return written(table_of(columns, HOURLY))


def table_of(columns: dict[str, list[Any]], schema: pa.Schema) -> pa.Table:
    """Columns of plain values as a table."""
    return pa.table({name: pa.array(columns[name], schema.field(name).type) for name in schema.names}, schema=schema)


def written(table: pa.Table) -> bytes:
    """The file. Small: a day of a thousand cameras is less than a megabyte."""
    sink = pa.BufferOutputStream()
    strings = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
    pq.write_table(table, sink, compression="zstd", use_dictionary=strings)
    return bytes(sink.getvalue())


Part = tuple[str, bytes]
"""Key and bytes of one file of figures."""


def read(parts: Sequence[Part], schema: pa.Schema, columns: Sequence[str]) -> Table:
    """These columns of all parts. Raises Damaged, naming the object."""
    found = [_plain(_columns(part, columns)) for part in parts]
    return pa.concat_tables(found) if found else _plain(pa.schema([schema.field(name) for name in columns]).empty_table())


def summed(parts: Sequence[Part], by: Sequence[str], sums: Sequence[str]) -> list[dict[str, Any]]:
    """Sums of hours by group, in order of the group, and `cameras`: how many have a part in it. `day` is the hour's, UTC.

    Each file is summed by group and camera on its own, so that a year is never in memory as a whole. Raises Damaged.
    """

    def of_part(part: Part) -> Table:
        table = _columns(part, [*dict.fromkeys("hour" if name == "day" else name for name in by), "camera", *sums])
        if "day" in by:
            table = table.append_column("day", table.column("hour").cast(pa.date32()))
        keys = list(dict.fromkeys([*by, "camera"]))
        return _plain(table.group_by(keys, use_threads=False).aggregate([(name, "sum") for name in sums]))

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(of_part, parts))
    if not found:
        return []
    grouped = pa.concat_tables(found).group_by(list(by), use_threads=False)
    whole = grouped.aggregate([*((f"{name}_sum", "sum") for name in sums), ("camera", "count_distinct")])
    whole = whole.rename_columns([*by, *sums, "cameras"])
    return list(whole.sort_by([(name, "ascending") for name in by]).to_pylist())


def within(part: Part, start_us: int, end_us: int) -> Part:
    """The part without rows whose hour lies outside the range."""
    table = _columns(part, HOURLY.names)
    at = table.column("hour").cast(pa.int64())
    return part[0], written(table.filter(pc.and_(pc.greater_equal(at, start_us), pc.less(at, end_us))))


def _columns(part: Part, columns: Sequence[str]) -> Table:
    key, data = part
    try:
        # `read_table` is for folders of files, and takes two and a half times as long for one.
        return pq.ParquetFile(pa.BufferReader(data)).read(list(columns), use_threads=False).select(list(columns))
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise Damaged(f"{key}: cannot be read as figures: {str(error)[:200]}; move it away") from error


def _plain(table: Table) -> Table:
    """Strings in the place of dictionaries: those of several files are not the same."""
    kinds = [pa.field(item.name, pa.string() if pa.types.is_dictionary(item.type) else item.type) for item in table.schema]
    return table.cast(pa.schema(kinds))


_TYPES: Final = {
    "text": pa.string(), "number": pa.int64(), "moment": pa.timestamp("us", tz="UTC"), "texts": pa.list_(pa.string()),
    "numbers": pa.list_(pa.int64()),
}  # fmt: skip


def plain_table(types: Mapping[str, str], columns: dict[str, list[Any]]) -> bytes:
    """A file of columns whose types are `text`, `number`, `moment` (UTC µs), `texts` or `numbers`; for other packages' tables."""
    return written(table_of(columns, pa.schema([(name, _TYPES[kind]) for name, kind in types.items()])))
