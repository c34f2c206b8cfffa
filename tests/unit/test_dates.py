"""Dates and times that clients send: the same on every Python."""

from __future__ import annotations

import sys
from datetime import date, datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_subs import GraphQLError, subscription
from fraiseql_subs.schema.iso import parse_date, parse_date_time, parse_time

UTC = timezone.utc
NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)


def argument(annotation, value):
    """The value that the resolver receives for an argument of a client."""

    def changed(event, it) -> int:
        return it

    changed.__annotations__["it"] = annotation
    bound = subscription(channel="c")(changed).__subscription__.bind({"it": value}, None)
    return bound.resolve(None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-31T12:00:00Z", NOON),
        ("2024-01-31T12:00:00z", NOON),
        ("2024-01-31t12:00:00Z", NOON),
        ("2024-01-31 12:00:00+00:00", NOON),
        ("2024-01-31T12:00Z", NOON),
        ("2024-01-31T12Z", NOON),
        ("20240131T120000Z", NOON),
        ("20240131T1200Z", NOON),
        ("2024-W05-3T12:00:00Z", NOON),
        ("2024W053T12Z", NOON),
        ("2024-01-31T14:00:00+0200", NOON),
        ("2024-01-31T14:00:00+02", NOON),
        ("2024-01-31T12:00:00.5Z", NOON + timedelta(milliseconds=500)),
        ("2024-01-31T12:00:00,5Z", NOON + timedelta(milliseconds=500)),
        ("2024-01-31T12:00:00.123Z", NOON + timedelta(milliseconds=123)),
        ("2024-01-31T12:00:00.1234567Z", NOON + timedelta(microseconds=123456)),
        ("2024-01-31T12:00:00", datetime(2024, 1, 31, 12)),
        ("2024-01-31", datetime(2024, 1, 31)),
        ("20240131", datetime(2024, 1, 31)),
    ],
)
def test_moments_in_every_form_of_iso_8601(text, expected):
    assert argument(datetime, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12:00:00", time(12)),
        ("12:00", time(12)),
        ("12", time(12)),
        ("120000", time(12)),
        ("T12:00", time(12)),
        ("12:00:00Z", time(12, tzinfo=UTC)),
        ("12:00:00.25", time(12, 0, 0, 250000)),
        ("12:00+01:00", time(12, tzinfo=timezone(timedelta(hours=1)))),
    ],
)
def test_times_in_every_form_of_iso_8601(text, expected):
    assert argument(time, text) == expected


@pytest.mark.parametrize("text", ["2024-01-31", "20240131", "2024-W05-3", "2024W053"])
def test_days_in_every_form_of_iso_8601(text):
    assert argument(date, text) == date(2024, 1, 31)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (datetime, "yesterday"),
        (datetime, "2024-01-31T25:00:00Z"),
        (datetime, "2024-01-31T12:00:"),
        (datetime, "2024-01-31T12:00:00 +01:00"),
        (datetime, "2024-13-01T12:00:00Z"),
        (datetime, "2024-0131"),
        (datetime, ""),
        (date, "2024-1-31"),
        (date, "2024-01-31T12:00:00"),
        (date, "31.01.2024"),
        (time, "12:60"),
        (time, "1:00"),
        (time, ""),
    ],
)
def test_what_is_none_is_refused_in_the_same_words(annotation, text):
    with pytest.raises(GraphQLError, match="argument it: "):
        argument(annotation, text)


@given(st.datetimes(timezones=st.none() | st.just(UTC)), st.dates(), st.times())
def test_what_python_writes_is_read(moment, day, clock):
    assert parse_date_time(moment.isoformat()) == moment
    assert parse_date(day.isoformat()) == day
    assert parse_time(clock.isoformat()) == clock


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 reads its own form only")
@given(
    st.sampled_from(["2024-01-31", "20240131", "2024-W05-3", "2024W05", "2024-02-30"]),
    st.sampled_from(["12", "1230", "12:30", "123015", "12:30:15", "24:30"]),
    st.sampled_from(["", ".5", ",25", ".1234567"]),
    st.sampled_from(["", "Z", "+01", "+0130", "-01:30", "+01:00:30"]),
)
def test_what_later_pythons_read_is_read_alike(day, clock, fraction, offset):
    if fraction and len(clock) < 6:
        fraction = ""
    text = f"{day}T{clock}{fraction}{offset}"
    try:
        expected = datetime.fromisoformat(text)
    except ValueError:
        with pytest.raises(ValueError):
            parse_date_time(text)
    else:
        assert parse_date_time(text) == expected
