"""What stands in the spool and in no row yet: segments that are being recorded, and those that wait for their commit.

Nothing of an open segment is published anywhere: its own whole fragments say what it holds (ARCHITECTURE.md), so that nothing
can be out of date.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from index.catalog import Catalog
from index.environment import Environment
from vault.errors import Damaged, NotFound, Unreadable
from vault.grant import Grant, system_grant
from vault.ids import CameraNumber
from vault.logs import Log
from vault.media import SegmentTable
from vault.segment.read import read_open
from vault.source import OpenSource
from vault.spool import Spool
from vault.timebase import Interval

log = Log("index.growing")


@contextmanager
def growing(
    environment: Environment, spool: Spool, camera: CameraNumber, now_us: int, grant: Grant
) -> Iterator[list[tuple[SegmentTable, OpenSource]]]:
    """Each such segment of a camera as far as whole fragments reach, and its bytes, open until the `with` ends.

    Ask the index for committed segments afterwards, never before: then a file that is committed in between is in both, and
    none is in neither. A file that the disk does not give is named in the log, and the others are shown. Raises StoreError.
    """
    catalog = Catalog(environment)
    with ExitStack() as stack:
        found: list[tuple[SegmentTable, OpenSource]] = []
        for key in spool.list_keys(camera):
            # A row in any state has the say: of a doomed segment nothing is shown.
            if catalog.row(key) is not None:
                continue
            try:
                source = stack.enter_context(spool.open_source(key, grant))
                found.append((read_open(source, now_us), source))
            except (NotFound, Damaged):
                # Not found: it went to the store since the listing. Damaged: nothing whole is in it yet.
                continue
            except Unreadable as error:
                log.warning("file of the spool is not given by its disk; the rest is shown", error=error)
        yield found


def growing_intervals(environment: Environment, spool: Spool, camera: CameraNumber, now_us: int) -> list[Interval]:
    """The time that those segments cover. Raises StoreError."""
    with growing(environment, spool, camera, now_us, system_grant("timeline")) as found:
        return [table.info.interval for table, _ in found]
