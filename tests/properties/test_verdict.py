from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.core.bid import Bid
from tasks.core.money import LARGEST, Money
from tasks.core.outcome import Status
from tasks.core.protocol import Action, Call, Protocol
from tasks.core.reasons import Answer, Refusal, Unanswered, Unreadable
from tasks.core.sale import Sale
from tasks.core.verdict import Accepted, Again, End, Sold, judge

money = st.integers(0, LARGEST).map(Money)
answers: st.SearchStrategy[Answer] = st.one_of(
    st.builds(Bid, money, st.text(min_size=1)),
    st.builds(Sale, st.text(min_size=1), st.none() | money),
    st.builds(Refusal, st.none() | st.integers() | st.sampled_from(range(1000, 7000, 100)), st.none() | st.text()),
    st.builds(Unreadable, st.text()),
    st.builds(Unanswered, st.text(), st.booleans()),
)
calls = st.sampled_from(Call)


def proves_no_sale(answer: Answer, protocol: Protocol) -> bool:
    match answer:
        case Refusal(code=int(number)):
            return protocol.code(number).action in (Action.WAIT, Action.SLOW)
        case Unanswered(never_sent=never_sent):
            return never_sent
    return False


@given(calls, answers, money)
def test_a_call_that_sells_is_repeated_exactly_where_the_answer_proves_no_sale(
    protocol: Protocol, call: Call, answer: Answer, floor: Money
) -> None:
    verdict = judge(call, answer, protocol, floor)
    if call.sells:
        assert isinstance(verdict, Again) is proves_no_sale(answer, protocol)


@given(calls, answers, money)
def test_only_a_ping_is_accepted_and_only_a_selling_call_sold_or_unknown(
    protocol: Protocol, call: Call, answer: Answer, floor: Money
) -> None:
    match judge(call, answer, protocol, floor):
        case Accepted(bid):
            assert call is Call.PING
            assert bid is answer
            assert bid.price >= floor
        case Sold(sale):
            assert call.sells
            assert sale is answer
        case End(status=Status.UNKNOWN):
            assert call.sells
            assert not isinstance(answer, Refusal | Sale)


@given(calls, answers, money)
def test_whatever_is_not_sold_says_why(protocol: Protocol, call: Call, answer: Answer, floor: Money) -> None:
    verdict = judge(call, answer, protocol, floor)
    if isinstance(verdict, End):
        assert verdict.reason
        assert verdict.status is not Status.SOLD
