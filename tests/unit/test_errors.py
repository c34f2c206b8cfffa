import pickle

import pytest

from fraiseql_subs import errors
from fraiseql_subs.errors import BusError, FraiseQLSubsError, GraphQLError, ValidationError


@pytest.mark.parametrize(
    "name",
    [
        "SchemaError",
        "ConfigurationError",
        "PublishError",
        "ManagerClosed",
        "BusError",
        "ValidationError",
    ],
)
def test_one_base_catches_every_error_of_the_package(name):
    with pytest.raises(FraiseQLSubsError, match="what happened"):
        raise getattr(errors, name)("what happened")


def test_an_error_for_the_client_is_not_an_error_of_the_package():
    assert not issubclass(GraphQLError, FraiseQLSubsError)


def test_a_bus_error_says_whether_to_retry_and_reads_as_its_message():
    error = BusError("no answer within 2 s", True)
    assert error.retryable is True
    assert str(error) == "no answer within 2 s"


def test_a_validation_error_carries_the_graphql_errors():
    found = [{"message": "unknown field", "locations": [{"line": 1, "column": 3}]}]
    error = ValidationError("unknown field", found)
    assert error.errors == found
    assert str(error) == "unknown field"


def test_a_validation_error_without_details_still_has_its_message_as_graphql_error():
    assert ValidationError("no operation").errors == [{"message": "no operation"}]


def test_a_graphql_error_keeps_message_and_a_copy_of_its_extensions():
    extensions = {"code": "NOT_FOUND"}
    error = GraphQLError("no such order", extensions=extensions)
    extensions.clear()
    assert (error.message, error.extensions) == ("no such order", {"code": "NOT_FOUND"})


def test_errors_survive_pickling():
    bus = pickle.loads(pickle.dumps(BusError("gone", True)))
    client = pickle.loads(pickle.dumps(GraphQLError("no", extensions={"code": "X"})))
    assert (str(bus), bus.retryable) == ("gone", True)
    assert (client.message, client.extensions) == ("no", {"code": "X"})
