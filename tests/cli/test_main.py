"""How the command line handles broken pipes."""

import subprocess
import sys

VERB = """
import click, errno, sys
from truetape.cli import main as cli

@click.command()
def verb():
    {body}

cli.COMMANDS["verb"] = ("verb:verb", "")
sys.modules["verb"] = sys.modules["__main__"]
sys.argv = ["truetape", "verb"]
cli.main()
"""
PRINTS_LINES = VERB.format(body="[click.echo(number) for number in range(100_000)]")
LOSES_ITS_SERVER = VERB.format(body='raise BrokenPipeError(errno.EPIPE, "Broken pipe")')


def test_a_verb_exits_silently_with_0_when_its_reader_closes_stdout() -> None:
    verb = subprocess.Popen(
        [sys.executable, "-c", PRINTS_LINES],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert verb.stdout is not None
    assert verb.stderr is not None
    with verb.stdout, verb.stderr:
        assert verb.stdout.readline() == "0\n"
        verb.stdout.close()
        assert (verb.stderr.read(), verb.wait(timeout=60)) == ("", 0)


def test_a_broken_pipe_to_a_server_fails_with_exit_code_75() -> None:
    verb = subprocess.run(
        [sys.executable, "-c", LOSES_ITS_SERVER],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert verb.returncode == 75
    assert "the other end closed a connection" in verb.stderr
