from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.core.states import MOVES, State

PROVES_NO_SALE = {State.BID, State.RECEIVED}


@given(st.data())
def test_no_life_of_a_lead_sells_it_twice_or_goes_on_after_its_end(data: st.DataObject) -> None:
    life = [State.RECEIVED]
    while MOVES[life[-1]] and len(life) < 40:
        life.append(data.draw(st.sampled_from(sorted(MOVES[life[-1]]))))
    assert all(not state.final for state in life[:-1])
    posts = [place for place, state in enumerate(life) if state is State.POSTING]
    assert all(life[place + 1] in PROVES_NO_SALE for place in posts[:-1])
