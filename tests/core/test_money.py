from __future__ import annotations

from decimal import Decimal, localcontext

import pytest

from tasks.core.money import LARGEST, Money, dollars


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0", "0.00"),
        ("12.5", "12.50"),
        ("$0.15", "0.15"),
        ("$ 0.15", "0.15"),
        ("9.00 USD", "9.00"),
        ("9.00usd", "9.00"),
        ("9.00$", "9.00"),
        ("  7 ", "7.00"),
        ("0.125", "0.125"),
        ("0.000001", "0.000001"),
        ("0012.50", "12.50"),
        ("100000", "100000.00"),
    ],
)
def test_a_price_is_read_and_told_in_dollars_with_at_least_two_places(text: str, told: str) -> None:
    assert str(Money.parse(text)) == told


@pytest.mark.parametrize(
    "text",
    ["", " ", "-1", "+1", "1e3", "1,000", "1.", ".5", "1.2.3", "1.0000001", "1000000", "100000.000001", "NaN", "free"],
)
def test_a_text_that_is_no_plain_price_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        Money.parse(text)


@pytest.mark.parametrize("text", ["١٢", "１２.５", "1\u00a0000", "€5", "$1 0"])  # noqa: RUF001 - such digits are the point
def test_digits_and_signs_of_other_scripts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an amount of dollars"):
        Money.parse(text)


@pytest.mark.parametrize(
    ("amount", "micros"),
    [
        ("0", 0),
        ("-0", 0),
        ("0E+7", 0),
        ("0.5", 500_000),
        ("1E+2", 100_000_000),
        ("0.1000000000000000000000000000000000000000", 100_000),
        ("100000", LARGEST),
    ],
)
def test_an_exact_decimal_is_taken_as_it_is(amount: str, micros: int) -> None:
    assert Money.of(Decimal(amount)) == Money(micros)


@pytest.mark.parametrize(
    "amount",
    [
        "-0.01",
        "100000.000001",
        "1000000",
        "1E+999999",
        "NaN",
        "sNaN",
        "Infinity",
        "-Infinity",
        "0.0000001",
        "1E-999999",
        "1E-1000020",
        "0.10000000000000000000000000000000000001",  # more digits than the decimal context at hand keeps
    ],
)
def test_a_decimal_that_is_no_amount_is_refused_and_never_rounded(amount: str) -> None:
    with pytest.raises(ValueError, match="an amount"):
        Money.of(Decimal(amount))


def test_a_narrow_decimal_context_of_the_caller_s_changes_no_amount() -> None:
    with localcontext(prec=2):
        assert Money.of(Decimal("12345.678901")) == Money(12_345_678_901)


@pytest.mark.parametrize("micros", [-1, LARGEST + 1])
def test_no_amount_is_under_nothing_or_over_the_largest(micros: int) -> None:
    with pytest.raises(ValueError, match="between 0 and 100000"):
        Money(micros)


def test_amounts_are_ordered_by_what_they_are_worth() -> None:
    assert Money.parse("9.99") < Money.parse("10") <= Money.parse("10.00")


def test_a_sum_may_be_larger_than_any_price() -> None:
    assert dollars(123_456_789_500_000) == "123456789.50"
    assert dollars(0) == "0.00"


def test_a_difference_may_be_negative() -> None:
    assert [dollars(micros) for micros in (-1, -250_000, -1_500_000)] == ["-0.000001", "-0.25", "-1.50"]
