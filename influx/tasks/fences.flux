// the fence of each venue, up to which windows belong to the batch layer; it never comes down
fences = from(bucket: "@pipeline@")
    |> range(start: 1970-01-01T00:00:00Z, stop: 2100-01-01T00:00:00Z)
    |> filter(fn: (r) => r._measurement == "boundary" and r._field == "fence_ns")
    |> group(columns: ["venue"])
    |> max()
    |> group()

fence_at = (venue) => (fences |> filter(fn: (r) => r.venue == venue) |> findRecord(fn: (key) => true, idx: 0))._value

fence_of = dict.fromList(
    pairs: array.concat(
        arr: [{key: "", value: 0}],
        v: array.map(
            arr: fences |> findColumn(fn: (key) => true, column: "venue"),
            fn: (x) => ({key: x, value: fence_at(venue: x)}),
        ),
    ),
)

is_open = (r) => int(v: r._time) >= dict.get(dict: fence_of, key: r.venue, default: 0)
