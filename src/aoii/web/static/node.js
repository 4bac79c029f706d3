/* One node: followed as it grows, or any range of its past from the database. */

import { LIVE_SPANS_S, iso, ofNode } from "./address.js";
import { Chart } from "./chart.js";
import { $, fillRows, setText } from "./dom.js";
import { showFigures, showPresent } from "./figures.js";
import { Ranges } from "./ranges.js";
import { beliefLine, everyPoint, extremes, indexAt, insert, nothing } from "./series.js";

const FRAME_MS = 100; // at most ten drawings a second
const LEAST_PERIODS = 10; // the narrowest time axis
const TABLE_ROWS = 100;
const SPOKEN_MS = 5000; // how often the chart's description changes
const AGAIN_MS = 60000; // how often a long span that ends now is read again
const BESIDE_S = 3600; // what is followed while the past is shown

export class NodeView {
  constructor(app) {
    this.app = app;
    this.ranges = new Ranges(app, () => this.range);
    this.quantities = {
      temp: { column: 1, beta: "beta_temp", unit: " °C" },
      hum: { column: 2, beta: "beta_hum", unit: " %" },
    };
    this.charts = {};
    this.leave();
    for (const name of Object.keys(this.quantities)) {
      const point = (index, data) => this.readout(name, index, data);
      this.charts[name] = new Chart($(`${name}-chart`), () => app.voice, point, (from, to) => this.zoom(from, to));
    }
    $("table-panel").addEventListener("toggle", () => this.showTable());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.eachChart((chart) => chart.make()));
    document.addEventListener("visibilitychange", () => this.draw());
  }

  /* --- the view --- */

  wants() {
    const { node, span } = this.app.address;
    return { node, span: this.isLive() ? span : BESIDE_S };
  }

  leave() {
    this.asked?.abort();
    this.asked = null;
    this.node = null;
    this.present = null; // the summary of what is followed
    this.past = null; // what the database told of the range that is shown
    this.points = { samples: [], beliefs: [], packets: [] };
    this.belief = [];
    this.range = [0, 1];
    this.drawnAt = this.spokenAt = this.readAt = -Infinity;
    this.isZooming = false;
  }

  title() {
    return `${this.app.voice.words.node} ${this.node ?? ""}`;
  }

  isLive() {
    const { from, span } = this.app.address;
    return from === null && LIVE_SPANS_S.includes(span);
  }

  begin(content) {
    this.leave();
    this.node = content.node;
    this.points = { samples: content.samples, beliefs: content.beliefs, packets: content.packets };
    $("history-notice").hidden = true;
    $("nothing-there").hidden = true;
    setText($("range-told"), "");
    if (this.node === null) return;
    this.told(content);
    this.translate();
    if (!this.isLive()) this.read();
  }

  take(content) {
    let moved = false;
    for (const name of ["samples", "beliefs", "packets"]) {
      for (const point of content[name] || []) {
        insert(this.points[name], point);
        moved = true;
      }
    }
    this.told(content);
    if ((moved || content.summary) && this.isLive()) this.draw();
    if (!this.isLive() && this.app.address.from === null && performance.now() - this.readAt > AGAIN_MS) this.read();
  }

  /** The drawing has a size only now. */
  seen() {
    this.eachChart((chart) => chart.make());
    this.draw();
  }

  told(content) {
    if (content.summary) this.present = content.summary;
    if (content.previous !== undefined) this.showNeighbours(content);
    if (!this.present || (!content.summary && content.now_ms === undefined)) return;
    showPresent(this.app.voice, this.present, this.app.nowMs);
    if (this.isLive()) this.showShown(this.present);
  }

  translate() {
    this.ranges.show();
    if (this.node === null || !this.app.frame) return;
    const { voice } = this.app;
    this.spokenAt = -Infinity;
    setText($("node-name"), this.node);
    const betas = Object.values(this.quantities).map((quantity) => `±${this.app.frame[quantity.beta]}${quantity.unit}`);
    setText($("band"), voice.words.band(betas.join(" / ")));
    this.eachChart((chart) => chart.make());
    if (this.present) {
      showPresent(voice, this.present, this.app.nowMs);
      this.showNeighbours(this.neighbours ?? {});
    }
    if (this.isLive() && this.present) this.showShown(this.present);
    if (this.past) this.showPast();
    this.draw();
  }

  showNeighbours(content) {
    this.neighbours = content;
    for (const name of ["previous", "next"]) {
      const link = $(`node-${name}`);
      const node = content[name] ?? null;
      link.hidden = node === null;
      if (node === null) continue;
      link.href = ofNode(node);
      link.setAttribute("aria-label", this.app.voice.words[name](node));
      link.title = this.app.voice.words[name](node);
    }
  }

  eachChart(act) {
    Object.values(this.charts).forEach(act);
  }

  /* --- the past --- */

  zoom(from, to) {
    if (this.isZooming) return; // the other chart says the same
    this.isZooming = true;
    this.ranges.go(from, to);
  }

  async read() {
    const { address, nowMs } = this.app;
    const [from, to] = address.from === null ? [nowMs - address.span * 1000, nowMs] : [address.from, address.to];
    this.readAt = performance.now();
    this.range = [from, to];
    this.asked?.abort();
    const asked = (this.asked = new AbortController());
    $("charts").setAttribute("aria-busy", "true");
    if (!this.past) setText($("range-told"), this.app.voice.words.loading);
    const query = new URLSearchParams({ node: this.node, start: iso(from), end: iso(to) });
    let past = null;
    let reason = "";
    try {
      const answer = await fetch(`api/series?${query}`, { signal: asked.signal });
      const content = await answer.json();
      if (answer.ok) past = content;
      else reason = content.error;
    } catch (error) {
      if (error.name === "AbortError") return;
      reason = error.message;
    }
    if (asked !== this.asked) return;
    $("charts").removeAttribute("aria-busy");
    this.app.guarded(() => this.tell(past, reason));
  }

  tell(past, reason) {
    const { words } = this.app.voice;
    $("history-notice").hidden = past !== null;
    if (past === null) {
      setText($("history-notice"), words.historyFailed(reason));
      if (!this.past) setText($("range-told"), "");
      return;
    }
    this.past = past;
    this.showPast();
    this.draw();
  }

  showPast() {
    const { voice } = this.app;
    const { words } = voice;
    const { past } = this;
    const isEmpty = !past.summary;
    $("nothing-there").hidden = !isEmpty;
    const samples = voice.whole(past.exact ? past.samples.length : past.summary.samples);
    const packets = voice.whole(past.exact ? past.packets.length : past.summary.packets);
    const width = past.exact ? "" : voice.span(past.width_s);
    setText($("range-told"), isEmpty ? "" : past.exact ? words.everyPoint(samples, packets) : words.everyColumn(samples, packets, width));
    const none = { packets: 0, periodic: 0, start_ms: null, aoii: null, logged: false };
    this.showShown(past.summary ?? none);
  }

  /* --- drawing --- */

  draw() {
    if (this.isDrawing || document.hidden) return;
    this.isDrawing = true;
    const wait = Math.max(0, this.drawnAt + FRAME_MS - performance.now());
    setTimeout(() => requestAnimationFrame(() => this.app.guarded(() => this.drawNow())), wait);
  }

  drawNow() {
    this.isDrawing = false;
    this.drawnAt = performance.now();
    if (!this.app.frame || this.node === null) return;
    if (this.isLive()) this.drawLive();
    else if (this.past) this.drawPast();
    else this.eachChart((chart) => chart.draw(nothing(), this.range.map((ms) => ms / 1000), []));
    this.describe();
    this.showTable();
  }

  drawLive() {
    const { points } = this;
    const { frame } = this.app;
    const lists = Object.values(points);
    const endMs = Math.max(...lists.map((list) => list.at(-1)?.[0] ?? -Infinity));
    if (!Number.isFinite(endMs)) {
      this.eachChart((chart) => chart.draw(nothing(), [0, 1], []));
      return;
    }
    const startMs = endMs - frame.span_s * 1000;
    for (const list of lists) list.splice(0, indexAt(list, startMs - 1) + 1);
    const firstMs = Math.min(...lists.map((list) => list[0]?.[0] ?? Infinity));
    this.range = [Math.min(firstMs, endMs - LEAST_PERIODS * frame.period_s * 1000), endMs];
    this.drawPoints(points, this.present?.wrong_spans || []);
  }

  drawPast() {
    const { past, range } = this;
    if (past.exact) {
      this.drawPoints(past, past.summary?.wrong_spans || []);
      return;
    }
    this.belief = [];
    const arrived = past.summary.logged ? [] : past.arrived;
    for (const [name, { column }] of Object.entries(this.quantities)) {
      this.charts[name].draw(extremes(past.measured, arrived, column), range.map((ms) => ms / 1000), []);
    }
  }

  drawPoints(points, wrong) {
    const { frame } = this.app;
    const periodMs = frame.period_s * 1000;
    this.belief = beliefLine(points.beliefs, points.packets, points.samples, periodMs, frame.silent_after_s * 1000);
    const range = this.range.map((ms) => ms / 1000);
    for (const [name, { column, beta }] of Object.entries(this.quantities)) {
      this.charts[name].draw(everyPoint(points, this.belief, column, frame[beta], periodMs), range, wrong);
    }
  }

  /* --- words --- */

  /** Figures and legend of the time that is shown. */
  showShown(summary) {
    const { voice, frame } = this.app;
    const { words } = voice;
    showFigures(voice, summary, frame);
    const isLong = !this.isLive() && this.past && !this.past.exact;
    const coarse = frame.coarse && summary.logged && !isLong ? ` ${words.coarse}` : "";
    const source = isLong ? words.fromColumns(voice.span(this.past.width_s)) : summary.logged ? words.fromLog : words.fromPackets;
    setText($("source-note"), source + coarse);
    const has = {
      actual: summary.logged && !isLong,
      extremes: summary.logged && isLong,
      belief: !isLong,
      band: !isLong,
      sent: !isLong,
      heartbeat: !isLong,
      arrived: !summary.logged && isLong,
      wrong: (summary.wrong_spans || []).length > 0,
    };
    for (const [name, isThere] of Object.entries(has)) $("legend").querySelector(`.${name}`).hidden = !isThere;
  }

  /** The charts in words, for those who do not see them; not so often that it would be noise. */
  describe() {
    if (performance.now() - this.spokenAt < SPOKEN_MS) return;
    this.spokenAt = performance.now();
    const { voice, address } = this.app;
    const { words } = voice;
    const range = address.from === null ? words.lastSpan(voice.span(address.span)) : words.fromTo(...this.range.map(voice.full));
    for (const [name, quantity] of Object.entries(this.quantities)) {
      const title = $(`${name}-title`).textContent;
      const { values, packets } = this.shownValues(quantity.column);
      const text = values.length
        ? words.chart(title, this.node, range, voice.tenth(least(values)), voice.tenth(-least(values.map((value) => -value))), packets)
        : words.chartEmpty(title, this.node);
      $(`${name}-chart`).setAttribute("aria-label", text);
    }
  }

  shownValues(column) {
    const points = this.isLive() ? this.points : this.past;
    if (!points) return { values: [], packets: 0 };
    if (points.exact === false) {
      const shown = (points.measured.length ? points.measured : points.arrived).filter((point) => point[1] !== null);
      return { values: shown.flatMap((point) => point.slice(2 * column - 1, 2 * column + 1)), packets: points.summary.packets };
    }
    const shown = points.samples.length ? points.samples : points.packets;
    return { values: shown.map((point) => point[column]), packets: points.packets.length };
  }

  readout(name, index, data) {
    const { column, unit } = this.quantities[name];
    const { voice, frame } = this.app;
    const at = index === null ? undefined : data[0][index];
    if (at === undefined || !frame) {
      setText($(`${name}-readout`), "");
      return;
    }
    const ms = at * 1000;
    const written = (value) => (value === undefined || value === null ? "–" : voice.hundredth(value) + unit);
    if (!this.isLive() && this.past && !this.past.exact) {
      const [high, low] = [7, 8].map((series) => data[series][index] ?? data[series + 2][index]);
      setText($(`${name}-readout`), voice.words.readoutExtremes(voice.full(ms), written(low), written(high)));
      return;
    }
    const points = this.isLive() ? this.points : this.past ?? this.points;
    const near = (list) => list[indexAt(list, ms)];
    const sample = near(points.samples);
    const known = sample && ms - sample[0] < 2 * frame.period_s * 1000 ? sample : null;
    const text = voice.words.readout(voice.full(ms), written(known?.[column]), written(near(this.belief)?.[column]));
    setText($(`${name}-readout`), text);
  }

  /* --- the tables --- */

  showTable() {
    const { voice } = this.app;
    const isLong = !this.isLive() && this.past?.exact === false;
    $("packet-table").hidden = isLong;
    $("column-table").hidden = !isLong;
    setText($("table-name"), isLong ? voice.words.columnsAsTable : voice.words.asTable);
    if (!$("table-panel").open) return;
    if (isLong) {
      const shown = this.past.summary.logged ? this.past.measured : this.past.arrived;
      const starts = shown.filter((point, place) => point[1] !== null && String(point.slice(1)) !== String(shown[place - 1]?.slice(1)));
      fillRows($("column-rows"), starts.map((point) => [voice.full(point[0]), ...point.slice(1, 5).map(voice.hundredth)]));
      return;
    }
    const packets = (this.isLive() ? this.points : this.past ?? this.points).packets.slice(-TABLE_ROWS).reverse();
    const { kinds } = voice.words;
    fillRows($("packet-rows"), packets.map(([ms, temp, hum, predTemp, predHum, kind, qos]) => [
      voice.full(ms), kinds[kind] || kind, ...[temp, predTemp, hum, predHum].map(voice.hundredth), String(qos),
    ]));
  }
}

function least(values) {
  return values.reduce((low, value) => Math.min(low, value), Infinity);
}
