"use strict";
// Draws candles, volume, indicators and marks of changed bars with Lightweight Charts. Fetches nothing.

const FIELDS = ["start", "open", "high", "low", "close", "volume", "vwap", "trades", "rev", "final"];
const MARK_SIZES = { price: [0.8, 1.3, 2], volume: [0.3, 0.6, 1] };
const FIRST_SHOWN = 200;
const MIN_PIXELS = 4;
const OLDER_WITHIN = 50;
const PANES = [6, 1.6, 2];

function isUp(bar) { return bar.close >= bar.open; }

export class CandleChart {
  constructor(host, { onPick, onPoint, onOlder }) {
    const L = LightweightCharts;
    this.host = host;
    this.bars = new Map();
    this.empty = new Set();
    this.values = new Map();
    this.changed = new Map();
    this.zone = "UTC";
    this.shown = [];
    this.lines = new Map();
    this.chart = L.createChart(host, {
      autoSize: true,
      layout: { attributionLogo: false, panes: { enableResize: false } },
      rightPriceScale: { visible: true },
      crosshair: { mode: L.CrosshairMode.Normal },
      timeScale: { timeVisible: true, secondsVisible: false, rightOffset: 3, minBarSpacing: 0.4,
        tickMarkFormatter: (time, type) => this.tick(time, type) },
      localization: { timeFormatter: (time) => this.clock(time, true) },
    });
    const band = { priceScaleId: "band", priceLineVisible: false, lastValueVisible: false,
      priceFormat: { type: "volume" }, autoscaleInfoProvider: () => ({ priceRange: { minValue: 0, maxValue: 1 } }) };
    this.band = this.chart.addSeries(L.HistogramSeries, band, 0);
    this.chart.priceScale("band", 0).applyOptions({ scaleMargins: { top: 0, bottom: 0 }, visible: false });
    this.ghost = this.chart.addSeries(L.CandlestickSeries, { priceLineVisible: false, lastValueVisible: false }, 0);
    this.candles = this.chart.addSeries(L.CandlestickSeries, { priceLineVisible: true, lastValueVisible: true }, 0);
    this.volume = this.chart.addSeries(L.HistogramSeries, { priceFormat: { type: "volume" }, priceLineVisible: false }, 1);
    this.marks = L.createSeriesMarkers(this.candles, []);
    this.restyle();
    this.chart.subscribeCrosshairMove((event) => this.point(event.time === undefined ? null : this.at(event.time), onPoint));
    this.chart.subscribeClick((event) => { const bar = this.at(event.time); if (bar) onPick(bar); });
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range && this.isMoved && range.from < OLDER_WITHIN) onOlder();
    });
    for (const name of ["wheel", "pointerdown", "touchstart"]) {
      host.addEventListener(name, () => { this.isMoved = true; }, { capture: true, passive: true });
    }
    host.addEventListener("keydown", (event) => this.key(event, onPick, onPoint));
    document.addEventListener("themechange", () => this.restyle(true));
    new MutationObserver(() => this.restyle(true)).observe(document.documentElement, { attributes: true });
  }

  // Colours come from the page's style sheet, so that both themes have one source.
  restyle(again) {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(`--${name}`).trim();
    this.color = Object.fromEntries(
      ["up", "down", "mark", "soft", "line", "front", "provisional", "sma_20", "sma_50", "ema_12", "ema_26",
        "bollinger_upper", "bollinger_lower", "session_vwap", "rsi_14", "macd", "macd_signal"].map((name) => [name, color(name)]));
    const { up, down } = this.color;
    this.chart.applyOptions({
      layout: { background: { type: "solid", color: "transparent" }, textColor: this.color.front,
        fontFamily: getComputedStyle(document.body).fontFamily, panes: { separatorColor: this.color.line } },
      grid: { vertLines: { color: this.color.line }, horzLines: { color: this.color.line } },
      rightPriceScale: { borderColor: this.color.line }, timeScale: { borderColor: this.color.line },
    });
    this.candles.applyOptions({ upColor: up, downColor: down, borderUpColor: up, borderDownColor: down, wickUpColor: up, wickDownColor: down });
    const clear = "rgba(0,0,0,0)";
    const { mark } = this.color;
    this.ghost.applyOptions({ upColor: clear, downColor: clear, borderUpColor: mark, borderDownColor: mark, wickUpColor: mark, wickDownColor: mark });
    if (again) { this.draw(); this.indicators(this.chosen ?? []); }
  }

  // Takes an answer of the server: `isNew` for another chart, else bars that are newer, older or changed.
  take(data, { isNew = false } = {}) {
    if (isNew) {
      this.bars.clear(); this.empty.clear(); this.values.clear(); this.changed.clear();
      this.data = data;
      this.hasView = false;
      this.isMoved = false;
      this.candles.applyOptions({ priceFormat: { type: "price", precision: data.decimals, minMove: 10 ** -data.decimals } });
      this.chart.applyOptions({ timeScale: { timeVisible: data.seconds > 0, secondsVisible: data.seconds > 0 && data.seconds < 60 } });
    }
    const names = Object.keys(data.indicators);
    if (!isNew && data.bars.length) this.forget(data);
    data.bars.forEach((row, number) => {
      const bar = Object.fromEntries(FIELDS.map((name, place) => [name, row[place]]));
      bar.seconds = Number(bar.start.slice(0, -9));
      this.bars.set(bar.seconds, bar);
      this.values.set(bar.seconds, Object.fromEntries(names.map((name) => [name, data.indicators[name][number]])));
      this.changed.delete(bar.seconds);
    });
    data.empty.forEach((seconds) => this.empty.add(seconds));
    for (const [start, mark] of Object.entries(data.changed)) this.changed.set(Number(start.slice(0, -9)), mark);
    this.data.missing = data.missing;
    this.draw();
    if (!this.hasView && this.bars.size) this.fit();
  }

  // Removes what an answer no longer has where it reaches: bars that lost all their trades, holes that were filled.
  forget(data) {
    const [first, last] = [data.bars[0][0], data.bars.at(-1)[0]].map((start) => Number(start.slice(0, -9)));
    const isOlder = this.ordered.length && last < this.ordered[0].seconds;
    const reaches = (seconds) => seconds >= first && (!isOlder || seconds <= last);
    for (const seconds of [...this.bars.keys()].filter(reaches)) this.bars.delete(seconds);
    for (const seconds of [...this.empty].filter(reaches)) this.empty.delete(seconds);
  }

  draw() {
    const seconds = [...this.bars.keys(), ...[...this.empty].filter((at) => !this.bars.has(at))].sort((a, b) => a - b);
    const offset = this.offsets(seconds);
    this.times = new Map();
    this.ordered = [];
    let last = -Infinity;
    let before;
    this.shown = seconds.map((at) => {
      const time = last = Math.max(at + offset(at), last + 1);  // a clock that is set back would repeat an hour
      const bar = this.bars.get(at);
      if (bar) { bar.time = time; bar.before = before; before = bar; this.ordered.push(bar); }
      this.times.set(time, { at, bar });
      return { time, bar };
    });
    const { up, down, provisional } = this.color;
    const only = (make) => this.shown.map(({ time, bar }) => (bar ? { time, ...make(bar) } : { time }));
    this.candles.setData(only((bar) => ({ open: bar.open, high: bar.high, low: bar.low, close: bar.close })));
    this.volume.setData(only((bar) => ({ value: bar.volume, color: isUp(bar) ? up : down })));
    this.band.setData(this.shown.filter(({ bar }) => bar && !bar.final).map(({ time }) => ({ time, value: 1, color: provisional })));
    this.marks.setMarkers(this.ordered.filter((bar) => this.changed.has(bar.seconds)).map((bar) => this.marker(bar)));
    for (const name of this.lines.keys()) this.line(name);
    if (this.pointed) this.pointed = this.bars.get(this.pointed.seconds) ?? null;
    this.host.dataset.bars = this.ordered.length;
    this.host.dataset.provisional = this.ordered.filter((bar) => !bar.final).length;
    this.host.dataset.empty = this.shown.length - this.ordered.length;
  }

  marker(bar) {
    const { kind, size } = this.changed.get(bar.seconds);
    const isPrice = kind === "price";
    return { time: bar.time, position: "aboveBar", shape: isPrice ? "arrowDown" : "circle",
      color: isPrice ? this.color.mark : this.color.soft, size: MARK_SIZES[kind][size - 1] };
  }

  fit() {
    this.hasView = true;
    const count = this.shown.length;
    const room = Math.max(20, Math.floor(this.host.clientWidth / MIN_PIXELS));
    const most = this.data.session ? count : Math.min(FIRST_SHOWN, room);
    if (count <= 40) this.chart.timeScale().setVisibleLogicalRange({ from: (count - 40) / 2, to: (count + 40) / 2 });
    else if (count <= most) this.chart.timeScale().fitContent();
    else this.chart.timeScale().setVisibleLogicalRange({ from: count - most, to: count + 3 });
  }

  indicators(chosen) {
    this.chosen = chosen;
    const L = LightweightCharts;
    for (const series of this.lines.values()) this.chart.removeSeries(series);
    this.lines.clear();
    for (const { names, below } of chosen) {
      for (const name of names) {
        if (![...this.values.values()].some((values) => values[name] != null)) continue;
        const style = { priceLineVisible: false, lastValueVisible: below, crosshairMarkerVisible: false };
        const pane = below ? 2 : 0;
        const series = name === "macd_histogram"
          ? this.chart.addSeries(L.HistogramSeries, style, pane)
          : this.chart.addSeries(L.LineSeries, { ...style, lineWidth: name === "session_vwap" ? 2 : 1, color: this.color[name] }, pane);
        if (name === "rsi_14") for (const price of [30, 70]) series.createPriceLine({ price, color: this.color.soft, lineWidth: 1, lineStyle: 2, axisLabelVisible: true, title: "" });
        this.lines.set(name, series);
        this.line(name);
      }
    }
    this.chart.panes().forEach((pane, number) => pane.setStretchFactor(PANES[number] ?? 1));
    this.host.dataset.lines = [...this.lines.keys()].join(" ");
    this.host.dataset.panes = this.chart.panes().length;
  }

  line(name) {
    const { up, down } = this.color;
    this.lines.get(name).setData(this.shown.map(({ time, bar }) => {
      const value = bar && this.values.get(bar.seconds)?.[name];
      if (value == null) return { time };
      return name === "macd_histogram" ? { time, value, color: value >= 0 ? up : down } : { time, value };
    }));
  }

  timezone(zone) {
    this.zone = zone;
    this.draw();
  }

  at(time) { return this.times?.get(time)?.bar; }

  point(bar, onPoint) {
    if (this.pointed === (bar ?? null)) return;  // drawing the ghost reports the same place again
    this.pointed = bar ?? null;
    const mark = bar && this.changed.get(bar.seconds);
    const before = mark && !mark.isNew ? mark.before : {};
    const has = Object.keys(before).some((name) => ["open", "high", "low", "close"].includes(name));
    this.ghost.setData(has ? [{ time: bar.time, open: bar.open, high: bar.high, low: bar.low, close: bar.close, ...before }] : []);
    onPoint(bar ?? this.ordered?.at(-1) ?? null, mark ?? (bar ? null : this.changed.get(this.ordered?.at(-1)?.seconds)));
  }

  key(event, onPick, onPoint) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Enter" && this.pointed) onPick(this.pointed);
    if (!step || !this.ordered?.length) return;
    event.preventDefault();
    const place = this.pointed ? this.ordered.indexOf(this.pointed) + step : this.ordered.length - 1;
    const bar = this.ordered[Math.min(this.ordered.length - 1, Math.max(0, place))];
    this.chart.setCrosshairPosition(bar.close, bar.time, this.candles);
    this.point(bar, onPoint);
  }

  // The offset of the zone at each instant, asked of the browser once an hour of the data.
  offsets(seconds) {
    if (this.zone === "UTC" || !seconds.length) return () => 0;
    const format = new Intl.DateTimeFormat("en-US", { timeZone: this.zone, hourCycle: "h23", year: "numeric", month: "numeric",
      day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" });
    const known = new Map();
    return (at) => {
      const hour = Math.floor(at / 3600);
      if (!known.has(hour)) {
        const part = Object.fromEntries(format.formatToParts(hour * 3600000).map(({ type, value }) => [type, Number(value)]));
        known.set(hour, Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second) / 1000 - hour * 3600);
      }
      return known.get(hour);
    };
  }

  clock(time, isFull) {
    const text = new Date(time * 1000).toISOString();
    if (!this.data?.seconds) return text.slice(0, 10);
    const clock = this.data.seconds < 60 ? text.slice(11, 19) : text.slice(11, 16);
    return isFull ? `${text.slice(0, 10)} ${clock}` : clock;
  }

  tick(time, type) {
    const text = new Date(time * 1000).toISOString();
    return [text.slice(0, 4), text.slice(0, 7), text.slice(5, 10), text.slice(11, 16), text.slice(11, 19)][type];
  }
}
