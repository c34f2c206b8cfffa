"""What `fraiseql-subs top` shows of any metrics, also of labels that it does not know yet."""

from __future__ import annotations

import pytest

from fraiseql_subs.commands._top_metrics import Buckets, MetricsReading, MetricsUnreadable
from fraiseql_subs.commands._top_sections import Interval, as_json, sections

TEXT = """
# HELP fraiseql_subs_connections Connections.
# TYPE fraiseql_subs_connections gauge
fraiseql_subs_connections{{protocol="sse"}} 2
fraiseql_subs_connections{{protocol="graphql-ws"}} 5
# TYPE fraiseql_subs_results_sent_total counter
fraiseql_subs_results_sent_total{{field="orders",protocol="sse"}} {orders}
fraiseql_subs_results_sent_total{{field="a\\"\\u001b",protocol="sse"}} 7
fraiseql_subs_results_sent_total{{field="orders",protocol="graphql-ws"}} 10
# TYPE fraiseql_subs_events_accepted_total counter
fraiseql_subs_events_accepted_total 1234567
# TYPE fraiseql_subs_events_published_total counter
fraiseql_subs_events_published_total 1234560
# TYPE fraiseql_subs_denied_total counter
fraiseql_subs_denied_total{{reason="rate"}} {denied}
# TYPE fraiseql_subs_delivery_seconds histogram
fraiseql_subs_delivery_seconds_bucket{{protocol="sse",le="0.001"}} {fast}
fraiseql_subs_delivery_seconds_bucket{{protocol="sse",le="0.1"}} {all}
fraiseql_subs_delivery_seconds_bucket{{protocol="sse",le="+Inf"}} {all}
fraiseql_subs_delivery_seconds_sum{{protocol="sse"}} 1
fraiseql_subs_delivery_seconds_count{{protocol="sse"}} {all}
# TYPE fraiseql_subs_odd gauge
fraiseql_subs_odd NaN
# TYPE fraiseql_subs_bus_is_live gauge
fraiseql_subs_bus_is_live 1
# TYPE other_program_total counter
other_program_total 3
"""


def reading(at: float, **values: float) -> MetricsReading:
    defaults = {"orders": 0, "denied": 0, "fast": 0, "all": 0}
    return MetricsReading.parse(TEXT.format(**{**defaults, **values}), at)


def tables(interval: Interval) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the cells of each row, by the title of the table and the name of the row."""
    found = {}
    for section in sections(interval):
        assert all(len(row) == len(section.columns) for row in section.rows)
        found[section.title] = {row[0]: row[1:] for row in section.rows}
    return found


def test_rates_are_those_of_the_time_between():
    shown = tables(Interval(reading(10, orders=100), reading(14, orders=300)))
    assert shown["Traffic"]["connections"] == ("7", "")
    assert shown["Traffic"]["results"] == ("317", "50.0")
    assert shown["Traffic"]["events"] == ("1,234,560", "0.0")
    assert shown["Delays"]["events that wait for the bus"] == ("7", "", "")
    assert shown["Engine"]["engine"] == ("live",)


def test_one_reading_has_no_rates():
    assert tables(Interval(None, reading(10, orders=100)))["Traffic"]["results"] == ("117", "")


def test_a_server_that_was_restarted_counts_from_zero():
    shown = Interval(reading(10, orders=1000, all=9), reading(12, orders=20, all=4, fast=4))
    # The others have not fallen, so the sum has: 37 since the restart.
    assert tables(shown)["Traffic"]["results"] == ("37", "18.5")
    assert shown.rate_by("results_sent", "protocol", "graphql-ws") == 0.0
    assert shown.buckets("delivery_seconds", None)[""].count == 4


def test_there_is_a_table_for_each_label():
    shown = Interval(reading(10), reading(12, orders=4, all=100, fast=50))
    by_field, by_protocol = tables(shown)["By field"], tables(shown)["By protocol"]
    assert by_field["orders"] == ("2.0",)
    assert by_field['a"\\u001b'] == ("0.0",)
    columns = next(each.columns for each in sections(shown) if each.title == "By protocol")
    assert columns == ("protocol", "connections", "results sent/s", "delivery p99")
    assert by_protocol["sse"] == ("2", "2.0", "98 ms")
    assert by_protocol["graphql-ws"] == ("5", "0.0", "")
    assert tables(shown)["Delays"]["delivery"] == ("", "1 ms", "98 ms")


def test_what_should_not_happen_is_told_with_its_labels():
    shown = Interval(reading(10, denied=1), reading(12, denied=4))
    assert shown.rises() == {"denied (reason=rate)": 3}
    assert tables(shown)["Refused, dropped and failed"] == {"denied": ("4", "1.5")}
    assert Interval(None, reading(10, denied=1)).rises() == {"denied (reason=rate)": 1}
    assert Interval(reading(10, denied=1), reading(12, denied=1)).rises() == {}
    assert tables(Interval(None, reading(10)))["Refused, dropped and failed"] == {}


def test_programs_are_told_numbers():
    told = as_json(Interval(reading(10), reading(12, orders=4, denied=1, all=10, fast=10)))
    assert (told["seconds"], told["engine"]) == (2, "live")
    assert told["totals"]["results_sent"] == 21 and told["rates"]["results_sent"] == 2
    assert told["by"]["field"]["results_sent"] == {"orders": 14, 'a"\\u001b': 7}
    assert told["by"]["protocol"]["connections"] == {"sse": 2, "graphql-ws": 5}
    assert told["delays"]["delivery_seconds"] == {"p50": 0.0005, "p99": pytest.approx(0.00099)}
    assert told["warnings"] == {"denied (reason=rate)": 1}


def test_quantiles_past_the_last_bound_are_that_bound():
    assert Buckets({0.1: 1, float("inf"): 10}).quantile(0.99) == 0.1
    assert Buckets({0.1: 0, float("inf"): 0}).quantile(0.5) is None
    assert Buckets().quantile(0.5) is None


@pytest.mark.parametrize(
    "text", ["", "<html></html>", '{"a": 1}', "hello world", "other_program_total 3\n"]
)
def test_other_texts_are_refused(text):
    with pytest.raises(MetricsUnreadable, match="http://host:8000/metrics"):
        MetricsReading.parse(text, 1.0)
