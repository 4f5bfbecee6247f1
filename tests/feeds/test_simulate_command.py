"""`truetape simulate`: files that add up, the same every time."""

import gzip
import json
from pathlib import Path

from click.testing import CliRunner

from truetape.errors import ConfigError
from truetape.feeds.commands import simulate

ARGS = ["--date", "2026-11-20", "--trades", "300", "--malformed", "0.01"]


def test_the_same_arguments_write_the_same_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        files = ["--out", f"{folder}/o.gz", "--truth", f"{folder}/t", "--troubles", f"{folder}/w"]
        assert CliRunner().invoke(simulate, [*ARGS, *files]).exit_code == 0

    for name in ("o.gz", "t", "w"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    records = gzip.decompress((tmp_path / "a" / "o.gz").read_bytes()).splitlines()
    troubles = [json.loads(line) for line in (tmp_path / "a" / "w").read_text().splitlines()]
    truth = [json.loads(line) for line in (tmp_path / "a" / "t").read_text().splitlines()]
    more = sum(item["cause"] in ("duplicate", "cancel", "correction") for item in troubles)
    gone = sum(item["cause"] in ("cancel", "bad-clock") for item in troubles)
    assert len(records) == 300 + 3 + more
    assert len(truth) == 300 - gone


def test_payloads_go_to_standard_output_and_words_to_standard_error() -> None:
    done = CliRunner().invoke(simulate, [*ARGS, "--feed", "binance", "--no-faults"])

    assert done.exit_code == 0
    assert "records;" in done.stderr
    assert sum('"aggTrade"' in line for line in done.stdout.splitlines()) >= 300


def test_a_rate_and_a_duration_make_the_number_of_prints() -> None:
    args = ["--date", "2026-11-20", "--rate", "50", "--duration", "4", "--no-faults"]
    done = CliRunner().invoke(simulate, args)

    assert len(done.stdout.splitlines()) == 200


def test_what_cannot_be_done_is_a_config_error(tmp_path: Path) -> None:
    for args in ([], ["--date", "2026-11-20", "--rate", "5"], [*ARGS, "--out", f"{tmp_path}/x/y"]):
        assert isinstance(CliRunner().invoke(simulate, args).exception, ConfigError), args
