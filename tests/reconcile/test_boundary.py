"""The boundary of a venue: it only rises, and the fence is never below it."""

import pytest

from truetape.reconcile.boundary import Boundary, fence_of

START = Boundary("XNYS", fence_ns=100, final_ns=50)


@pytest.mark.parametrize(
    ("moved", "expected"),
    [
        pytest.param(START.raised(200), Boundary("XNYS", 200, 50), id="fence goes up"),
        pytest.param(START.raised(70), START, id="fence never comes down"),
        pytest.param(START.sealed(80), Boundary("XNYS", 100, 80), id="boundary follows"),
        pytest.param(START.sealed(300), Boundary("XNYS", 300, 300), id="boundary takes the fence"),
        pytest.param(START.sealed(20), START, id="boundary never moves back"),
    ],
)
def test_a_boundary_only_rises(moved: Boundary, expected: Boundary) -> None:
    assert moved == expected


@pytest.mark.parametrize(("start_ns", "is_open"), [(99, False), (100, True), (101, True)])
def test_bars_are_open_from_the_fence_on(start_ns: int, is_open: bool) -> None:
    assert START.is_open(start_ns) is is_open


def test_a_venue_never_published_is_open_from_the_beginning() -> None:
    assert fence_of({"XNYS": START}, "KRAKEN") == Boundary("KRAKEN", 0, 0)
    assert fence_of({"XNYS": START}, "XNYS") == START


def test_a_boundary_survives_its_record() -> None:
    beyond_floats = Boundary("XNYS", 1_795_185_070_000_000_001, 1_795_185_070_000_000_003)

    assert Boundary.decode(beyond_floats.encode()) == beyond_floats
