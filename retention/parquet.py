"""The figures as Parquet, which any planner's tool reads as it stands. The only module that knows pyarrow.

Columns are described in `retention/FIGURES.md`; a column that is added is added at the end, and none changes its meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def read(parts: Sequence[tuple[str, bytes]], schema: pa.Schema, columns: Sequence[str]) -> pa.Table:
    """These columns of all parts, each an object's key and bytes. Raises Damaged, naming the object."""
    wanted = pa.schema([schema.field(name) for name in columns])
    plain = pa.schema([pa.field(field.name, _plain(field.type)) for field in wanted])
    tables = []
    for key, data in parts:
        try:
            tables.append(pq.read_table(pa.BufferReader(data), columns=list(columns)).cast(plain))
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise Damaged(f"{key}: cannot be read as figures: {str(error)[:200]}; move it away") from error
    return pa.concat_tables(tables) if tables else plain.empty_table()


def _plain(kind: pa.DataType) -> pa.DataType:
    # Dictionaries of several files have to be made one, which costs more than the strings.
    return pa.string() if pa.types.is_dictionary(kind) else kind


def summed(table: pa.Table, by: Sequence[str], sums: Sequence[str]) -> list[dict[str, Any]]:
    """Sums by group, in order of the group, with the number of distinct cameras and hours where the table has them."""
    extra = [(name, "count_distinct") for name in ("camera", "hour") if name in table.column_names and name not in by]
    grouped = table.group_by(list(by), use_threads=False).aggregate([*((name, "sum") for name in sums), *extra])
    return list(grouped.sort_by([(name, "ascending") for name in by]).to_pylist())


def concatenated(tables: Sequence[Table]) -> Table:
    """One after the other; they have the same columns."""
    return pa.concat_tables(tables)


def within(table: Table, start_us: int, end_us: int) -> Table:
    """The rows whose `hour` lies in the range."""
    at = table.column("hour").cast(pa.int64())
    return table.filter(pc.and_(pc.greater_equal(at, start_us), pc.less(at, end_us)))


def with_day(table: Table) -> Table:
    """A column `day` more, UTC, of its `hour`."""
    return table.append_column("day", table.column("hour").cast(pa.date32()))
