"""The file log names the first files of each kind and counts the others."""

from truetape.feeds.file_log import FileLog


def test_the_first_names_are_shown_and_the_others_counted() -> None:
    log, other = FileLog(), FileLog(empty=["g"])
    for name in "abcdef":
        log.empty.append(name)
    log.skip("n.md", "a note")
    other.skip("m.md", "a note")
    log.add(other)

    assert list(log.lines()) == [
        "skipped, a note: n.md, m.md",
        "without a record: a, b, c, d, e and 2 more",
    ]


def test_a_name_that_is_no_text_is_shown_as_far_as_it_is() -> None:
    assert list(FileLog(empty=["a\udcff.csv"]).lines()) == ["without a record: a?.csv"]
