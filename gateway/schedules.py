"""When a connection is due: cron in a zone of its own, spread by jitter, inside a window of the day."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from gateway.errors import ConfigError

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
SLOW_NIGHT = timedelta(hours=2)
"""By how much a good sync may come later than the one before it."""


@dataclass(frozen=True)
class Window:
    """The time of day in which a connection may be pulled by itself; `ends` is outside, and may be next morning."""

    begins: time
    ends: time

    def holds(self, local: time) -> bool:
        if self.begins < self.ends:
            return self.begins <= local < self.ends
        return local >= self.begins or local < self.ends

    def __str__(self) -> str:
        return f"{self.begins:%H:%M}-{self.ends:%H:%M}"


@dataclass(frozen=True)
class Schedule:
    """`cron` has five fields and is read as Debian's cron reads it, also on the days when clocks change: a time
    that does not exist is due when the clock has jumped, one that exists twice is due once, and steps (`*/30`)
    follow the hours that really pass. Times outside the window are left out.
    """

    cron: str
    zone: str
    jitter: timedelta = timedelta(0)
    window: Window | None = None

    def next_due(self, after: datetime, connection: int) -> datetime:
        """The first due moment whose cron time lies after `after`, in UTC. The jitter depends on the connection
        and the cron time alone: whoever computes it gets the same moment."""
        moment = next(self._moments(after))
        jittered = moment + _share(self.jitter, connection, moment)
        return jittered if self.is_open(jittered) else moment

    def is_open(self, moment: datetime) -> bool:
        """Whether the window, if there is one, is open then."""
        return self.window is None or self.window.holds(moment.astimezone(ZoneInfo(self.zone)).time())

    def opening(self, after: datetime) -> datetime:
        """The first minute from `after` on at which the window is open."""
        moment = after.astimezone(UTC).replace(second=0, microsecond=0)
        # Minute by minute: the only way that is right on every day on which clocks change.
        while moment < after or not self.is_open(moment):
            moment += MINUTE
        return moment

    def limit(self, today: date) -> timedelta:
        """How long silence is ordinary: the most days between two due days, and two hours; 26 hours where it is due
        every day."""
        days = CronSim(" ".join(("0", "0", *self.cron.split()[2:])), datetime.combine(today, time()))
        earlier = next(days)
        end, most = earlier + timedelta(days=366), DAY
        while earlier < end:
            later = next(days)
            earlier, most = later, max(most, later - earlier)
        return most + SLOW_NIGHT

    def _moments(self, after: datetime) -> Iterator[datetime]:
        for local in CronSim(self.cron, after.astimezone(ZoneInfo(self.zone))):
            # In the hour that comes twice CronSim names the first one, which may be over.
            moment = local.astimezone(UTC)
            if moment > after and self.is_open(moment):
                yield moment


def read(cron: str, zone: str, jitter: str = "0s", window: str = "") -> Schedule:
    """A schedule as a person writes it: `0 2 * * *`, `America/Chicago`, `10m`, `20:00-06:00`. ConfigError where it
    cannot be understood, or would never be due."""
    if zone not in available_timezones():
        raise ConfigError(
            "zone-unknown", f"There is no time zone {zone!r}.", "Give its IANA name, as in America/Chicago."
        )
    schedule = Schedule(" ".join(cron.split()), zone, duration(jitter), _window(window) if window else None)
    if schedule.jitter >= DAY:
        raise ConfigError("duration-invalid", f"A jitter of {jitter} is too long.", "Give less than a day.")
    try:
        parts = CronSim(cron if len(cron.split()) == 5 else "", datetime(2000, 1, 1))
        next(parts)
    except (CronSimError, StopIteration):
        raise ConfigError(
            "cron-invalid",
            f"{cron!r} is no cron expression, or names a day that never comes.",
            "Give minute, hour, day of the month, month and day of the week, as in '0 2 * * *'.",
        ) from None
    if not any(
        schedule.window is None or schedule.window.holds(time(h, m)) for h in parts.hours for m in parts.minutes
    ):
        raise ConfigError(
            "schedule-outside-window",
            f"{cron!r} is never due between {window}.",
            "Change one of them.",
        )
    return schedule


def duration(written: str) -> timedelta:
    """`90s`, `10m`, `26h` or `2d`."""
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", written)
    if found is None:
        raise ConfigError("duration-invalid", f"{written!r} is no duration.", "Write it like 90s, 10m, 26h or 2d.")
    return int(found[1]) * {"s": timedelta(seconds=1), "m": MINUTE, "h": timedelta(hours=1), "d": DAY}[found[2]]


def _window(written: str) -> Window:
    found = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", written, re.ASCII)
    if found is None or found.group(1, 2) == found.group(3, 4):
        raise ConfigError("window-invalid", f"{written!r} is no span of the day.", "Write it like 20:00-06:00.")
    return Window(time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4])))


def _share(jitter: timedelta, connection: int, moment: datetime) -> timedelta:
    """Between none and all of it, in seconds, spread evenly over connections and due times."""
    word = hashlib.sha256(f"{connection} {moment.isoformat()}".encode()).digest()
    return timedelta(seconds=int.from_bytes(word[:8]) % (int(jitter.total_seconds()) + 1))
