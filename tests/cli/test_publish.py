"""Which options of `publish` ask for what; what a publication does is tested where it is made."""

import pytest
from click.testing import CliRunner

from truetape.cli.main import truetape
from truetape.pipeline import publish

SESSION = ("--venue", "XNYS", "--session", "2026-11-20")


class StopError(Exception):
    """The publication would begin here."""


@pytest.mark.parametrize(
    ("options", "replaces"),
    [
        ((), False),
        (("--reason", "late trades"), False),
        (("--reason", "late trades", "--begin"), False),
        (("--reason", "late trades", "--replace-revert"), True),
    ],
    ids=["alone", "with a reason", "with another option", "asked for"],
)
def test_only_its_own_option_replaces_a_revert(
    monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], replaces: bool
) -> None:
    asked: list[bool] = []

    def publish_once(*_: object, options: publish.PublishOptions) -> None:
        asked.append(options.supersedes)
        raise StopError

    monkeypatch.setattr(publish, "publish_once", publish_once)

    done = CliRunner().invoke(truetape, ["publish", *SESSION, *options])

    assert isinstance(done.exception, StopError), done.output
    assert asked == [replaces]


def test_a_revert_replaces_an_older_one_without_being_asked() -> None:
    words = ("--rev", "1", "--replace-revert", "--reason", "late trades")

    done = CliRunner().invoke(truetape, ["publish", *SESSION, *words])

    assert done.exit_code == 2
    assert "give --rev or --replace-revert" in done.output
