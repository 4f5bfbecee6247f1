// Provisional @width@ bars, added up from the served minutes, between two publications. Final ones come from
// the batch layer and are never touched: a window below its venue's fence, or with a final row, is left alone.
// Each run makes the last windows anew, as far back as `reach`: what comes late is repaired by that overlap.
// Words in @...@ are filled in by truetape when it gives this task to InfluxDB; docs/adr/0024-roll-ups.md.
import "array"
import "date"
import "dict"
import "influxdata/influxdb"

option task = {name: "@name@", every: @every@, offset: @offset@}

// whole windows, whenever the run was scheduled; the last one is still going on
stop = date.add(d: @width@, to: date.truncate(t: now(), unit: @width@))
start = date.sub(d: @reach@, from: stop)

minutes = (field) => from(bucket: "@source@")
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "bar" and r._field == field)

// a void minute has the price 0 and no part in a wider bar
priced = (field) => minutes(field: field)
    |> filter(fn: (r) => r._value > 0.0)

rolled = (field, fn, tables=<-) => tables
    |> aggregateWindow(every: @width@, fn: fn, createEmpty: false, timeSrc: "_start")
    |> set(key: "_field", value: field)
    |> toFloat()

// the VWAP of a window weighs those of its minutes; a minute without priced volume has 0 and no weight
weighed = () => from(bucket: "@source@")
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "bar" and (r._field == "vwap" or r._field == "volume"))
    |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
    |> filter(fn: (r) => r.vwap > 0.0)

turnover = weighed()
    |> map(fn: (r) => ({r with _value: r.vwap * r.volume}))
    |> rolled(field: "turnover", fn: sum)

weight = weighed()
    |> map(fn: (r) => ({r with _value: r.volume}))
    |> rolled(field: "weight", fn: sum)

locked = from(bucket: "@target@")
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "bar" and r._field == "final" and r._value == true)
    |> toFloat()
    |> set(key: "_field", value: "locked")

@fences@

union(
    tables: [
        priced(field: "open") |> rolled(field: "open", fn: first),
        priced(field: "high") |> rolled(field: "high", fn: max),
        priced(field: "low") |> rolled(field: "low", fn: min),
        priced(field: "close") |> rolled(field: "close", fn: last),
        minutes(field: "volume") |> rolled(field: "volume", fn: sum),
        minutes(field: "trades") |> rolled(field: "trades", fn: sum),
        minutes(field: "seq") |> rolled(field: "seq", fn: first),
        turnover,
        weight,
        locked,
    ],
)
    |> group()
    |> pivot(rowKey: ["_measurement", "_time", "symbol", "venue"], columnKey: ["_field"], valueColumn: "_value")
    |> filter(fn: (r) => exists r.open and not exists r.locked and is_open(r: r))
    |> map(
        fn: (r) => ({
            _time: r._time,
            _measurement: r._measurement,
            symbol: r.symbol,
            venue: r.venue,
            open: r.open,
            high: r.high,
            low: r.low,
            close: r.close,
            volume: r.volume,
            vwap: if exists r.weight and r.weight > 0.0 then r.turnover / r.weight else 0.0,
            trades: int(v: r.trades),
            rev: 0,
            seq: int(v: r.seq) / @minutes@,
            layer: "speed",
            final: false,
            void: false,
        }),
    )
    |> group(columns: ["_measurement", "symbol", "venue"])
    |> influxdb.wideTo(bucket: "@target@")
