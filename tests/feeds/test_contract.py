"""Contracts: an invalid contract is refused with file, line and field."""

import hashlib
import json
from datetime import date
from pathlib import Path

import pytest

from truetape.feeds.contract import load_contract, read_contract
from truetape.host.errors import ConfigError

GOOD = """\
feed: example
version: 3
source: https://example.org
valid_from: 2024-01-01
ids: {per: day}
payload: {container: object}
trade:
  when: [{path: type, is: [trade]}]
  symbol: s
  venue: {const: KRAKEN}
  id: i
  event_time: {path: t, shape: epoch-ms}
  price: {path: p, scale: 0.01}
  size: q
samples:
  - payload: '{}'
    native: ['{}']
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "example.yaml"
    path.write_text(text)
    return path


def test_a_valid_contract_is_read(tmp_path: Path) -> None:
    contract = read_contract(written(tmp_path, GOOD))

    assert (contract.feed, contract.version, contract.valid_from) == (
        "example",
        3,
        date(2024, 1, 1),
    )
    assert contract.eras[0].rules[0].price is not None
    assert contract.eras[0].rules[0].price.shift == 2


@pytest.mark.parametrize(
    ("old", "new", "place", "problem"),
    [
        ("feed: example", "feed: other", (1, "feed"), "it must be the file's own name, 'example'"),
        ("version: 3", "version: three", (2, "version"), "write a whole number"),
        ("2024-01-01", "2024-13-01", (4, "valid_from"), "write a date"),
        ("ids: {per: day}", "ids: none", (5, "ids"), "is none, but a kind has an id"),
        ("ids: {per: day}", "ids: per-day", (5, "ids"), "write none, or a mapping"),
        ("ids: {per: day}", "ids: {per: week}", (5, "ids.per"), "day"),
        ("container: object", "container: list", (6, "payload.container"), "write one of"),
        ("container: object", "kontainer: object", (6, "payload"), "kontainer"),
        ("{const: KRAKEN}", "{const: NOWHERE}", (10, "trade.venue.const"), "venues.yaml"),
        ("{const: KRAKEN}", "{}", (10, "trade.venue"), "either 'path' or 'const'"),
        ("epoch-ms", "epoch-min", (12, "trade.event_time.shape"), "write one of"),
        ("shape: epoch-ms", "shape: time-of-day-ms", (12, "trade.event_time.shape"), "zone"),
        ("scale: 0.01", "scale: 0.02", (13, "trade.price.scale"), "power of ten"),
        ("  size: q\n", "", (7, "trade"), "lacks 'size'"),
        ("size: q", "size: '3'", (14, "trade.size"), "the first step is a name"),
        ("size: q", "size: a b", (14, "trade.size"), "names or positions"),
        ("size: q", "size: q\n  size: r", (15, "trade.size"), "twice"),
        (
            "samples:\n  - payload: '{}'\n    native: ['{}']",
            "samples: []",
            (15, "samples"),
            "empty",
        ),
    ],
    ids=lambda value: str(value)[:24],
)
def test_an_error_names_file_line_and_field(
    tmp_path: Path, old: str, new: str, place: tuple[int, str], problem: str
) -> None:
    path = written(tmp_path, GOOD.replace(old, new))

    with pytest.raises(ConfigError) as refused:
        read_contract(path)

    assert f"{path}, line {place[0]}: {place[1]}" in str(refused.value)
    assert problem in str(refused.value)


def test_an_era_changes_only_its_own_fields(tmp_path: Path) -> None:
    era = "eras:\n  - since: 2025-01-01\n    trade: {event_time: {path: t, shape: epoch-us}}\n"
    contract = read_contract(written(tmp_path, GOOD.replace("samples:", f"{era}samples:")))

    days = (date(2024, 12, 31), date(2025, 1, 1))
    before, after = (contract.eras[contract.eras_at(None, day)[0]].rules[0] for day in days)
    assert before.event_time is not None
    assert after.event_time is not None
    assert (before.event_time.spec.shape, after.event_time.spec.shape) == ("epoch-ms", "epoch-us")
    assert (before.price, before.symbol) == (after.price, after.symbol)


def test_eras_out_of_order_are_refused(tmp_path: Path) -> None:
    text = GOOD.replace("samples:", "eras: [{since: 2023-01-01, trade: {size: r}}]\nsamples:")

    with pytest.raises(ConfigError, match="eras come in order"):
        read_contract(written(tmp_path, text))


def test_an_unknown_feed_is_refused_with_the_known_feeds() -> None:
    with pytest.raises(ConfigError, match="no feed 'nobody'; there are alpaca, "):
        load_contract("nobody")


SHARED_CODES = {("polygon-flat", 1): "3c7a2de327938d2e"}
"""Feeds that use the codes of another one, with their version, and the digest of these codes."""


def test_a_feed_that_shares_codes_gets_a_new_version_when_they_change() -> None:
    """`raw` keeps the decoded conditions beside the version, and a recompute decodes anew only if
    the version changed: raise the feed's version, and put its digest here.
    """
    for (feed, version), known in SHARED_CODES.items():
        contract = load_contract(feed)
        field = contract.trade.conditions
        assert field is not None
        assert field.codes is not None
        codes = json.dumps([sorted(field.codes.items()), field.others])
        digest = hashlib.sha256(codes.encode()).hexdigest()[:16]
        assert (contract.version, digest) == (version, known)
