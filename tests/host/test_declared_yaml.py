"""Declared YAML: scalars arrive as they were written, and every error names its place."""

from pathlib import Path

import pytest

from truetape.host.declared_yaml import Declared, Flag, Text, Whole, read
from truetape.host.errors import ConfigError


class Example(Declared):
    text: Text = "absent"
    flag: Flag = False
    whole: Whole = 0
    texts: tuple[Text, ...] = ()
    codes: dict[str, Text] | None = None


def example(folder: Path, content: str) -> Example:
    path = folder / "example.yaml"
    path.write_text(content)
    return read(path, Example)


@pytest.mark.parametrize(
    "written", ["on", "yes", "~", "null", "1_000", "2025-01-01", "0x10", "1.50", "'1.50'"], ids=str
)
def test_a_text_is_what_was_written(tmp_path: Path, written: str) -> None:
    assert example(tmp_path, f"text: {written}\n").text == written.strip("'")


def test_keys_are_texts_too(tmp_path: Path) -> None:
    codes = example(tmp_path, "codes: {1: a, on: b, '': c}\n").codes

    assert codes == {"1": "a", "on": "b", "": "c"}


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("text: a\ntext: b\n", 2, "text is there twice, first in line 1"),
        ("codes:\n  a: b\n  a: c\n", 3, "codes.a is there twice, first in line 2"),
        ("? [a]\n: b\n", 1, "? has a key that is no text"),
        ("text: a\nother: b\n", 2, "other is not known; known are text, flag, whole"),
        ("text:\n", 1, "text must be a text"),
        ("text: [a]\n", 1, "text must be a text"),
        ("flag: yes\n", 1, "flag is 'yes'; write true or false"),
        ("flag: {}\n", 1, "flag must be a text"),
        ("whole: -1\n", 1, "whole is '-1'; write a whole number from 0"),
        ("whole: 1.0\n", 1, "whole is '1.0'; write a whole number from 0"),
        ("texts: a\n", 1, "texts must be a list"),
        ("texts:\n  - a\n  - []\n", 3, "texts.1 must be a text"),
        ("codes: [a]\n", 1, "codes must be a mapping"),
        ("whole: x\n\nflag: y\n", 1, "whole is 'x'"),
        ("- a\n", 1, "the file must be a mapping"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_an_error_names_file_line_and_field(
    tmp_path: Path, content: str, line: int, reason: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        example(tmp_path, content)

    assert str(raised.value).startswith(f"{tmp_path / 'example.yaml'}, line {line}: {reason}")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("texts: " + "[" * 10_000 + "]" * 10_000, "nested too deeply"),
        ("texts: &a [*a]\n", "nested too deeply"),
        ("texts: [" + "a," * 100_001 + "]\n", "more than 100000"),
        ("#" * 1_000_001, "at most 1000000 are read"),
    ],
    ids=["deep", "in itself", "many values", "large"],
)
def test_a_file_beyond_the_limits_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        example(tmp_path, content)


def test_aliases_of_aliases_are_refused_before_they_fill_the_memory(tmp_path: Path) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]

    with pytest.raises(ConfigError, match="more than 100000 values"):
        example(tmp_path, "\n".join(levels))
