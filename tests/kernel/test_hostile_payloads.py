"""Hostile payloads: what DuckDB reads differently from the reference must not reach a trade."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from kernel.test_decode_agrees import assert_alike, by_kernel
from support.payloads import RECEIVED_NS, ReceivedPayload
from truetape.feeds.contract import load_contract

TRADE = {
    "kind": "trade", "symbol": "IBM", "venue": "XNYS", "id": "17", "sequence": 17,
    "event_time": "2026-11-20T14:31:10Z", "price": "100.00", "size": "100", "conditions": ["@"],
}  # fmt: skip
NUMBERS = (
    "NaN", "-NaN", "nan", "Infinity", "-Infinity", "1e2", "1E2", "1e02", "1e+2", "1e-2", "1e400",
    "1.", ".5", "01", "+1", "-0", "-0.0", "0", "0.0", "0.00001", "0.000000001", "0.0000000001",
    "123456789.123456789", "1234567890.12345678", "99999999.99999999", "0.123456789",
    "1.23456789012345678", "12345678901234567890", "123456789", "1234567890", "99999999999",
    "0.1234567890", "100.10", "100.1000000000", "1_000", "0x10", "١٢", "1 2", "true", "null",
    "[1]", '{"a":1}', '"1"', '"1.0"', '" 1"', '"1e2"', '"1e02"', '"007"', '""', '"1,5"', '"-1"',
    '"123456789.123456789"', '"1234567890.1"', '"0.1234567891"', '"9999999999.99999999"',
    '"1\\u0030"', '"½"', '"12345678901234567890.123456789012345678"', '"123456789012345678901"',
    "0.000000000000000001", '"0.0000000000000000019"', "1e-18", "1e-19", "1e19", "1e20", "0e99",
    "99999999999999999999.999999999999999999", '"99999999999999999999.9"', "100000000000000000000",
)  # fmt: skip


def with_literal(name: str, literal: str) -> bytes:
    """A trade in which one value is written as the given JSON text, valid or not."""
    return json.dumps(TRADE | {name: "@@"}).replace('"@@"', literal).encode()


def received(payload: bytes) -> ReceivedPayload:
    return ReceivedPayload(payload, received_ns=RECEIVED_NS)


@pytest.mark.parametrize(
    "name", ["price", "size", "sequence", "id", "event_time", "symbol", "tape"]
)
def test_numbers_are_read_alike_wherever_they_stand(name: str) -> None:
    assert_alike(
        load_contract("truetape"), [received(with_literal(name, text)) for text in NUMBERS]
    )


CONDITIONS = (
    "[]", "null", '["@","I"]', '["@" , "I"]', "[0,12]", "[1.50]", "[1.5]", "[01]", "[true]",
    "[null]", '["@",]', '[""]', '[" "]', '["@","@"]', '[["@"]]', '[{"a":1}]', '"@"', '"[1,2]"',
    '" [1,2]"', "{}", '"{}"', "12", '["é"]', '["\\u0040"]', '["a,b"]', '["a\\"b"]', "[1e2]",
)  # fmt: skip


def test_conditions_are_read_alike_however_they_are_written() -> None:
    asked = [received(with_literal("conditions", text)) for text in CONDITIONS]

    assert_alike(load_contract("truetape"), asked)


def shapes() -> Iterator[bytes]:
    whole = json.dumps(TRADE)
    inside = whole[1:-1]
    yield from (
        text.encode()
        for text in (
            f"{{{inside},}}", f"{{{inside},\t }}", f"{{,{inside}}}", f"{{{inside}}} x",
            f"{{{inside}}}{{{inside}}}", f"[{whole}]", f"\ufeff{whole}", f" \n{whole}\r\n ",
            f"\x0b{whole}", f"{whole}\x00", f"/**/{whole}", f"{{{inside},//\n}}",
            f'{{"price":"1",{inside}}}', f'{{{inside},"price":"1"}}',
            f'{{{inside},"price" : "1"}}', f'{{{inside},"pr\\u0069ce":"1"}}',
            f'{{{inside},"x":{{"price":"1"}}}}', f'{{"x":{{"price":"1"}},{inside}}}',
            f'{{{inside},"x":"\\"price\\":"}}', f'{{{inside},"Price":"1"}}',
            f'{{{inside},"":1}}', f'{{{inside},"x":[1,2,]}}', f'{{{inside},"x":[1,,2]}}',
            f'{{{inside},"x":NaN}}', f'{{{inside},"x":-Infinity}}', f'{{{inside},"x":1e5}}',
            f'{{{inside},"x":tru}}', f"{{{inside},'x':1}}", f'{{{inside},"x":"\t"}}',
            f'{{{inside},"x":{"[" * 30}{"]" * 30}}}', f'{{{inside},"x":{"[" * 31}{"]" * 31}}}',
            f'{{{inside},"x":{"[" * 32}{"]" * 32}}}', f'{{{inside},"x":{"[" * 5000}{"]" * 5000}}}',
            f'{{{inside},"x":{"[" * 20}{"]" * 20},"y":{"[" * 20}{"]" * 20}}}',
            f'{{{inside},"{"n" * 999}":1}}', f'{{{inside},"{"n" * 50_000}":1}}',
            f'{{{inside},"{"n" * 50_001}":1}}', f'{{{inside},"x":"{"v" * 60_000}"}}',
            "", " ", "null", "17", '"text"', "{}", "[]", "{", '{"kind":"trade"', inside,
        )
    )  # fmt: skip
    yield whole.encode().replace(b"IBM", b"I\xffM")
    yield whole.encode()[:-1] + b',"x":"\xed\xa0\x80"}'
    yield whole.encode().replace(b"IBM", b"\xef\xbc\xa9\xef\xbc\xa2\xef\xbc\xad")


def test_odd_json_is_read_alike() -> None:
    assert_alike(load_contract("truetape"), [received(payload) for payload in shapes()])


@pytest.mark.parametrize("feed", ["alpaca", "polygon", "finnhub", "kraken", "kraken-rest"])
def test_lists_that_hold_something_else_are_read_alike(feed: str) -> None:
    """Each sample, with one of its values or containers replaced by each of these."""
    contract = load_contract(feed)
    others = ("null", "[]", "{}", "1", '"x"', "[1]", "[[]]", "[{}]", '{"a":1}', '"[]"', '"{}"')
    asked = []
    for sample in contract.samples:
        parsed = json.loads(sample.payload)
        for changed in _replaced(parsed):
            text = json.dumps(changed)
            asked += [received(text.replace('"@@"', other).encode()) for other in others]

    assert len(asked) > 100
    assert_alike(contract, asked)


def _replaced(value: object) -> Iterator[object]:
    """Yield copies of a JSON value in which one value inside, or all of it, is a placeholder."""
    yield "@@"
    match value:
        case dict():
            for name, inner in value.items():
                yield from ({**value, name: changed} for changed in _replaced(inner))
        case list():
            for place, inner in enumerate(value):
                for changed in _replaced(inner):
                    yield [*value[:place], changed, *value[place + 1 :]]


def test_ordinary_records_beside_hostile_ones_stay_on_the_fast_lane() -> None:
    contract = load_contract("truetape")
    good = [received(json.dumps(TRADE | {"id": str(n)}).encode()) for n in range(200)]
    bad = [received(payload) for payload in shapes()]

    _, fast = by_kernel(contract, [*good, *bad])

    assert fast >= len(good)


LARGE = """
import resource, sys
sys.path[:0] = sys.argv[1:]
from kernel.test_decode_agrees import LIMITS, records_of
from support.payloads import ReceivedPayload
from truetape.feeds.contract import load_contract
from truetape.kernel.decode import decode
contract = load_contract("alpaca")
decode(records_of(contract, [ReceivedPayload(b"[]")]), contract, LIMITS)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for payload in (
    b"[" * 1_900_000,
    b"[" + b"{}," * 600_000 + b"{}]",
    b'[{"T":"t","S":"' + b"x" * 1_900_000 + b'"}]',
    b"9" * 10_000_000,
    b'"' + b"\\\\u0041" * 300_000 + b'"',
):
    decode(records_of(contract, [ReceivedPayload(payload)]), contract, LIMITS)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.real  # a quarter of a minute
def test_large_payloads_neither_end_the_process_nor_take_much_memory() -> None:
    """The careful lane holds one payload at a time, with a million records of up to a kilobyte."""
    done = subprocess.run(
        [sys.executable, "-c", LARGE, *sys.path],
        check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1_500_000  # kilobytes
