"""The exemplary stories: one JSON file each, beside the buyer's tables.

`call`, `method`, `resptype`, `settings` and `mapping` say how pingpost is configured; `lead` and `offer` what is sold;
`expected_request` what must reach the buyer; `answer` what the buyer says; `expected` what that must be read as.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.buyers.mapping import AnswerMapping
from tasks.buyers.port import Offer
from tasks.buyers.registry import mapping_with
from tasks.core.bid import Bid
from tasks.core.money import Money
from tasks.core.protocol import Call
from tasks.core.reasons import Answer, Refusal, Unreadable
from tasks.core.sale import Sale

FOLDER = Path(__file__).parents[2] / "tasks/buyers/letsmakealead/exemplary"
PARTNER_ID = "XYZ"
KEY = "771f5924706521c73464341fc48afb05"


@dataclass(frozen=True)
class Story:
    file: str
    name: str
    call: Call
    method: str
    resptype: str
    settings: dict[str, Any]
    mapping: AnswerMapping
    offer: Offer
    expected_request: dict[str, Any]
    status: int
    headers: dict[str, str]
    body: bytes
    expected: Answer


def load() -> list[Story]:
    return [_story(path.stem, json.loads(path.read_text(encoding="utf-8"))) for path in sorted(FOLDER.glob("*.json"))]


def _story(file: str, told: dict[str, Any]) -> Story:
    offer, answer = told["offer"], told["answer"]
    return Story(
        file=file,
        name=told["name"],
        call=Call(told["call"]),
        method=told["method"],
        resptype=told["resptype"],
        settings=told.get("settings", {}),
        mapping=mapping_with(told.get("mapping", {})),
        offer=Offer(told["lead"], offer["customid"], offer.get("token"), _money(offer.get("price"))),
        expected_request=told["expected_request"],
        status=answer["status"],
        headers=answer["headers"],
        body=answer["body"].encode(),
        expected=_answer(**told["expected"]),
    )


def _answer(kind: str, **facts: Any) -> Answer:
    if "price" in facts:
        facts["price"] = _money(facts["price"])
    return {"bid": Bid, "sale": Sale, "refusal": Refusal, "unreadable": Unreadable}[kind](**facts)


def _money(text: str | None) -> Money | None:
    return None if text is None else Money.parse(text)
