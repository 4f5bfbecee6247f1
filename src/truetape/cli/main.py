"""The `truetape` command: lists the verbs, runs one of them, turns errors into exit codes.

Imports the module of a verb only when the verb runs.
"""

import importlib
import os
import select
import sys
from typing import NoReturn

import click

from truetape import __version__
from truetape.host import log
from truetape.host.errors import TransientError, TruetapeError
from truetape.host.storage import storage_errors

COMMANDS = {
    "event-time": ("truetape.cli.event_time:event_time", "Parse raw event times, one a line."),
    "decode": ("truetape.cli.decode:decode", "Decode payloads into native trades."),
    "simulate": ("truetape.cli.simulate:simulate", "Simulate a session of trades, with its truth."),
    "bars": ("truetape.cli.bars:bars", "Fold trade files into bars, without servers."),
    "feed": ("truetape.cli.feed:feed", "List, show, check and begin the contracts of feeds."),
    "stack": ("truetape.cli.stack:stack", "Start, stop and inspect the local servers."),
    "deploy": ("truetape.cli.deploy:deploy", "Prepare and check the stack in containers."),
    "replay": ("truetape.cli.replay:replay", "Send trade files through the whole pipeline."),
    "demo": ("truetape.cli.demo:demo", "Show the whole system on a simulated session."),
    "speed": ("truetape.cli.speed:speed", "Start, stop, supervise and inspect the speed layer."),
    "archive": ("truetape.cli.archive:archive", "Append new Kafka records to the lake."),
    "backfill": (
        "truetape.cli.backfill:backfill",
        "Fetch missing records from Kafka.",
    ),
    "recompute": ("truetape.cli.recompute:recompute", "Recompute one session's bars exactly."),
    "lake": ("truetape.cli.lake:lake", "Upgrade the lake of an older version."),
    "quality": ("truetape.cli.quality:quality", "Check a session with the gate rules; see trends."),
    "publish": (
        "truetape.cli.publish:publish",
        "Make a session final: served = recomputed.",
    ),
    "repair": ("truetape.cli.repair:repair", "Recompute and publish dirty sessions."),
    "verify": ("truetape.cli.verify:verify", "Compare served bars with recomputed ones."),
    "drift": ("truetape.cli.drift:drift", "Show what publications changed, and why."),
    "explain": (
        "truetape.cli.explain:explain",
        "Show which trades made one bar, and why.",
    ),
    "status": ("truetape.cli.status:status", "Show whether the served bars are complete."),
    "show": ("truetape.cli.show:show", "Print or plot served bars of a symbol."),
    "export": ("truetape.cli.export:export", "Write bars or trades to a file."),
}


class _Verbs(click.Group):
    """Lists every verb without importing it, so that `--help` answers at once."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the verb. Exit silently if the reader of stdout closed it, as `head` does.

        Click alone would do so for every broken pipe, also for one to a server.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            if not _reader_is_gone():
                raise TransientError(
                    f"the other end closed a connection: {error}; run this again"
                ) from error
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # discard the rest
            ctx.exit(0)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in COMMANDS.items()])


def _reader_is_gone() -> bool:
    """True if the reader of stdout has closed it."""
    output = select.poll()
    output.register(sys.stdout, select.POLLOUT)
    return any(event & select.POLLERR for _, event in output.poll(0))


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Write the log to stderr.")
@click.version_option(__version__, prog_name="truetape")
def truetape(verbose: bool) -> None:
    """Market bars that show whether they are final, which trades made them, and why they changed.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 65 the bars read back differ, 66 the quality gate
    is closed, 75 a server was away (try again), 78 a setting or file must be changed first.
    `status` also has 3 and 4.
    """
    log.configure(verbose=verbose)


def main() -> NoReturn:
    """Run the command line. Expected errors become one line on stderr and an exit code."""
    try:
        with storage_errors():
            result = truetape(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)
    except TruetapeError as error:
        click.echo(f"truetape: {error}", err=True)
        sys.exit(error.exit_code)
    sys.exit(result if isinstance(result, int) else 0)  # click returns the code of `ctx.exit`


if __name__ == "__main__":
    main()
