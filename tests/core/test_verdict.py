"""The table in the docstring of tasks/core/verdict.py, cell by cell: every call, every answer, every code."""

from __future__ import annotations

import pytest

from tasks.core.bid import Bid
from tasks.core.money import Money
from tasks.core.outcome import Status
from tasks.core.protocol import Call, Protocol
from tasks.core.reasons import Answer, Refusal, Unanswered, Unreadable
from tasks.core.sale import Sale
from tasks.core.verdict import Accepted, Again, Delay, End, Sold, judge

FLOOR = Money.parse("5")
UNDER, AT, OVER = Money.parse("4.999999"), Money.parse("5"), Money.parse("5.01")
SELLING = [call for call in Call if call.sells]
BID = Bid(OVER, "e694", 90)
SALE = Sale("8005550100", OVER, 90, "e694")

every_call = pytest.mark.parametrize("call", Call)
every_selling_call = pytest.mark.parametrize("call", SELLING)

AGAIN = {1000: Delay.WAIT, 1100: Delay.SLOW}
ENDS = {
    2000: Status.BLOCKED,
    3000: Status.BLOCKED,
    4000: Status.CAPPED,
    5000: Status.REJECTED,
    6000: Status.REJECTED,
}
UNLISTED = [0, 1, 999, 1001, 4001, 9999]


def test_the_cases_below_cover_every_code_of_the_buyer_s_table(protocol: Protocol) -> None:
    assert set(AGAIN) | set(ENDS) == set(protocol.codes)
    assert not set(UNLISTED) & set(protocol.codes)


# A bid


@pytest.mark.parametrize("price", [AT, OVER])
def test_a_bid_at_or_over_the_floor_is_posted_against(protocol: Protocol, price: Money) -> None:
    assert judge(Call.PING, Bid(price, "e694"), protocol, FLOOR) == Accepted(Bid(price, "e694"))


def test_a_bid_under_the_floor_is_rejected_and_kept(protocol: Protocol) -> None:
    bid = Bid(UNDER, "e694")
    assert judge(Call.PING, bid, protocol, FLOOR) == End(
        Status.REJECTED, "bid 4.999999 is under the floor of 5.00", bid=bid
    )


def test_without_a_floor_a_bid_of_nothing_is_accepted(protocol: Protocol) -> None:
    bid = Bid(Money(0), "e694")
    assert judge(Call.PING, bid, protocol, Money(0)) == Accepted(bid)


@every_selling_call
def test_a_bid_where_a_sale_was_due_may_be_a_sale_and_is_never_posted_against(call: Call, protocol: Protocol) -> None:
    verdict = judge(call, BID, protocol, FLOOR)
    assert isinstance(verdict, End)
    assert verdict.status is Status.UNKNOWN
    assert verdict.alarm is not None


# A sale


@every_selling_call
@pytest.mark.parametrize("price", [None, AT, OVER])
def test_a_phone_number_is_a_sale(call: Call, price: Money | None, protocol: Protocol) -> None:
    sale = Sale("8005550100", price)
    assert judge(call, sale, protocol, FLOOR) == Sold(sale)


@pytest.mark.parametrize("call", [Call.POST, Call.DIRECT_POST])
def test_a_post_sold_under_the_floor_is_sold_all_the_same(call: Call, protocol: Protocol) -> None:
    sale = Sale("8005550100", UNDER)
    assert judge(call, sale, protocol, FLOOR) == Sold(sale)


def test_a_one_step_sale_under_the_floor_is_withheld_and_reported_as_possibly_sold(protocol: Protocol) -> None:
    sale = Sale("8005550100", UNDER)
    verdict = judge(Call.ONE_STEP, sale, protocol, FLOOR)
    assert isinstance(verdict, End)
    assert (verdict.status, verdict.sale) == (Status.REJECTED, sale)
    assert "the buyer may count a sale" in verdict.reason
    assert verdict.alarm == verdict.reason
    assert sale.phone_number not in verdict.reason


def test_a_sale_where_a_bid_was_due_is_no_bid_and_no_sale(protocol: Protocol) -> None:
    verdict = judge(Call.PING, SALE, protocol, FLOOR)
    assert isinstance(verdict, Again)
    assert verdict.alarm is not None
    assert SALE.phone_number not in f"{verdict.reason} {verdict.alarm}"


# A refusal


@every_call
@pytest.mark.parametrize("number", AGAIN)
@pytest.mark.parametrize("retry_after_s", [None, 2.5])
def test_maintenance_and_the_rate_limit_prove_that_there_was_no_sale(
    call: Call, number: int, retry_after_s: float | None, protocol: Protocol
) -> None:
    verdict = judge(call, Refusal(number, retry_after_s=retry_after_s), protocol, FLOOR)
    assert verdict == Again(AGAIN[number], protocol.codes[number].meaning, number, retry_after_s)


@every_call
@pytest.mark.parametrize("number", ENDS)
def test_every_other_code_of_the_table_ends_the_lead(call: Call, number: int, protocol: Protocol) -> None:
    verdict = judge(call, Refusal(number), protocol, FLOOR)
    assert isinstance(verdict, End)
    assert (verdict.status, verdict.code, verdict.reason) == (ENDS[number], number, protocol.codes[number].meaning)
    assert (verdict.bid, verdict.sale) == (None, None)


@every_call
@pytest.mark.parametrize("number", ENDS)
def test_of_the_listed_codes_only_a_block_calls_an_operator(call: Call, number: int, protocol: Protocol) -> None:
    verdict = judge(call, Refusal(number), protocol, FLOOR)
    alarm = f"{number}: {protocol.codes[number].meaning}" if ENDS[number] is Status.BLOCKED else None
    assert verdict.alarm == alarm


@every_call
@pytest.mark.parametrize("number", UNLISTED)
def test_a_code_that_the_page_does_not_list_rejects_and_calls_an_operator(
    call: Call, number: int, protocol: Protocol
) -> None:
    verdict = judge(call, Refusal(number), protocol, FLOOR)
    assert verdict == End(
        Status.REJECTED,
        "Ask Your Representative",
        number,
        alarm=f"{number} is not a code of the page: Ask Your Representative",
    )


@every_call
@pytest.mark.parametrize("number", [*AGAIN, *ENDS, *UNLISTED])
def test_the_buyer_s_own_words_win_over_the_page_s(call: Call, number: int, protocol: Protocol) -> None:
    assert judge(call, Refusal(number, "back at nine"), protocol, FLOOR).reason == "back at nine"


@every_call
@pytest.mark.parametrize(
    ("words", "reason"),
    [("zip not bought", "zip not bought"), (None, "rejected without a reason"), ("", "rejected without a reason")],
)
def test_a_refusal_without_a_code_rejects_the_lead(
    call: Call, words: str | None, reason: str, protocol: Protocol
) -> None:
    assert judge(call, Refusal(reason=words), protocol, FLOOR) == End(Status.REJECTED, reason)


# No readable answer


def test_an_unreadable_answer_to_a_ping_is_asked_for_again_with_an_alarm(protocol: Protocol) -> None:
    assert judge(Call.PING, Unreadable("no price", 2.5), protocol, FLOOR) == Again(
        Delay.BACKOFF,
        "unreadable answer: no price",
        retry_after_s=2.5,
        alarm="the buyer's answer to a ping could not be read: no price",
    )


@every_selling_call
def test_an_unreadable_answer_to_a_sale_leaves_it_unknown_with_an_alarm(call: Call, protocol: Protocol) -> None:
    assert judge(call, Unreadable("no number", 2.5), protocol, FLOOR) == End(
        Status.UNKNOWN,
        "the answer could not be read (no number); the lead may be sold",
        alarm=f"the buyer's answer to a {call.value} could not be read: no number",
    )


@every_call
def test_a_call_of_which_not_one_byte_left_is_made_again(call: Call, protocol: Protocol) -> None:
    answer = Unanswered("connection refused", never_sent=True)
    assert judge(call, answer, protocol, FLOOR) == Again(Delay.BACKOFF, "connection refused")


def test_a_ping_without_an_answer_is_made_again(protocol: Protocol) -> None:
    assert judge(Call.PING, Unanswered("read timeout"), protocol, FLOOR) == Again(Delay.BACKOFF, "read timeout")


@every_selling_call
def test_a_sale_without_an_answer_is_unknown_and_never_made_again(call: Call, protocol: Protocol) -> None:
    why = f"no answer to a {call.value} that was sent (read timeout); the lead may be sold"
    assert judge(call, Unanswered("read timeout"), protocol, FLOOR) == End(Status.UNKNOWN, why, alarm=why)


# The rule behind the table


@every_selling_call
@pytest.mark.parametrize(
    "answer",
    [BID, SALE, Unreadable("?"), Unanswered("reset"), Refusal(), *(Refusal(number) for number in [*ENDS, *UNLISTED])],
    ids=repr,
)
def test_a_call_that_sells_is_repeated_only_where_no_sale_is_proven(
    call: Call, answer: Answer, protocol: Protocol
) -> None:
    assert isinstance(judge(call, answer, protocol, FLOOR), Sold | End)
