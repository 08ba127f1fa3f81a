"""What the facts of an answer amount to: the table of cases, one after the other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.buyers.answers import Facts
from tasks.buyers.letsmakealead.wire import interpret, read_retry_after
from tasks.buyers.registry import mapping_with
from tasks.core.bid import Bid
from tasks.core.money import Money
from tasks.core.protocol import Call
from tasks.core.reasons import Refusal, Unreadable
from tasks.core.sale import Sale
from tests.buyers.offers import PRICE, PROTOCOL, sent

ZERO = Money(0)
NUMBER = "8005550100"
SELLING = [call for call in Call if call.sells]
NOW = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)


def judged(call: Call = Call.PING, status: int = 200, telephone: str = "", **facts: Any) -> object:
    return interpret(call, Facts(**facts), status, PROTOCOL, telephone=telephone)


def why(call: Call = Call.PING, status: int = 200, **facts: Any) -> str:
    answer = judged(call, status, **facts)
    assert isinstance(answer, Unreadable), answer
    return answer.why


# Pings


@pytest.mark.parametrize("accepted", [True, None])
def test_a_price_and_a_token_are_a_bid(accepted: bool | None) -> None:
    assert judged(accepted=accepted, price=PRICE, token="t", duration_s=90) == Bid(PRICE, "t", 90)


def test_a_bid_of_nothing_is_a_bid() -> None:
    assert judged(accepted=True, price=ZERO, token="t") == Bid(ZERO, "t")


def test_a_code_that_the_page_does_not_list_does_not_undo_a_bid() -> None:
    assert judged(code=201, price=PRICE, token="t") == Bid(PRICE, "t")


def test_words_beside_an_accepted_bid_do_not_undo_it() -> None:
    assert judged(accepted=True, reason="matched one buyer", price=PRICE, token="t") == Bid(PRICE, "t")


def test_a_phone_number_beside_price_and_token_leaves_a_bid_a_bid() -> None:
    assert judged(accepted=True, price=PRICE, token="t", phone_number=NUMBER) == Bid(PRICE, "t")


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"accepted": True, "price": PRICE}, "accepted, token missing"),
        ({"accepted": True, "token": "t"}, "accepted, price missing"),
        ({"accepted": True}, "accepted, price missing, token missing"),
        ({"token": "t"}, "neither accepted nor rejected, price missing"),
        ({"remark": "Thank you"}, "neither accepted nor rejected, price missing, token missing"),
        ({}, "neither accepted nor rejected, price missing, token missing"),
        ({"accepted": True, "token": "t", "faults": frozenset({"price"})}, "accepted, price that cannot be read"),
        ({"price": PRICE, "faults": frozenset({"token"})}, "neither accepted nor rejected, token that cannot be read"),
        ({"accepted": True, "code": 5000, "price": PRICE, "token": "t"}, "accepted, and code 5000"),
        ({"accepted": True, "code": 5000}, "accepted, and code 5000"),
        ({"code": 5000, "price": PRICE, "token": "t"}, "a bid beside a code or a reason for a refusal"),
        ({"reason": "No", "price": PRICE, "token": "t"}, "a bid beside a code or a reason for a refusal"),
        ({"phone_number": NUMBER}, "a phone number where a bid was due"),
        ({"accepted": False, "phone_number": NUMBER}, "a phone number where a bid was due"),
        ({"accepted": True, "code": 7777}, "accepted, price missing, token missing"),
    ],
)
def test_a_ping_s_answer_that_is_not_clear_is_unreadable(facts: dict[str, Any], reason: str) -> None:
    assert why(**facts) == reason


@pytest.mark.parametrize(
    ("facts", "refusal"),
    [
        ({"accepted": False}, Refusal()),
        ({"accepted": False, "remark": "Duplicate"}, Refusal(None, "Duplicate")),
        ({"accepted": False, "reason": "Bad zip", "remark": "Sorry"}, Refusal(None, "Bad zip")),
        ({"accepted": False, "price": PRICE, "token": "t"}, Refusal()),
        ({"accepted": False, "code": 5000, "price": PRICE, "token": "t"}, Refusal(5000)),
        ({"code": 5000}, Refusal(5000)),
        ({"code": 7777}, Refusal(7777)),
        ({"code": 5000, "price": ZERO, "token": "t"}, Refusal(5000)),
        ({"reason": "No coverage"}, Refusal(None, "No coverage")),
        ({"reason": "No coverage", "price": ZERO, "token": "t"}, Refusal(None, "No coverage")),
        ({"reason": "No coverage", "faults": frozenset({"price"})}, Refusal(None, "No coverage")),
        ({"status_words": ("4000",)}, Refusal(4000)),
        ({"status_words": ("4000",), "code": 4000}, Refusal(4000)),
    ],
)
def test_a_ping_is_refused_by_status_code_or_reason(facts: dict[str, Any], refusal: Refusal) -> None:
    assert judged(**facts) == refusal


# Sales


@pytest.mark.parametrize("call", SELLING)
@pytest.mark.parametrize("accepted", [True, None])
def test_a_phone_number_is_a_sale(call: Call, accepted: bool | None) -> None:
    assert judged(call, accepted=accepted, phone_number=NUMBER) == Sale(NUMBER)
    told = {"phone_number": NUMBER, "price": PRICE, "duration_s": 90, "token": "t"}
    assert judged(call, accepted=accepted, **told) == Sale(NUMBER, PRICE, 90, "t")


@pytest.mark.parametrize("call", SELLING)
@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"accepted": True}, "accepted, phone number missing"),
        ({"accepted": True, "price": PRICE, "token": "t"}, "accepted, phone number missing"),
        ({"price": PRICE, "token": "t"}, "neither accepted nor rejected, phone number missing"),
        ({"remark": "Thank you"}, "neither accepted nor rejected, phone number missing"),
        ({"accepted": True, "faults": frozenset({"phone_number"})}, "accepted, phone number that cannot be read"),
        (
            {"reason": "x", "faults": frozenset({"phone_number"})},
            "neither accepted nor rejected, phone number that cannot be read",
        ),
        ({"accepted": True, "code": 5000}, "accepted, and code 5000"),
        ({"accepted": True, "code": 7777, "phone_number": NUMBER}, "accepted, and code 7777"),
        ({"code": 7777, "phone_number": NUMBER}, "a phone number beside a refusal"),
        ({"accepted": False, "phone_number": NUMBER}, "a phone number beside a refusal"),
        ({"reason": "No coverage", "phone_number": NUMBER}, "a phone number beside a refusal"),
        ({"status_words": ("4000",), "phone_number": NUMBER}, "a phone number beside a refusal"),
        ({"status_words": ("4000",), "code": 5000}, "the answer contradicts itself: code"),
    ],
)
def test_a_sale_that_is_not_clear_is_unreadable(call: Call, facts: dict[str, Any], reason: str) -> None:
    assert why(call, **facts) == reason


@pytest.mark.parametrize("call", SELLING)
@pytest.mark.parametrize(
    ("facts", "refusal"),
    [
        ({"accepted": False}, Refusal()),
        ({"code": 5000, "reason": "No coverage"}, Refusal(5000, "No coverage")),
        ({"code": 1000, "token": "t", "price": PRICE}, Refusal(1000)),
        ({"accepted": False, "faults": frozenset({"phone_number"})}, Refusal()),
        ({"reason": "Duplicate"}, Refusal(None, "Duplicate")),
        ({"reason": "Duplicate", "faults": frozenset({"price"})}, Refusal(None, "Duplicate")),
    ],
)
def test_a_sale_is_refused_by_status_code_or_reason(call: Call, facts: dict[str, Any], refusal: Refusal) -> None:
    assert judged(call, **facts) == refusal


def test_the_caller_s_own_telephone_is_not_where_to_forward() -> None:
    own = {"telephone": "(877) 268-1223", "phone_number": "+18772681223"}
    assert judged(Call.POST, accepted=False, **own) == Refusal()
    assert why(Call.POST, accepted=True, **own) == "accepted, phone number missing"
    assert judged(Call.POST, accepted=True, phone_number=NUMBER, telephone="8772681223") == Sale(NUMBER)


# Codes in words


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"accepted": False, "reason": "4000 - Daily Cap reached"}, 4000),
        ({"accepted": False, "reason": "#4000"}, 4000),
        ({"accepted": False, "reason": "[4000] Daily Cap"}, 4000),
        ({"accepted": False, "remark": "4000: Daily Cap"}, 4000),
        ({"reason": "4000 - Daily Cap reached"}, 4000),
        ({"accepted": False, "reason": "7777 - Something"}, None),
        ({"accepted": False, "reason": "Cap of 4000 reached"}, None),
        ({"accepted": False, "reason": "4000.50 is too much"}, None),
        ({"accepted": False, "reason": "4000th lead"}, None),
        ({"accepted": False, "reason": "40000 leads"}, None),
        ({"accepted": False, "reason": "4000 - Cap", "code": 5000}, 5000),
    ],
)
def test_a_listed_code_at_the_head_of_a_refusal_s_reason_counts(facts: dict[str, Any], code: int | None) -> None:
    answer = judged(**facts)
    assert isinstance(answer, Refusal)
    assert answer.code == code


def test_a_remark_alone_tells_no_code() -> None:
    assert why(remark="4000 - Daily Cap reached").startswith("neither accepted nor rejected")


def test_a_number_at_the_head_of_an_accepted_answer_s_reason_is_no_code() -> None:
    assert judged(accepted=True, reason="1000 more wanted", price=PRICE, token="t") == Bid(PRICE, "t")


# HTTP statuses


@pytest.mark.parametrize("call", Call)
@pytest.mark.parametrize("status", range(300, 400))
def test_a_redirect_is_never_an_answer(call: Call, status: int) -> None:
    assert why(call, status, code=5000) == f"a redirect (HTTP {status})"


@pytest.mark.parametrize("status", [*range(100, 200), *range(400, 600)])
def test_a_bid_or_a_sale_with_another_status_than_success_is_unreadable(status: int) -> None:
    assert why(Call.PING, status, price=PRICE, token="t") == f"a bid with HTTP {status}"
    assert why(Call.POST, status, accepted=True, phone_number=NUMBER) == f"a sale with HTTP {status}"


@pytest.mark.parametrize("call", Call)
@pytest.mark.parametrize("status", [200, 201, 400, 401, 429, 500, 503])
def test_a_listed_code_is_a_refusal_with_any_status(call: Call, status: int) -> None:
    assert judged(call, status, code=1000) == Refusal(1000)


@pytest.mark.parametrize("call", Call)
@pytest.mark.parametrize(
    ("status", "accepted", "refused"),
    [
        (200, False, True),
        (200, None, True),
        (400, False, True),
        (422, False, True),
        (400, None, False),
        (404, None, False),
        (408, False, False),
        (425, False, False),
        (429, False, False),
        (500, False, False),
        (502, None, False),
    ],
)
def test_a_refusal_in_words_alone_counts_only_from_the_buyer_s_own_mind(
    call: Call, status: int, accepted: bool | None, refused: bool
) -> None:
    answer = judged(call, status, accepted=accepted, reason="Not now")
    assert answer == (
        Refusal(None, "Not now") if refused else Unreadable(f"a refusal without a code, with HTTP {status}")
    )


def test_http_s_own_status_in_the_body_is_no_code_of_the_buyer_s() -> None:
    assert why(Call.POST, 502, code=502, reason="Bad gateway") == "a refusal without a code, with HTTP 502"
    assert judged(Call.POST, 200, code=502) == Refusal(502)
    assert judged(Call.POST, 500, code=4000) == Refusal(4000)


@pytest.mark.parametrize("facts", [Unreadable("an HTML page"), Facts(code=1100), Facts()])
def test_a_retry_after_is_kept_with_whatever_is_no_bid_and_no_sale(facts: Facts | Unreadable) -> None:
    answer = interpret(Call.PING, facts, 429, PROTOCOL, retry_after_s=7)
    assert isinstance(answer, Refusal | Unreadable)
    assert answer.retry_after_s == 7


# Retry-After


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("0.25", 0.25),
        ("86401", 86400.0),
        ("999999999", 86400.0),
        ("Mon, 23 Nov 2026 18:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 18:00:30 -0000", 30.0),
        ("Mon, 23 Nov 2026 19:00:30 +0100", 30.0),
        ("Mon, 23 Nov 2026 17:00:00 GMT", 0.0),
        ("Wed, 23 Nov 2033 17:00:00 GMT", 86400.0),
        (None, None),
        ("", None),
        ("-1", None),
        ("1e9", None),
        ("soon", None),
        ("٣", None),
        ("Mon, 99 Nov 2026 18:00:30 GMT", None),
        ("Mon, 01 Jan 2020 00:00:00 +99999999999999999999", None),
    ],
)
def test_a_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert read_retry_after(header, lambda: NOW) == seconds


@given(st.text())
def test_a_retry_after_of_any_text_never_raises(header: str) -> None:
    seconds = read_retry_after(header, lambda: NOW)
    assert seconds is None or 0 <= seconds <= 86400


@given(st.text(" ,:+-0123456789JanMonGMT", max_size=40))
def test_a_retry_after_that_is_nearly_a_date_never_raises(header: str) -> None:
    seconds = read_retry_after(header, lambda: NOW)
    assert seconds is None or 0 <= seconds <= 86400


# Answers of other leads


@pytest.mark.parametrize("told", [{"token": "t-2"}, {"customid": "lead-2"}])
@pytest.mark.parametrize("facts", [{"phone_number": NUMBER, "accepted": True}, {"code": 5000}, {"code": 1000}])
def test_an_answer_that_names_another_lead_proves_nothing_of_this_one(
    told: dict[str, str], facts: dict[str, Any]
) -> None:
    answer = interpret(
        Call.POST, Facts(**facts, **told), 200, PROTOCOL, sent=sent(Call.POST), echoes=("token", "customid")
    )
    assert isinstance(answer, Unreadable)
    assert answer.why.startswith("an answer for another lead")


def test_what_was_not_sent_or_is_not_compared_names_no_other_lead() -> None:
    bid = Facts(price=PRICE, token="fresh", customid="theirs")
    assert isinstance(
        interpret(Call.PING, bid, 200, PROTOCOL, sent=sent(Call.PING), echoes=("token", "customid")), Bid
    ), "a ping sends neither"
    sale = Facts(phone_number=NUMBER, token="t-2", customid="LEAD-1")
    assert isinstance(interpret(Call.POST, sale, 200, PROTOCOL, sent=sent(Call.POST), echoes=("customid",)), Sale)
    assert isinstance(interpret(Call.POST, sale, 200, PROTOCOL, sent=sent(Call.POST), echoes=()), Sale)
    one_step = Facts(phone_number=NUMBER, token="its own")
    assert isinstance(
        interpret(Call.ONE_STEP, one_step, 200, PROTOCOL, sent=sent(Call.ONE_STEP), echoes=("token", "customid")), Sale
    )


def test_only_a_token_and_a_customid_can_be_echoes() -> None:
    with pytest.raises(ValueError, match=r"echoes: price \(known: token, customid\)"):
        mapping_with({"echoes": ["price"]})
