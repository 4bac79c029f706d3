/* One quantity over event time: the measured line, the gateway's belief with its band, and the moments of sending; of a long
   range the extremes. Dragging across it asks for the range between. */

import { nothing } from "./series.js";

const uPlot = window.uPlot;
const AXIS_FONT_PX = 12;
const DRAG_PX = 8; // a shorter one was a click
const DOT_PX = [3, 8]; // smallest and largest; many dots get smaller, or they would hide the lines

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function font() {
  return `${AXIS_FONT_PX}px ${getComputedStyle(document.body).fontFamily}`;
}

export class Chart {
  /**
   * @param {HTMLElement} host where it is drawn
   * @param {() => object} voice the present language, see words.js
   * @param {(index: number | null, data: object) => void} onPoint told which column of the data the cursor is at
   * @param {(fromMs: number, toMs: number) => void} onZoom told what was dragged across
   */
  constructor(host, voice, onPoint, onZoom) {
    this.host = host;
    this.voice = voice;
    this.onPoint = onPoint;
    this.onZoom = onZoom;
    this.wrongSpans = [];
    this.range = [0, 1];
    this.data = nothing();
    this.plot = null;
    this.make();
    new ResizeObserver(() => host.clientWidth && this.plot.setSize(this.size())).observe(host);
  }

  /** Draw these columns (see series.js) between two instants, Unix s. */
  draw(data, range, wrongSpans) {
    this.data = data;
    this.range = range;
    this.wrongSpans = wrongSpans;
    this.sizeDots();
    this.plot.setData(data);
  }

  /** Make it anew, in the present colours and language. */
  make() {
    this.plot?.destroy();
    this.plot = new uPlot(this.options(), this.data, this.host);
    this.sizeDots();
  }

  sizeDots() {
    const shown = this.data[9].length && this.data[9].some((value) => value !== undefined) ? this.data[9] : this.data[5];
    const dots = shown.reduce((count, value) => count + (value === undefined ? 0 : 1), 1);
    const [least, most] = DOT_PX;
    const size = Math.min(most, Math.max(least, (0.65 * this.host.clientWidth) / dots));
    for (const series of this.plot.series.slice(5)) series.points.size = size;
  }

  size() {
    return { width: Math.max(this.host.clientWidth, 120), height: Math.max(this.host.clientHeight, 120) };
  }

  options() {
    const line = (name, width) => ({ stroke: colour(name), width, points: { show: false } });
    const edge = { stroke: "transparent", width: 0, points: { show: false } };
    const sent = (fill) => ({
      stroke: colour("sent"),
      paths: () => null,
      points: { show: true, width: 2, stroke: colour("sent"), fill },
    });
    const axis = { stroke: colour("muted"), font: font(), ticks: { show: false }, grid: { stroke: colour("line"), width: 1 } };
    return {
      ...this.size(),
      padding: [8, 22, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: true, y: false, setScale: false, dist: DRAG_PX }, points: { show: false }, sync: { key: "aoii" } },
      scales: { x: { range: () => this.range }, y: { range: (plot, low, high) => padded(low, high) } },
      axes: [
        { ...axis, size: 42, space: 72, grid: { show: false }, values: (plot, splits) => this.times(splits) },
        { ...axis, size: 52, space: 30, values: (plot, splits) => this.numbers(splits) },
      ],
      series: [
        {}, line("actual", 3.5), line("belief", 1.75), edge, edge, sent(colour("sent")), sent(colour("panel")),
        line("actual", 1.5), line("actual", 1.5), sent(colour("sent")), sent(colour("sent")),
      ],
      bands: [{ series: [3, 4], fill: colour("band") }, { series: [7, 8], fill: colour("extremes") }],
      hooks: {
        drawAxes: [(plot) => this.drawWrong(plot)],
        setSelect: [(plot) => this.dragged(plot)],
        setCursor: [(plot) => this.onPoint(plot.cursor.idx ?? null, plot.data)],
      },
    };
  }

  dragged(plot) {
    const { left, width } = plot.select;
    if (width < DRAG_PX) return;
    const [from, to] = [left, left + width].map((px) => plot.posToVal(px, "x") * 1000);
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.onZoom(from, to);
  }

  /** A strip along the lower edge wherever the gateway was wrong. */
  drawWrong(plot) {
    const { ctx, bbox } = plot;
    const height = 6 * devicePixelRatio;
    ctx.save();
    ctx.fillStyle = colour("wrong");
    for (const [from, to] of this.wrongSpans) {
      const left = Math.max(plot.valToPos(from / 1000, "x", true), bbox.left);
      const right = Math.min(plot.valToPos(to / 1000, "x", true), bbox.left + bbox.width);
      if (right > left) ctx.fillRect(left, bbox.top + bbox.height - height, Math.max(right - left, 2), height);
    }
    ctx.restore();
  }

  times(splits) {
    const { clock, day } = this.voice();
    let shown = "";
    return splits.map((seconds) => {
      const date = day(seconds * 1000);
      const text = date === shown ? clock(seconds * 1000) : `${clock(seconds * 1000)}\n${date}`;
      shown = date;
      return text;
    });
  }

  numbers(splits) {
    const voice = this.voice();
    const fine = splits.some((value) => value % 1);
    return splits.map((value) => (fine ? voice.tenth(value) : voice.whole(value)));
  }
}

function padded(low, high) {
  if (low === null || high === null) return [0, 1];
  const room = Math.max((high - low) * 0.06, 0.1);
  return [low - room, high + room];
}
