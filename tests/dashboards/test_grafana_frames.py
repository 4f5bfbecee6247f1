"""Annotated CSV becomes frames, by the rules in grafana/pkg/tsdb/influxdb/flux/builder.go."""

from support.grafana_frames import (
    Column,
    GrafanaFrame,
    QueryAnswer,
    drawn_rows,
    frames_of,
    is_too_long,
)

SERIES = """#group,false,false,false,false,true,true
#datatype,string,long,dateTime:RFC3339,double,string,string
#default,_result,,,,,
,result,table,_time,_value,_field,symbol
,,0,2026-11-20T17:00:00Z,1.5,close,IBM
,,0,2026-11-20T17:01:00Z,2.5,close,IBM
,,1,2026-11-20T17:00:00Z,7,close,KO

"""
TABLE = """#group,false,false,false,false,false,true
#datatype,string,long,string,dateTime:RFC3339,long,string
#default,_result,,,,,
,result,table,symbol,_time,rev,venue
,,0,IBM,2026-11-20T17:00:00Z,,XNYS

"""
ERROR = """#group,true,true
#datatype,string,string
#default,,
,error,reference
,runtime error: no such column,

"""


def test_a_series_is_named_by_its_field_and_keeps_its_tags_as_labels() -> None:
    first, second = frames_of(SERIES).frames

    assert [column.name for column in first.columns] == ["Time", "close"]
    assert (first.labels, second.labels) == ({"symbol": "IBM"}, {"symbol": "KO"})
    assert first.column("close").numbers == [1.5, 2.5]
    assert (first.rows, second.rows) == (2, 1)


def test_a_column_of_the_group_key_becomes_a_label_and_no_field() -> None:
    [frame] = frames_of(TABLE).frames

    assert [column.name for column in frame.columns] == ["_time", "symbol", "rev"], "times first"
    assert frame.labels == {"venue": "XNYS"}
    assert frame.column("rev").numbers == [None]


def test_an_error_after_rows_is_an_error() -> None:
    answer = frames_of(SERIES + ERROR)

    assert answer.error == "runtime error: no such column"
    assert answer.rows == 3
    assert frames_of("").frames == []


def test_a_chart_shows_at_most_its_points_and_a_stat_one_row() -> None:
    column = Column("close", "double", ["1.0"] * 160)
    answer = QueryAnswer([GrafanaFrame("bar", {}, [column])], "", 0)

    assert drawn_rows("timeseries", answer, 100) == 100
    assert drawn_rows("stat", answer, 100) == 1
    assert is_too_long(answer, 100)
    assert not is_too_long(answer, 107)
