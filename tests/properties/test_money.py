from __future__ import annotations

from contextlib import suppress
from decimal import Decimal, localcontext

from hypothesis import example, given
from hypothesis import strategies as st

from tasks.core.money import LARGEST, MICROS, Money

amounts = st.integers(0, LARGEST).map(Money)
any_decimal = st.decimals() | st.builds(
    lambda sign, digits, exponent: Decimal((sign, tuple(digits), exponent)),
    st.integers(0, 1),
    st.lists(st.integers(0, 9), min_size=1, max_size=40),
    st.integers(-60, 20),
)


@given(amounts)
def test_an_amount_told_is_read_back_the_same(amount: Money) -> None:
    assert Money.parse(str(amount)) == amount


@given(amounts)
def test_an_amount_told_is_its_exact_decimal(amount: Money) -> None:
    assert Money.of(Decimal(str(amount))) == amount
    assert Decimal(str(amount)) * MICROS == amount.micros


@given(amounts)
def test_an_amount_is_told_with_at_least_two_decimals_and_none_in_vain(amount: Money) -> None:
    whole, point, fraction = str(amount).partition(".")
    assert point == "."
    assert whole == str(int(whole))
    assert 2 <= len(fraction) <= 6
    assert len(fraction) == 2 or not fraction.endswith("0")


@given(amounts, amounts)
def test_amounts_are_ordered_as_their_decimals_are(one: Money, other: Money) -> None:
    assert (one < other) == (Decimal(str(one)) < Decimal(str(other)))
    assert (one == other) == (str(one) == str(other))


@given(st.text() | st.from_regex(r"\s?[-+$]?\d{0,7}\.?\d{0,8}(e\d)?( USD|\$)?", fullmatch=True))
@example("100000.000001")
@example("-0.01")
def test_whatever_is_read_is_a_whole_number_of_micros_within_bounds(text: str) -> None:
    with suppress(ValueError):
        amount = Money.parse(text)
        assert type(amount.micros) is int
        assert 0 <= amount.micros <= LARGEST


@given(any_decimal)
@example(Decimal("0.10000000000000000000000000000000000001"))
@example(Decimal("1E-1000020"))
@example(Decimal("0E+999999"))
def test_a_decimal_is_taken_exactly_or_not_at_all(amount: Decimal) -> None:
    try:
        taken = Money.of(amount)
    except ValueError:
        with localcontext(prec=100):
            fits = amount.is_finite() and 0 <= amount <= 100_000 and amount * MICROS % 1 == 0
        assert not fits
    else:
        assert type(taken.micros) is int
        assert Decimal(str(taken)) == amount
