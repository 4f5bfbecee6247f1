// Provisional moving averages of @width@ bars between two publications: of the last 20 and 50 bars, over nights.
// Rows below a venue's fence are the batch layer's and are left alone.
// Words in @...@ are filled in by truetape when it gives this task to InfluxDB; docs/adr/0024-roll-ups.md.
import "array"
import "date"
import "dict"
import "influxdata/influxdb"

option task = {name: "@name@", every: @every@, offset: @offset@}

stop = date.add(d: @width@, to: date.truncate(t: now(), unit: @width@))
start = date.sub(d: @reach@, from: stop)

// 50 bars lie further back than the windows that are written: a night and a long weekend have none
closes = () => from(bucket: "@target@")
    |> range(start: date.sub(d: @warm_up@, from: stop), stop: stop)
    |> filter(fn: (r) => r._measurement == "bar" and r._field == "close")
    |> filter(fn: (r) => r._value > 0.0)

series = (r) => r.venue + " " + r.symbol

// of fewer bars than n, movingAverage gives the mean of all: a series that is that short has no average yet
short = (n) => closes()
    |> count()
    |> filter(fn: (r) => r._value < n)
    |> group()
    |> map(fn: (r) => ({key: series(r: r)}))
    |> findColumn(fn: (key) => true, column: "key")

average = (n, field) => {
    too_short = short(n: n)

    return closes()
        |> movingAverage(n: n)
        |> filter(fn: (r) => r._time >= start and not contains(value: series(r: r), set: too_short))
        |> set(key: "_field", value: field)
}

@fences@

union(tables: [average(n: 20, field: "sma_20"), average(n: 50, field: "sma_50")])
    |> group()
    |> pivot(rowKey: ["_time", "symbol", "venue"], columnKey: ["_field"], valueColumn: "_value")
    |> filter(fn: (r) => is_open(r: r))
    |> map(fn: (r) => ({r with _measurement: "indicator", rev: 0, void: false}))
    |> group(columns: ["_measurement", "symbol", "venue"])
    |> influxdb.wideTo(bucket: "@target@")
