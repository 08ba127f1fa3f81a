"""A ping, a post, and how a scripted buyer answers them, for the tests of the client."""

from __future__ import annotations

from tasks.buyers.http import HttpBuyer
from tasks.buyers.port import Offer
from tasks.core.protocol import Call
from tests.buyers.scripted import http

LEAD = {"numcategory": "16001", "subid": "123", "transfer_type": "1", "zipcode": "33139"}
CALLER = {"firstname": "Zoë", "lastname": "Brontë", "telephone": "(877) 268-1223", "email": "zoe@example.org"}
PING = Offer(LEAD, "lead-1")
POST = Offer({**LEAD, **CALLER}, "lead-1", token="t-1")
BID = http(b'{"status":"accepted","price":"12.50","token":"t-1"}')
SALE = http(b'{"PhoneNumber":"8005550100"}')
LIMIT = 65536


def ask(buyer: HttpBuyer, call: Call, timeout_s: float = 10) -> object:
    return buyer.ask(call, PING if call is Call.PING else POST, timeout_s).answer
