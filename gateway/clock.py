"""What time it is: the one place that asks, so that a rehearsal of another day can answer."""

from datetime import UTC, date, datetime


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


def today() -> date:
    """The date by which what was due to end has ended."""
    return now().date()
