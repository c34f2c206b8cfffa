"""The figures of the measurement of drains."""

from __future__ import annotations

from load_tests.drain.__main__ import most_in_a_second


def test_the_second_with_most_reconnects_may_begin_anywhere():
    assert most_in_a_second([]) == 0
    assert most_in_a_second([5.0]) == 1
    # From 0.9 to 1.8.
    assert most_in_a_second([0.0, 0.9, 1.0, 1.2, 1.8, 2.5]) == 4


def test_a_second_does_not_contain_its_end():
    assert most_in_a_second([3.0, 1.0, 2.0]) == 1
