"""The keeper: gap rows and epochs for the supervisor, in order, and no task lost because of another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from index.cameras import NewCamera
from index.catalog import Catalog
from index.node import Node, open_node
from index.sites import Site
from index.timeline import Gap
from ingest.keeper import Keeper
from ingest.messages import CameraSpec
from tests.support.node import wait_until
from vault.clock import ManualClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.errors import Damaged, StoreError
from vault.ids import CameraNumber
from vault.timebase import US, Interval

NOW_US = 1_795_000_000_000_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_US)


@pytest.fixture
def node(tmp_path: Path, clock: ManualClock) -> Iterator[Node]:
    folder = DataFolder.init(tmp_path / "data")
    with open_node(folder, Config(), clock, create=True) as made:
        made.sites.ensure_default()
        for number in (1, 2, 3):
            made.cameras.add(NewCamera(f"cam-{number}", f"rtsp://192.0.2.{number}/stream"))
        yield made


@pytest.fixture
def keeper(node: Node) -> Iterator[Keeper]:
    made = Keeper(node, node.folder.credentials())
    made.start()
    yield made
    assert made.stop(20)


def take(keeper: Keeper, *numbers: int, reason: str = "crash") -> dict[CameraNumber, CameraSpec]:
    """Ask for these cameras and wait for them."""
    specs: dict[CameraNumber, CameraSpec] = {}
    for number in numbers:
        keeper.take(keeper.wanted[CameraNumber(number)], reason)

    def all_here() -> bool:
        while not keeper.taken.empty():
            spec = keeper.taken.get()
            specs[spec.number] = spec
        return len(specs) == len(numbers)

    wait_until(all_here, 20, "cameras")
    return specs


def gaps(node: Node, number: int, clock: ManualClock) -> list[Gap]:
    first = node.catalog.usage(CameraNumber(number)).first_us
    assert first is not None
    return node.timeline.gaps(CameraNumber(number), Interval(first, clock.now_us()))


def reasons(node: Node, number: int, clock: ManualClock) -> list[tuple[str, int]]:
    """Each gap's reason and seconds."""
    return [(gap.reason, round((gap.end_us - gap.start_us) / US)) for gap in gaps(node, number, clock)]


def test_a_new_camera_connects_and_one_that_somebody_had_before_crashed(keeper: Keeper, node: Node, clock: ManualClock) -> None:
    first = take(keeper, 1)[CameraNumber(1)]
    assert first.epoch == 1
    keeper.gap_ended(CameraNumber(1), NOW_US + US)
    wait_until(lambda: node.catalog.lasting_gap(CameraNumber(1)) is None, 20, "the gap's end")
    clock.advance(10 * US)
    # Taken again, and nobody had said why it was let go.
    again = take(keeper, 1)[CameraNumber(1)]
    assert again.epoch == 2
    assert [reason for reason, _ in reasons(node, 1, clock)] == ["connecting", "crash"]


def test_another_reason_for_the_same_silence_begins_when_it_is_told(keeper: Keeper, node: Node, clock: ManualClock) -> None:
    take(keeper, 1)
    clock.advance(5 * US)
    keeper.gap(CameraNumber(1), NOW_US, "unreachable")
    clock.advance(7 * US)
    keeper.gap(CameraNumber(1), NOW_US, "recorder stopped")
    clock.advance(2 * US)
    wait_until(lambda: len(gaps(node, 1, clock)) == 3, 20, "gaps")
    assert reasons(node, 1, clock) == [("connecting", 5), ("unreachable", 7), ("recorder stopped", 2)]


def test_a_camera_that_is_lost_gets_a_gap_from_its_committed_end_and_a_new_epoch(
    keeper: Keeper, node: Node, clock: ManualClock
) -> None:
    take(keeper, 1)
    keeper.gap_ended(CameraNumber(1), NOW_US + US)
    keeper.lost(CameraNumber(1), "crash")
    clock.advance(4 * US)
    # By its reason: the silence itself is seen as soon as the first gap has ended, before anybody has told of the loss.
    wait_until(lambda: [reason for reason, _ in reasons(node, 1, clock)] == ["connecting", "crash"], 20, "a gap")
    assert node.catalog.epoch(CameraNumber(1)) == 2


def test_a_camera_whose_credentials_do_not_open_is_refused_with_a_reason_of_its_own(
    keeper: Keeper, node: Node, clock: ManualClock
) -> None:
    node.cameras.set("cam-1", secret="sealed with another key")
    take(keeper, 2)
    wait_until(lambda: keeper.wanted[CameraNumber(1)].camera.secret, 20, "the change")
    clock.advance(3 * US)
    for tries in (1, 2):
        keeper.take(keeper.wanted[CameraNumber(1)], "crash")
        number, why = keeper.refused.get(timeout=20)
        assert (number, tries) == (1, tries)
        assert "does not open" in why
        clock.advance(2 * US)
    take(keeper, 3)
    assert [reason for reason, _ in reasons(node, 1, clock)] == ["stored credentials do not open"]
    node.cameras.set("cam-1", secret=None)
    wait_until(lambda: keeper.wanted[CameraNumber(1)].camera.secret is None, 20, "the change")
    assert take(keeper, 1)[CameraNumber(1)].gap is not None


def failing(monkeypatch: pytest.MonkeyPatch, times: int, error: Exception, only: int | None = None) -> None:
    """Opening gaps fails that often, or always for one camera."""
    whole: Callable[..., None] = Catalog.open_gaps
    left = [times]

    def open_gaps(self: Catalog, found: Sequence[tuple[CameraNumber, int, str]]) -> Any:
        if only is not None and any(number == only for number, _, _ in found):
            raise error
        if only is None and left[0]:
            left[0] -= 1
            raise error
        return whole(self, found)

    monkeypatch.setattr(Catalog, "open_gaps", open_gaps)


def test_what_may_get_better_is_repeated_in_its_order(
    keeper: Keeper, node: Node, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(keeper, 1)
    failing(monkeypatch, 2, StoreError("no space"))
    clock.advance(US)
    keeper.gap(CameraNumber(1), NOW_US, "unreachable")
    clock.advance(US)
    keeper.gap_ended(CameraNumber(1), NOW_US + 2 * US)
    clock.advance(US)
    keeper.gap(CameraNumber(1), NOW_US + 3 * US, "closed by camera")
    clock.advance(US)
    # The hole before the last gap reads as one too, between the two commits.
    wait_until(lambda: reasons(node, 1, clock)[-1] == ("closed by camera", 1), 20, "the last gap")
    assert [reason for reason, _ in reasons(node, 1, clock)][:2] == ["connecting", "unreachable"]


def test_one_task_that_can_never_be_done_does_not_take_the_others_with_it(
    keeper: Keeper, node: Node, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, 0, Damaged("this row is broken"), only=2)
    found = take_some(keeper, 1, 2, 3)
    assert found == ({1, 3}, {2})


def take_some(keeper: Keeper, *numbers: int) -> tuple[set[int], set[int]]:
    """Which of these were taken and which were refused."""
    taken: set[int] = set()
    refused: set[int] = set()
    for number in numbers:
        keeper.take(keeper.wanted[CameraNumber(number)], "crash")

    def all_here() -> bool:
        while not keeper.taken.empty():
            taken.add(keeper.taken.get().number)
        while not keeper.refused.empty():
            refused.add(keeper.refused.get()[0])
        return len(taken | refused) == len(numbers)

    wait_until(all_here, 20, "an answer for each")
    return taken, refused


def test_what_recording_does_not_depend_on_may_change_without_beginning_it_anew(node: Node, keeper: Keeper) -> None:
    before = dict(keeper.wanted)
    changes = node.cameras.changes()
    node.sites.add(Site("yard"))
    node.cameras.set("cam-1", name="North gate", site="yard")
    assert node.cameras.changes() > changes
    keeper.refresh()
    assert keeper.wanted == before
    node.cameras.set("cam-1", transport="tcp")
    keeper.refresh()
    assert keeper.wanted != before
