"""What lies behind an error."""

from tasks.errors import behind


def test_causes_in_a_circle_end() -> None:
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__context__ = second, first
    assert list(behind(first)) == [first, second]
