"""From media time to UTC: timestamp unwrapping and the clock of a run. Sans-IO: ticks and arrival times in, UTC out.

Three clocks stay apart (ARCHITECTURE.md, *Time*): arrival is the host's, media time is the camera's sampling clock (RTP),
and the camera's wall clock (RTCP sender reports) is measured against ours and reported, never used to place footage.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

MAX_SLEW_PPM = 500.0
"""How fast a run's clock may be led toward the host's."""

WINDOW_US = 60_000_000
"""The least delay is looked for over this long, in slices of a sixth of it."""

STEP_US = 500_000
"""A change of the host's clock by more than this is a step."""

_WRAP = 1 << 32
_SLICE_US = WINDOW_US // 6


@dataclass(slots=True)
class Unwrapper:
    """RTP timestamps (32 bits, RFC 3550 §5.1) to 64-bit ticks: the nearest to the previous one.

    A jump of less than half the circle is kept as it is, forward or back; whether it is believed is the recorder's decision.
    """

    last: int | None = None

    def unwrap(self, timestamp: int) -> int:
        """Ticks; the first value starts one circle up, so that small steps back stay positive."""
        if self.last is None:
            self.last = _WRAP + timestamp
        else:
            step = (timestamp - self.last) & 0xFFFFFFFF
            self.last += step - _WRAP if step >= 0x80000000 else step
        return self.last


@dataclass(slots=True)
class DelayFilter:
    """The least of (arrival − media time) over the last minute: the frame that waited least on its way.

    Network and sweep only ever add delay, so the minimum is the best estimate of where media time stands on the host's clock
    (the idea behind NTP's clock filter, RFC 5905 §10).
    """

    _slices: deque[tuple[int, int]] = field(default_factory=deque)
    least_us: int | None = None
    """UTC minus media time of the least-delayed frame; None before the first."""

    def observe(self, media_us: int, arrival_us: int) -> None:
        """One frame: its media time and when the host had it, both µs."""
        delay = arrival_us - media_us
        slices = self._slices
        if slices and arrival_us - slices[-1][0] < _SLICE_US:
            if delay >= slices[-1][1]:
                return
            slices[-1] = (slices[-1][0], delay)
        else:
            slices.append((arrival_us, delay))
            while arrival_us - slices[0][0] > WINDOW_US:
                slices.popleft()
        self._find_least()

    def shift(self, step_us: int) -> None:
        """The clock that arrivals are told by jumped by `step_us`: what was measured before is told by the new time."""
        self._slices = deque((at + step_us, delay + step_us) for at, delay in self._slices)
        self._find_least()

    def _find_least(self) -> None:
        self.least_us = min((delay for _, delay in self._slices), default=None)


@dataclass(slots=True)
class RunClock:
    """UTC of a run's media time: starts at the least-delayed frame, then follows the host by at most 500 ppm.

    Piecewise linear: `begin_segment` fixes the rate up to the next segment, so that a segment's own box holds all there is
    to know: UTC = start + (media − start media) × (1 + rate_ppm / 1e6).
    """

    _base_media_us: int
    _base_utc_us: int
    rate_ppm: float = 0.0

    def utc(self, media_us: int) -> int:
        elapsed = media_us - self._base_media_us
        return self._base_utc_us + elapsed + round(elapsed * self.rate_ppm / 1e6)

    def media_us(self, utc_us: int) -> int:
        """The media time of a UTC instant; the inverse of `utc` to the microsecond or two."""
        elapsed = utc_us - self._base_utc_us
        return self._base_media_us + round(elapsed / (1 + self.rate_ppm / 1e6))

    def error_us(self, media_us: int, least_delay_us: int) -> int:
        """Where the host's clock puts this instant minus where the run's does."""
        return media_us + least_delay_us - self.utc(media_us)

    def begin_segment(
        self, media_us: int, least_delay_us: int | None, segment_us: int, not_before_us: int = 0
    ) -> tuple[int, float]:
        """A segment starts here: its start in UTC µs and its rate, led so that the error is gone after `segment_us`.

        Where the clock puts it before `not_before_us`, the end of what was recorded before, the clock is set to that.
        """
        start_us = max(self.utc(media_us), not_before_us)
        error = 0 if least_delay_us is None else media_us + least_delay_us - start_us
        self._base_media_us, self._base_utc_us = media_us, start_us
        wanted = error * 1e6 / segment_us
        self.rate_ppm = max(-MAX_SLEW_PPM, min(MAX_SLEW_PPM, round(wanted, 1)))
        return start_us, self.rate_ppm


class StepDetector:
    """Sees the host's wall clock step: its distance from the monotonic clock changes at once by more than STEP_US."""

    def __init__(self, now_us: int, mono_us: int) -> None:
        self._distance = now_us - mono_us

    def check(self, now_us: int, mono_us: int) -> int:
        """µs that the wall clock stepped since the last call, 0 for none; slow drift (NTP slewing) is followed silently."""
        distance = now_us - mono_us
        step = distance - self._distance
        self._distance = distance
        return step if abs(step) > STEP_US else 0
