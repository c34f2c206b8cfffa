"""`JSONFormatter` writes any record as one line of JSON."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import math
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fraiseql_subs._records import Records
from fraiseql_subs.logs import JSONFormatter

STANDARD = ("connection", "operation", "field", "event", "user", "tenant", "trace")


@pytest.fixture
def logger() -> Any:
    logger = logging.getLogger("test_json_formatter")
    logger.propagate = False
    yield logger
    logger.handlers.clear()


def written_by(logger: logging.Logger, formatter: logging.Formatter | None = None) -> Any:
    """Let the logger write; returns a function that reads what it wrote."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter or JSONFormatter())
    logger.addHandler(handler)

    def read() -> list[dict[str, Any]]:
        text = stream.getvalue()
        assert text.endswith("\n")
        # `NaN` is no JSON.
        lines = text.removesuffix("\n").split("\n")
        return [json.loads(line, parse_constant=pytest.fail) for line in lines]

    return read


def test_a_record_of_the_package(logger):
    read = written_by(logger)
    fields = {"connection": "c", "user": "ada", "reason": "a\nb"}
    Records().write(logger, logging.WARNING, "it is %s", "so", event="a.b", fields=fields)
    (told,) = read()
    assert told.pop("time").endswith("Z")
    assert told == {
        "level": "WARNING",
        "logger": "test_json_formatter",
        "message": "it is so",
        "event_name": "a.b",
        **dict.fromkeys(STANDARD),
        "connection": "c",
        "user": "ada",
        "fields": {"reason": "a\nb"},
    }


def test_a_record_of_another_logger(logger):
    read = written_by(logger)
    logger.warning("a %s\nb", "é\u2028", extra={"order": 5, "event": "own"})
    (told,) = read()
    assert told["message"] == "a é\u2028\nb"
    assert (told["event_name"], told["event"], told["user"]) == (None, "own", None)
    assert told["extra"] == {"order": 5}
    assert "fields" not in told


def test_exceptions_and_stacks(logger):
    read = written_by(logger)
    try:
        raise ValueError("broken\nhere")
    except ValueError as exception:
        logger.exception("a")
        Records().write(logger, logging.ERROR, "b", event="a.b", exc_info=exception)
    logger.warning("c", stack_info=True)
    logger.error("d", exc_info=None)
    first, second, third, fourth = read()
    for told in (first, second):
        assert told["exception"].startswith("Traceback")
        assert told["exception"].endswith("ValueError: broken\nhere")
    assert "test_exceptions_and_stacks" in third["stack"]
    assert "exception" not in fourth


class Raises:
    def __str__(self) -> str:
        raise RuntimeError


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


VALUES = {
    "not a number": math.nan,
    "keys that are tuples": {(1, 2): 3},
    "a circle": CIRCLE,
    "its text raises": Raises(),
    "bytes": {1: b"x"},
}


@pytest.mark.parametrize("kind", VALUES)
def test_values_without_json_are_written_as_text(kind, logger):
    read = written_by(logger)
    logger.warning("a", extra={"value": VALUES[kind]})
    (told,) = read()
    assert told["message"] == "a" and told["extra"]


def test_static_members_are_in_each_object(logger):
    read = written_by(logger, JSONFormatter(static={"service": "orders"}))
    logger.warning("a")
    assert read()[0]["service"] == "orders"


def test_it_is_configured_by_a_dict(capsys):
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "json": {
                    "()": "fraiseql_subs.logs.JSONFormatter",
                    "static": {"service": "orders"},
                }
            },
            "handlers": {
                "out": {
                    "class": "logging.StreamHandler",
                    "formatter": "json",
                    "stream": "ext://sys.stdout",
                }
            },
            "loggers": {"test_by_dict": {"handlers": ["out"], "propagate": False}},
        }
    )
    logging.getLogger("test_by_dict").warning("a")
    logging.getLogger("test_by_dict").handlers.clear()
    told = json.loads(capsys.readouterr().out)
    assert (told["message"], told["service"]) == ("a", "orders")


def test_a_record_has_the_trace_that_is_current(logger, monkeypatch):
    context = SimpleNamespace(is_valid=True, trace_id=0xAB)
    span = SimpleNamespace(get_span_context=lambda: context)
    api = ModuleType("opentelemetry.trace")
    api.get_current_span = lambda: span  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", api)
    read = written_by(logger)
    for _ in range(2):
        Records().write(logger, logging.WARNING, "a", event="a.b")
        logger.warning("of an application")
        context.is_valid = False
    assert [told["trace"] for told in read()] == [f"{0xAB:032x}"] * 2 + [None] * 2


@pytest.mark.parametrize("fields", [["a", "b"], {"user": "ada", "order": 5}, "text", None])
def test_an_application_may_call_its_own_value_fields(logger, fields):
    read = written_by(logger)
    logger.warning("a", extra={"fields": fields})
    (told,) = read()
    assert told["extra"] == {"fields": fields} and told["user"] is None


@pytest.mark.parametrize("arguments", [("too", "many"), (Raises(),)])
def test_a_message_that_cannot_be_formatted_is_written_without_its_arguments(logger, arguments):
    record = logger.makeRecord("a", logging.WARNING, "a.py", 1, "order %s", arguments, None)
    assert json.loads(JSONFormatter().format(record))["message"] == "order %s"
