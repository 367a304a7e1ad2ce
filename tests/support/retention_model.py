"""The rules of keeping in plain words, for the machine: no index, no transactions, one time zone without daylight saving.

Times are µs: `until` of a segment is the instant before which it may not go, None while it is not known. What an index makes of
the same deeds is compared with this.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vault.ids import CameraNumber, SegmentKey
from vault.timebase import US, Interval

HOUR_US = 3_600 * US
DAY_US = 24 * HOUR_US
ZONE_US = 8 * HOUR_US
"""Asia/Shanghai."""
NOTICE_US = DAY_US
LATEST_US = 2**62
LEAST_DAYS = {"key": 90, "general": 30, "viewing": 92}


def day_of(at_us: int) -> int:
    """The local day."""
    return (at_us + ZONE_US) // DAY_US


def end_of(day: int, days: int) -> int:
    """The end of the local day that is `days` after `day`."""
    return (day + days + 1) * DAY_US - ZONE_US


@dataclass
class Demand:
    """Class and days that something asks for, and what was announced for later."""

    site_class: str
    days: int
    later: tuple[str, int, int] | None = None

    def at(self, now_us: int) -> tuple[str, int]:
        if self.later is not None and now_us >= self.later[2]:
            return self.later[0], self.later[1]
        return self.site_class, self.days


@dataclass
class Eye:
    """A camera: its site and days of its own, and what was announced."""

    site: str
    days: int = 0
    later: tuple[str, int, int] | None = None

    def at(self, now_us: int) -> tuple[str, int]:
        if self.later is not None and now_us >= self.later[2]:
            return self.later[0], self.later[1]
        return self.site, self.days


@dataclass
class Footage:
    """A segment. `day`: the local day that its days count from. `doubt`: when it began is not known."""

    key: SegmentKey
    interval: Interval
    size_bytes: int
    site_class: str
    day: int | None
    until_us: int | None
    doubt: bool = False
    true_end_us: int = 0
    """When it really ended, whatever the clock said."""
    most: int = 0
    """The most days that were in force for its camera since it began, as somebody sees it who looks again and again."""
    deleting: bool = False
    gone: bool = False
    untold: bool = False
    """It went while the index was lost: the ledger has its announcement, and not that it was done."""

    @property
    def camera(self) -> CameraNumber:
        return self.key.camera


@dataclass
class Order:
    """A hold."""

    cameras: set[CameraNumber]
    interval: Interval
    until_us: int | None
    asked_by: str | None = None
    released: bool = False

    def keeps(self, item: Footage, now_us: int) -> bool:
        lasts = not self.released and (self.until_us is None or now_us < self.until_us)
        return lasts and item.camera in self.cameras and self.interval.overlaps(item.interval)


@dataclass
class Rules:
    """Everything that keeps footage."""

    class_days: dict[str, int] = field(default_factory=lambda: dict(LEAST_DAYS))
    """By the configuration, for what is recorded from now on."""
    followed: dict[str, int] = field(default_factory=lambda: dict(LEAST_DAYS))
    """As a run of retention last saw them."""
    sites: dict[str, Demand] = field(default_factory=dict)
    eyes: dict[CameraNumber, Eye] = field(default_factory=dict)
    footage: dict[SegmentKey, Footage] = field(default_factory=dict)
    left: dict[SegmentKey, Footage] = field(default_factory=dict)
    """What a crash left open in the spool: the index does not know it."""
    holds: dict[int, Order] = field(default_factory=dict)
    pins: list[tuple[CameraNumber, Interval, int]] = field(default_factory=list)
    raises: list[tuple[CameraNumber, int, int]] = field(default_factory=list)
    """Camera, before when it covers, days: of lowerings too, with the days that were in force before them."""

    def site_days(self, site: str, now_us: int) -> tuple[str, int]:
        site_class, days = self.sites[site].at(now_us)
        return site_class, max(days, self.class_days[site_class])

    def in_force(self, site_class: str) -> int:
        """Fewer days of a class are in force once a run saw them."""
        return max(self.class_days[site_class], self.followed[site_class])

    def kept(self, camera: CameraNumber, now_us: int) -> tuple[str, int]:
        """Class and days of what the camera records now."""
        site, days = self.eyes[camera].at(now_us)
        site_class, least = self.site_days(site, now_us)
        return site_class, max(least, days, self.in_force(site_class))

    def record(self, item: Footage, days: int | None) -> None:
        """`days` None: the clock is not believed."""
        if days is not None and item.day is not None:
            item.until_us = end_of(item.day, days)
            self.comes_in(item)
        self.footage[item.key] = item

    def fix(self, item: Footage, days: int, now_us: int) -> None:
        """The clock is believed again, and how long it was recorded is taken from now."""
        item.day = day_of(now_us)
        item.until_us = end_of(item.day, max(days, self.in_force(item.site_class)))
        self.comes_in(item)

    def comes_in(self, item: Footage) -> None:
        for camera, before_us, days in self.raises:
            if camera == item.camera and (item.doubt or item.key.start_us < before_us):
                self._raise(item, days)

    def _raise(self, item: Footage, days: int) -> None:
        if item.day is not None and item.until_us is not None:
            item.until_us = max(item.until_us, end_of(item.day, days))

    def ask(self, camera: CameraNumber, days: int, now_us: int, notice_us: int = NOTICE_US) -> None:
        """A raise: all that there is, and what is begun within a day of it or of the newest that there is."""
        self.note(camera, days, now_us, notice_us)
        for item in self.footage.values():
            if item.camera == camera and not item.deleting and not item.gone:
                self._raise(item, days)

    def watch(self, now_us: int) -> None:
        """See which days are in force now."""
        for camera, eye in self.eyes.items():
            site, days = eye.at(now_us)
            site_class, least = self.sites[site].at(now_us)
            days = max(days, least, self.followed[site_class])
            for item in (*self.footage.values(), *self.left.values()):
                if item.camera == camera:
                    item.most = max(item.most, days)

    def adopt(self, item: Footage, now_us: int, *, believed: bool) -> None:
        """Recovery closed it now. What ends in days to come was recorded under a clock that was ahead."""
        end_us, (item.site_class, days) = item.interval.end_us, self.kept(item.camera, now_us)
        ahead = end_us - now_us > DAY_US
        item.doubt = ahead or not believed
        item.day = None if not believed else day_of(now_us if ahead else max(end_us, now_us))
        self.record(item, days if believed else None)

    def note(self, camera: CameraNumber, days: int, now_us: int, notice_us: int) -> None:
        """For what comes in later: what began within `notice_us` from now has these days."""
        there = [item.key.start_us for item in self.footage.values() if item.camera == camera and not item.gone]
        self.raises.append((camera, max([now_us, *there]) + notice_us, days))

    def of_site(self, site: str, now_us: int) -> list[CameraNumber]:
        """Those that are there, and those that are announced to come."""
        return [camera for camera, eye in self.eyes.items() if site in {eye.at(at)[0] for at in (now_us, LATEST_US)}]

    def set_site(self, site: str, site_class: str, days: int, now_us: int) -> None:
        old = self.sites[site].at(now_us)
        if (site_class, days) == old:
            return
        had, has = max(old[1], self.class_days[old[0]]), max(days, self.class_days[site_class])
        if has < had:
            self.sites[site] = Demand(*old, (site_class, days, now_us + NOTICE_US))
            for camera in self.of_site(site, now_us):
                self.ask(camera, had, now_us)
            return
        self.sites[site] = Demand(site_class, days)
        if has > had:
            for camera in self.of_site(site, now_us):
                self.ask(camera, has, now_us)

    def set_camera(self, camera: CameraNumber, site: str, days: int, now_us: int) -> None:
        eye = self.eyes[camera]
        old = eye.at(now_us)
        if (site, days) == old:
            if eye.later is not None and (eye.later[0] != site or now_us >= eye.later[2]):
                # It stays where it is said to stand: the move is off, or over, should the clock go back after it.
                self.eyes[camera] = Eye(*old)
            return
        had = max(self.site_days(old[0], now_us)[1], old[1])
        has = max(self.site_days(site, now_us)[1], days)
        if has < had:
            self.eyes[camera] = Eye(*old, (site, days, now_us + NOTICE_US))
            self.ask(camera, had, now_us)
            return
        self.eyes[camera] = Eye(site, days)
        if has > had:
            self.ask(camera, has, now_us)

    def follow(self, now_us: int) -> None:
        """A run saw what the configuration says: more days of a class reach the footage that exists, fewer end now."""
        for name, days in self.class_days.items():
            of_class = [site for site, demand in self.sites.items() if name in {demand.at(at)[0] for at in (now_us, LATEST_US)}]
            for camera in sorted({camera for site in of_class for camera in self.of_site(site, now_us)}):
                if days > self.followed[name]:
                    self.ask(camera, days, now_us)
                elif days < self.followed[name]:
                    self.ask(camera, self.followed[name], now_us, 0)
        self.followed = dict(self.class_days)

    def held(self, item: Footage, now_us: int) -> bool:
        return any(order.keeps(item, now_us) for order in self.holds.values())

    def pinned(self, item: Footage, mono_us: int) -> bool:
        return any(
            camera == item.camera and span.overlaps(item.interval) and mono_us < until_us
            for camera, span, until_us in self.pins
        )

    def must_stay(self, item: Footage, now_us: int) -> str:
        """Why, empty when it may go."""
        if item.until_us is None:
            return "its minimum is not known"
        if now_us < item.until_us:
            return f"it is inside its minimum, by {item.until_us - now_us} µs"
        return "it is held" if self.held(item, now_us) else ""
