"""When a connection is due: on ordinary days, on days of 23 and 25 hours, on 29 February, and inside windows."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.schedules import Schedule, Window, duration, read

CHICAGO = ZoneInfo("America/Chicago")
LOST_HOUR = date(2027, 3, 14)  # at 2:00 it is 3:00
HOUR_TWICE = date(2026, 11, 1)  # at 2:00 it is 1:00 again


def dues(schedule: Schedule, after: datetime, count: int) -> list[datetime]:
    found = [schedule.next_due(after, 1)]
    while len(found) < count:
        found.append(schedule.next_due(found[-1], 1))
    return found


def local(schedule: Schedule, after: datetime, count: int) -> list[str]:
    return [f"{due.astimezone(ZoneInfo(schedule.zone)):%m-%d %H:%M %Z}" for due in dues(schedule, after, count)]


def in_chicago(day: date, hour: int = 0, minute: int = 0, fold: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), CHICAGO).replace(fold=fold).astimezone(UTC)


def test_it_is_due_at_its_time_in_its_own_zone() -> None:
    midsummer = datetime(2026, 7, 1, tzinfo=UTC)
    assert dues(read("0 2 * * *", "America/Chicago"), midsummer, 1) == [datetime(2026, 7, 1, 7, tzinfo=UTC)]
    assert dues(read("0 2 * * *", "America/Phoenix"), midsummer, 1) == [datetime(2026, 7, 1, 9, tzinfo=UTC)]
    assert dues(read("30 2 * * *", "Asia/Kathmandu"), midsummer, 1) == [datetime(2026, 7, 1, 20, 45, tzinfo=UTC)]


def test_on_a_day_of_23_hours_a_time_that_does_not_exist_is_due_when_the_clock_has_jumped() -> None:
    assert local(read("30 2 * * *", "America/Chicago"), in_chicago(LOST_HOUR - timedelta(days=1)), 3) == [
        "03-13 02:30 CST",
        "03-14 03:00 CDT",
        "03-15 02:30 CDT",
    ]


def test_on_a_day_of_25_hours_a_time_that_exists_twice_is_due_once() -> None:
    nightly = read("30 1 * * *", "America/Chicago")
    assert local(nightly, in_chicago(HOUR_TWICE), 2) == ["11-01 01:30 CDT", "11-02 01:30 CST"]
    assert local(nightly, in_chicago(HOUR_TWICE, 1, 15, fold=1), 1) == ["11-02 01:30 CST"]


def test_steps_follow_the_hours_that_really_pass() -> None:
    half_hourly = read("*/30 * * * *", "America/Chicago")
    for day, hours in ((LOST_HOUR, 23), (HOUR_TWICE, 25), (date(2026, 11, 2), 24)):
        begins, ends = in_chicago(day), in_chicago(day + timedelta(days=1))
        of_the_day = dues(half_hourly, begins - timedelta(seconds=1), 2 * hours + 1)
        assert of_the_day[-1] == ends
        assert {later - earlier for earlier, later in pairwise(of_the_day)} == {timedelta(minutes=30)}


def test_leap_days() -> None:
    leap = datetime(2028, 2, 27, 12, tzinfo=UTC)
    assert local(read("0 2 * * *", "UTC"), leap, 3) == ["02-28 02:00 UTC", "02-29 02:00 UTC", "03-01 02:00 UTC"]
    assert [due.year for due in dues(read("0 2 29 2 *", "UTC"), datetime(2026, 1, 1, tzinfo=UTC), 3)] == [
        2028,
        2032,
        2036,
    ]
    assert local(read("0 2 L * *", "UTC"), datetime(2028, 2, 1, tzinfo=UTC), 2) == [
        "02-29 02:00 UTC",
        "03-31 02:00 UTC",
    ]


ZONES = ["America/Chicago", "America/Santiago", "Asia/Beirut", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"]


@given(st.sampled_from(ZONES), st.integers(0, 23), st.integers(0, 59), st.dates(date(2024, 1, 1), date(2028, 1, 1)))
def test_every_date_anywhere_has_its_one_pull(zone: str, hour: int, minute: int, begin: date) -> None:
    """Also where clocks change at midnight, by half an hour, or four times a year."""
    nightly = read(f"{minute} {hour} * * *", zone)
    found = dues(nightly, datetime.combine(begin, time(), ZoneInfo(zone)) - timedelta(seconds=1), 220)
    assert [due.astimezone(ZoneInfo(zone)).date() for due in found] == [begin + timedelta(days=n) for n in range(220)]


@given(
    st.sampled_from(["*/7 * * * *", "30 1 * * *", "0 */5 * * *", "15 0,1,2,3 * * 6,0"]),
    st.sampled_from(ZONES),
    st.datetimes(datetime(2026, 10, 31), datetime(2026, 11, 3))
    | st.datetimes(datetime(2027, 3, 13), datetime(2027, 3, 16)),
)
def test_what_is_due_next_is_never_over(cron: str, zone: str, moment: datetime) -> None:
    after = moment.replace(tzinfo=UTC)
    for jitter in ("0s", "10m"):
        assert read(cron, zone, jitter).next_due(after, 1) > after


# --- jitter -----------------------------------------------------------------------------------------------


def test_jitter_spreads_connections_and_nights_and_is_the_same_for_every_worker() -> None:
    begin = datetime(2026, 9, 1, tzinfo=UTC)
    nightly = read("0 2 * * *", "UTC", "10m")
    moments = [nightly.next_due(begin, connection) for connection in range(500)]
    late = [(moment - begin - timedelta(hours=2)).total_seconds() for moment in moments]
    assert min(late) >= 0 and max(late) <= 600 and len(set(late)) > 250
    assert min(late) < 30 and max(late) > 570
    assert moments == [read("0 2 * * *", "UTC", "10m").next_due(begin, connection) for connection in range(500)]
    assert len({due.time() for due in dues(nightly, begin, 20)}) > 15


def test_jitter_never_makes_it_due_twice_or_leave_its_window() -> None:
    nightly = read("55 5 * * *", "UTC", "10m", "20:00-06:00")
    found = dues(nightly, datetime(2026, 9, 1, tzinfo=UTC), 60)
    assert {due.hour for due in found} == {5}
    assert len({due.date() for due in found}) == 60


# --- windows ----------------------------------------------------------------------------------------------


def test_a_window_may_cross_midnight_and_leaves_out_what_lies_outside() -> None:
    hourly = read("0 * * * *", "UTC", window="22:00-02:00")
    assert local(hourly, datetime(2026, 9, 1, 12, tzinfo=UTC), 5) == [
        "09-01 22:00 UTC",
        "09-01 23:00 UTC",
        "09-02 00:00 UTC",
        "09-02 01:00 UTC",
        "09-02 22:00 UTC",
    ]
    daytime = Window(time(8), time(16))
    assert [daytime.holds(time(hour)) for hour in (7, 8, 15, 16)] == [False, True, True, False]


def test_the_next_opening_of_a_window() -> None:
    nights = read("0 22 * * *", "America/Chicago", window="20:00-06:00")
    day = date(2026, 9, 1)
    assert nights.opening(in_chicago(day, 12)) == in_chicago(day, 20)
    assert nights.opening(in_chicago(day, 6)) == in_chicago(day, 20)
    assert nights.opening(in_chicago(day, 23, 30)) == in_chicago(day, 23, 30)
    early = read("0 2 * * *", "America/Chicago", window="01:30-05:00")
    assert early.opening(in_chicago(HOUR_TWICE, 1, 0, fold=1)) == in_chicago(HOUR_TWICE, 1, 30, fold=1)
    lost = read("0 4 * * *", "America/Chicago", window="02:30-05:00")
    assert lost.opening(in_chicago(LOST_HOUR)) == in_chicago(LOST_HOUR, 3)


# --- how long silence is ordinary ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cron", "hours"),
    [
        ("0 2 * * *", 26),
        ("*/5 * * * *", 26),
        ("0 2 * * 1-5", 3 * 24 + 2),
        ("0 2 * * 0", 7 * 24 + 2),
        ("0 2 1 * *", 31 * 24 + 2),
        ("0 2 * 1-6,8-12 *", 32 * 24 + 2),
        ("0 2 29 2 *", (4 * 365 + 1) * 24 + 2),
    ],
)
def test_silence_is_ordinary_for_as_long_as_nothing_is_due(cron: str, hours: int) -> None:
    assert read(cron, "UTC").limit(date(2026, 8, 15)) == timedelta(hours=hours)


# --- what cannot be understood ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "code"),
    [
        (("0 2 * *", "UTC"), "cron-invalid"),
        (("0 0 2 * * *", "UTC"), "cron-invalid"),  # seconds are not cron's
        (("61 2 * * *", "UTC"), "cron-invalid"),
        (("0 2 30 2 *", "UTC"), "cron-invalid"),
        (("@daily", "UTC"), "cron-invalid"),
        (("0 2 * * *", "Central"), "zone-unknown"),
        (("0 2 * * *", "../../etc/passwd"), "zone-unknown"),
        (("0 2 * * *", "UTC", "ten minutes"), "duration-invalid"),
        (("0 2 * * *", "UTC", "24h"), "duration-invalid"),
        (("0 2 * * *", "UTC", "0s", "20:00"), "window-invalid"),
        (("0 2 * * *", "UTC", "0s", "20:00-20:00"), "window-invalid"),
        (("0 2 * * *", "UTC", "0s", "20:00-25:00"), "window-invalid"),
        (("0 12 * * *", "UTC", "0s", "20:00-06:00"), "schedule-outside-window"),
    ],
)
def test_what_cannot_be_understood_is_said(given_: tuple[str, ...], code: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(*given_)
    assert refused.value.code == code and refused.value.fix


def test_durations() -> None:
    assert [duration(d).total_seconds() for d in ("90s", "10m", "26h", "2d")] == [90, 600, 93600, 172800]
