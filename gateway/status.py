"""What the state of a connection means: how long it has been silent, whether that is too long, whom it waits for."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, kw_only=True)
class ConnectionState:
    """One connection at the moment `at` (the database's clock). Names, ids, times and codes: nothing of a person.

    A good sync is a pull that was published, also where its removals wait (`removals_held`); of a connection in
    shadow, which publishes nothing, one that was compared. `failing_since` is set while the newest pull failed: the
    first failure since the last good sync. `failures` counts them.
    """

    at: datetime
    district: int
    district_name: str
    connection: int
    name: str
    connector: str
    created_at: datetime
    limit: timedelta
    watched: bool
    """Not where only plans are sent to it, nothing was ever pulled from it, and no schedule says so; nor while its
    district is suspended: then it may be silent."""
    shadow: bool
    paused_because: str | None
    quiet_until: datetime | None
    """The end of the last blackout that has begun: silence until then was ordered."""
    good_run: int | None
    good_at: datetime | None
    removals_held: bool
    held_run: int | None
    under_way: int | None
    failing_since: datetime | None
    failures: int
    error_code: str | None
    scheduled: bool
    next_due_at: datetime | None
    last_due_at: datetime | None
    last_skipped: str | None
    overwritten: int = 0
    """How many objects that were delivered are not there any more as they were, when last looked at."""

    @property
    def age(self) -> timedelta | None:
        """Since the last good sync; None if there was none."""
        return None if self.good_at is None else self.at - self.good_at

    @property
    def silence(self) -> timedelta:
        """Since the last good sync, or since it was connected; what a blackout covers does not count."""
        heard = max(moment for moment in (self.created_at, self.good_at, self.quiet_until) if moment is not None)
        return max(self.at - heard, timedelta(0))

    def is_late(self, max_age: timedelta | None = None) -> bool:
        """Silent for longer than its own limit, or than `max_age` where that is given."""
        return self.watched and self.silence > (self.limit if max_age is None else max_age)

    @property
    def in_blackout(self) -> bool:
        return self.quiet_until is not None and self.quiet_until > self.at

    @property
    def waits_for(self) -> tuple[str, ...]:
        """What a person has to decide or mend, as codes: `paused`, `held`, `removals-held`, `overwritten`."""
        waits = {
            "paused": self.paused_because,
            "held": self.held_run,
            "removals-held": self.removals_held,
            "overwritten": self.overwritten,
        }
        return tuple(code for code, so in waits.items() if so)


def late(states: Iterable[ConnectionState], max_age: timedelta | None = None) -> list[ConnectionState]:
    """Those that have been silent too long, the longest silent first."""
    return sorted((s for s in states if s.is_late(max_age)), key=lambda s: s.silence, reverse=True)
