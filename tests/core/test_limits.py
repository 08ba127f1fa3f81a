"""An operator's own daily limits, as their file says them."""

from __future__ import annotations

import pytest

from tasks.core.limits import LARGEST, NO_LIMITS, Limit, read_limits

FILE = """\
scope, sales, payouts, pings
partner:XYZ, , 5000.50,
category:016001, 100,,

subid:a:b,,,40
"""


def test_a_file_of_limits_is_read_cell_by_cell() -> None:
    """An empty cell is no limit, and so is a column that is not there; empty lines are passed over."""
    limits = read_limits(FILE.splitlines())
    assert limits.of(["subid:a:b", "partner:XYZ", "category:16001", "category:16002"]) == (
        Limit("category:16001", sales=100),
        Limit("partner:XYZ", payouts_micros=5_000_500_000),
        Limit("subid:a:b", pings=40),
    )
    assert read_limits(["scope,sales", "subid:1,0"]).of(["subid:1"]) == (Limit("subid:1", sales=0),)
    assert NO_LIMITS.of(["partner:XYZ"]) == ()


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([], "the header must be"),
        (["scope"], None),
        (["sales"], "the header must be"),
        (["scope,sales,sales"], "the header must be"),
        (["scope,calls"], "the header must be"),
        (["scope,sales", "subid:1,2,3"], "line 2: 3 cells under 2 columns"),
        (["scope,sales", "planet:1,2"], "line 2: scope: must be"),
        (["scope,sales", "category:x,2"], "line 2: scope: must be"),
        (["scope,sales", "category:\u0663,2"], "line 2: scope: must be"),
        (["scope,sales", "subid:,2"], "line 2: scope: must be"),
        (["scope,sales", "subid:1,2", "subid:1,3"], "line 3: subid:1 stands twice"),
        (["scope,sales", "category:16001,2", "category:016001,3"], "line 3: category:16001 stands twice"),
        (["scope,sales", "subid:1,-1"], "line 2: sales: must be a whole number"),
        (["scope,pings", "subid:1,1.5"], "line 2: pings: must be a whole number"),
        (["scope,pings", f"subid:1,{LARGEST + 1}"], "line 2: pings: must be a whole number"),
        (["scope,pings", "subid:1,\u0663"], "line 2: pings: must be a whole number"),
        (["scope,payouts", "subid:1,NaN"], "line 2: payouts: must be dollars"),
        (["scope,payouts", "subid:1,-0.01"], "line 2: payouts: must be dollars"),
        (["scope,payouts", "subid:1,much"], "line 2: payouts: must be dollars"),
        (["scope,payouts", "subid:1,\u0663"], "line 2: payouts: must be dollars"),
        (["scope,payouts", "subid:1,0.0000001"], "line 2: payouts: must be dollars"),
        (["scope,payouts", f"subid:1,{LARGEST + 1}"], "line 2: payouts: must be dollars"),
    ],
)
def test_a_fault_of_the_file_is_named_by_line_and_column(lines: list[str], fault: str | None) -> None:
    if fault is None:
        assert read_limits(lines) == NO_LIMITS
        return
    with pytest.raises(ValueError, match=fault):
        read_limits(lines)
