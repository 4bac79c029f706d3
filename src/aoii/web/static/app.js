/* The page: follows the stream of events of its server and shows what it says. */

import { Chart } from "./chart.js";
import { beliefLine, columns, indexAt, insert } from "./series.js";
import { firstLanguage, keepLanguage, speak } from "./words.js";

const SPANS_S = [3600, 21600, 86400];
const FRAME_MS = 100; // at most ten drawings a second
const QUIET_MS = 10000; // the server says something every second
const RETRY_MS = 3000;
const HIDDEN_MS = 30000; // a page that nobody sees gives its stream back
const LEAST_PERIODS = 10; // the narrowest time axis
const TABLE_ROWS = 100;
const SPOKEN_MS = 5000; // how often the chart's description changes

const $ = (id) => document.getElementById(id);
const state = {
  connection: "connecting",
  node: null,
  span: 86400,
  frame: null, // the fixed part of the snapshot; null before the first
  nowMs: 0,
  databaseAway: null,
  brokerUp: true,
  moreNodes: false,
  cards: new Map(),
  summary: null,
  points: { samples: [], beliefs: [], packets: [] },
  belief: [],
};
let voice = speak(firstLanguage());
let stream = null;
let heardAt = 0;
let retryTimer = 0;
let hiddenTimer = 0;
let drawnAt = 0;
let spokenAt = 0;
let drawing = false;
let charts = {};

const QUANTITIES = {
  temp: { column: 1, beta: "beta_temp", unit: " °C", digits: () => voice.hundredth },
  hum: { column: 2, beta: "beta_hum", unit: " %", digits: () => voice.hundredth },
};

/* --- the stream --- */

function open() {
  close();
  const query = new URLSearchParams({ span: state.span });
  if (state.node !== null) query.set("node", state.node);
  stream = new EventSource(`events?${query}`);
  stream.addEventListener("snapshot", (event) => guarded(() => begin(JSON.parse(event.data))));
  stream.addEventListener("news", (event) => guarded(() => take(JSON.parse(event.data))));
  stream.onerror = lost;
  heardAt = Date.now();
}

function close() {
  clearTimeout(retryTimer);
  stream?.close();
  stream = null;
}

function lost() {
  connection("lost");
  if (stream?.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
  close();
  retryTimer = setTimeout(open, RETRY_MS);
}

function watch() {
  if (stream && Date.now() - heardAt > QUIET_MS) {
    connection("lost");
    open();
  }
}

/** A snapshot: everything anew. */
function begin(content) {
  state.frame = content;
  state.node = content.node;
  state.cards.clear();
  state.summary = null;
  state.points = { samples: content.samples, beliefs: content.beliefs, packets: content.packets };
  $("cards").replaceChildren();
  spokenAt = 0;
  told(content);
  showNode();
  draw();
}

/** News: what has come since. */
function take(content) {
  let moved = false;
  for (const name of ["samples", "beliefs", "packets"]) {
    for (const point of content[name] || []) {
      insert(state.points[name], point);
      moved = true;
    }
  }
  told(content);
  if (moved || content.summary) draw();
}

function told(content) {
  heardAt = Date.now();
  if (content.now_ms !== undefined) {
    state.nowMs = content.now_ms;
    state.databaseAway = content.database_away;
    state.brokerUp = content.broker_up;
    state.moreNodes = content.more_nodes;
    connection(state.databaseAway || !state.brokerUp ? "partly" : "live");
    showNotices();
  }
  for (const card of content.nodes || []) state.cards.set(card.node, card);
  if (content.nodes) showCards();
  if (content.summary) state.summary = content.summary;
  if (content.summary || content.now_ms !== undefined) showSummary();
}

/* --- drawing --- */

function draw() {
  if (drawing || document.hidden) return;
  drawing = true;
  setTimeout(() => requestAnimationFrame(() => guarded(drawNow)), Math.max(0, drawnAt + FRAME_MS - performance.now()));
}

function drawNow() {
  drawing = false;
  drawnAt = performance.now();
  if (!state.frame) return;
  const { points, frame } = state;
  const periodMs = frame.period_s * 1000;
  const lists = Object.values(points);
  const endMs = Math.max(...lists.map((list) => list.at(-1)?.[0] ?? -Infinity));
  if (!Number.isFinite(endMs)) {
    for (const name of Object.keys(charts)) charts[name].draw([[], [], [], [], [], [], []], [0, 1], []);
    describe();
    return;
  }
  const startMs = endMs - frame.span_s * 1000;
  for (const list of lists) list.splice(0, indexAt(list, startMs - 1) + 1);
  const firstMs = Math.min(...lists.map((list) => list[0]?.[0] ?? Infinity));
  const range = [Math.min(firstMs, endMs - LEAST_PERIODS * periodMs) / 1000, endMs / 1000];
  state.belief = beliefLine(points.beliefs, points.packets, points.samples, periodMs);
  const wrong = state.summary?.wrong_spans || [];
  for (const [name, quantity] of Object.entries(QUANTITIES)) {
    charts[name].draw(columns(points, state.belief, quantity.column, frame[quantity.beta], periodMs), range, wrong);
  }
  describe();
  showTable();
}

/** The charts in words, for those who do not see them; not so often that it would be noise. */
function describe() {
  if (performance.now() - spokenAt < SPOKEN_MS && spokenAt) return;
  spokenAt = performance.now();
  const { words } = voice;
  const { samples, packets } = state.points;
  const shown = samples.length ? samples : packets;
  for (const [name, quantity] of Object.entries(QUANTITIES)) {
    const title = $(`${name}-title`).textContent;
    const values = shown.map((point) => point[quantity.column]);
    const text = values.length
      ? words.chart(title, state.node, spanText(), voice.tenth(Math.min(...values)), voice.tenth(Math.max(...values)), packets.length)
      : words.chartEmpty(title, state.node);
    $(`${name}-chart`).setAttribute("aria-label", text);
  }
}

function readout(name, index, data) {
  const quantity = QUANTITIES[name];
  const at = index === null ? undefined : data[0][index];
  if (at === undefined) {
    $(`${name}-readout`).textContent = "";
    return;
  }
  const ms = at * 1000;
  const near = (list) => list[indexAt(list, ms)];
  const sample = near(state.points.samples);
  const known = sample && ms - sample[0] < 2 * state.frame.period_s * 1000 ? sample : null;
  const text = (point) => (point ? quantity.digits()(point[quantity.column]) + quantity.unit : "–");
  $(`${name}-readout`).textContent = voice.words.readout(voice.full(ms), text(known), text(near(state.belief)));
}

/* --- words and figures --- */

function connection(name) {
  state.connection = name;
  const chip = $("connection");
  if (chip.dataset.state === name && chip.textContent === voice.words[name]) return; // or it would be read out again
  chip.dataset.state = name;
  $("lost-notice").hidden = name !== "lost";
  chip.textContent = voice.words[name];
}

function showNotices() {
  const { words } = voice;
  const empty = state.node === null; // the empty page tells it in its list
  $("database-notice").hidden = !state.databaseAway || empty;
  if (state.databaseAway) setText($("database-notice").querySelector("span"), words.databaseAwayMore(state.databaseAway));
  $("broker-notice").hidden = state.brokerUp || empty;
  setText($("empty-broker"), state.brokerUp ? words.yes : words.no());
  setText($("empty-database"), state.databaseAway ? words.no(state.databaseAway) : words.yes);
}

function showNode() {
  const empty = state.node === null;
  $("empty").hidden = !empty;
  $("layout").hidden = empty;
  const { words } = voice;
  const chip = $("simulated");
  chip.hidden = !state.frame.simulated;
  chip.textContent = words.simulated(voice.whole(state.frame.speed));
  $("node-name").textContent = state.node ?? "";
  document.title = empty ? "aoii" : `${words.node} ${state.node} · aoii`;
  const betas = Object.values(QUANTITIES).map((quantity) => `±${state.frame[quantity.beta]}${quantity.unit}`);
  $("band").textContent = words.band(betas.join(" / "));
  for (const button of $("spans").children) button.setAttribute("aria-pressed", String(Number(button.value) === state.span));
}

function showSummary() {
  const summary = state.summary;
  if (!summary) return;
  const { words } = voice;
  showState($("node-state"), summary.state);
  setText($("node-more"), summary.gateway ? words.heardBy(summary.gateway) : "");
  setText($("packets"), voice.whole(summary.packets));
  const periodic = voice.whole(summary.periodic);
  setText($("packets-of"), words.packetsOf(periodic));
  setText($("saved"), saved(summary));
  $("meter").style.width = `${Math.min(100, (100 * summary.packets) / Math.max(1, summary.periodic))}%`;
  const covered = summary.start_ms === null ? 0 : Math.round((summary.end_ms - summary.start_ms) / 60000) * 60;
  setText($("packets-more"), words.packetsMore(voice.span(state.frame.period_s), voice.span(covered), periodic));
  showPicture(summary.aoii);
  setText($("qos"), `${voice.whole(summary.qos1)} / ${voice.whole(summary.qos0)}`);
  setText($("qos-more"), words.qosMore(voice.whole(summary.estimates), voice.whole(summary.heartbeats)));
  const last = summary.last_packet_ms;
  setText($("last"), last === null ? words.never : voice.ago(Math.max(0, (state.nowMs - last) / 1000)));
  setText($("last-more"), last === null ? "" : voice.full(last));
  const coarse = state.frame.coarse && summary.logged ? ` ${words.coarse}` : "";
  setText($("source-note"), (summary.logged ? words.fromLog : words.fromPackets) + coarse);
  $("legend").querySelector(".wrong").hidden = summary.wrong_spans.length === 0;
  $("legend").querySelector(".actual").hidden = !summary.logged;
}

function showPicture(aoii) {
  const { words } = voice;
  if (aoii?.basis === "log") {
    const share = aoii.instants ? 1 - aoii.wrong / aoii.instants : 1;
    setText($("right"), `${voice.hundredth(Math.floor(share * 10000) / 100)} %`);
    setText($("right-more"), words.rightMore(voice.whole(aoii.instants)));
    setText($("aoii"), voice.duration(aoii.mean_s));
    setText($("aoii-more"), words.aoiiMore(voice.duration(aoii.p99_s)));
    return;
  }
  setText($("right"), words.unknown);
  setText($("right-more"), aoii ? words.rightUnknown : words.noPackets);
  setText($("aoii"), aoii ? words.atLeast(voice.duration(aoii.mean_s)) : "–");
  setText($("aoii-more"), aoii ? words.aoiiBound : "");
}

function saved(summary) {
  if (!summary.periodic) return "";
  const percent = Math.round(100 * (summary.packets / summary.periodic - 1));
  return `${percent > 0 ? "+" : ""}${voice.whole(percent)} %`;
}

function spanText() {
  return voice.span(state.span);
}

function showState(element, name) {
  element.dataset.state = name;
  setText(element, voice.words[name]);
}

/* --- the fleet --- */

function showCards() {
  const list = $("cards");
  const collator = new Intl.Collator("en", { numeric: true });
  const names = [...state.cards.keys()].sort(collator.compare);
  names.forEach((name, place) => {
    let item = list.children[place];
    if (item?.dataset.node !== name) {
      item = [...list.children].find((other) => other.dataset.node === name) || newCard(name);
      list.insertBefore(item, list.children[place] || null);
    }
    fillCard(item.firstElementChild, state.cards.get(name));
  });
  $("layout").classList.toggle("single", names.length === 1);
  const silent = names.filter((name) => state.cards.get(name).state === "silent").length;
  const count = voice.whole(names.length) + (state.moreNodes ? "+" : ""); // the rest is in the database only
  setText($("fleet-count"), voice.words.nodeCount(count, silent));
  $("fleet-count").classList.toggle("alarm", silent > 0);
}

function newCard(name) {
  const item = document.createElement("li");
  item.dataset.node = name;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "card";
  for (const part of ["who", "state", "values", "count"]) {
    const span = document.createElement("span");
    span.className = part;
    button.append(span);
  }
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawing.setAttribute("viewBox", "0 0 100 26");
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.setAttribute("aria-hidden", "true");
  drawing.append(document.createElementNS("http://www.w3.org/2000/svg", "polyline"));
  button.append(drawing);
  button.addEventListener("click", () => choose({ node: name }));
  item.append(button);
  return item;
}

function fillCard(button, card) {
  const { words } = voice;
  const part = (name) => button.querySelector(`.${name}`);
  button.setAttribute("aria-pressed", String(card.node === state.node));
  setText(part("who"), `${words.node} ${card.node}`);
  showState(part("state"), card.state);
  const values = card.temp === null ? "–" : `${voice.tenth(card.temp)} °C · ${voice.whole(card.hum)} %`;
  setText(part("values"), values);
  setText(part("count"), card.periodic ? words.packetsShort(voice.whole(card.packets), voice.whole(card.periodic)) : "");
  const low = Math.min(...card.spark);
  const height = Math.max(...card.spark) - low || 1;
  const step = 100 / Math.max(1, card.spark.length - 1);
  const corner = (value, index) => `${(index * step).toFixed(1)},${(23 - (20 * (value - low)) / height).toFixed(1)}`;
  button.querySelector("polyline").setAttribute("points", card.spark.map(corner).join(" "));
}

/* --- the table --- */

function showTable() {
  if (!$("table-panel").open) return;
  const { kinds } = voice.words;
  const rows = state.points.packets.slice(-TABLE_ROWS).reverse().map((packet) => {
    const [ms, temp, hum, predTemp, predHum, kind, qos] = packet;
    const row = document.createElement("tr");
    const cells = [voice.full(ms), kinds[kind] || kind, ...[temp, predTemp, hum, predHum].map(voice.hundredth), qos];
    for (const text of cells) row.append(Object.assign(document.createElement("td"), { textContent: text }));
    return row;
  });
  $("rows").replaceChildren(...rows);
}

/* --- choices --- */

function choose(change) {
  Object.assign(state, change);
  history.replaceState(null, "", `#${new URLSearchParams({ node: state.node, span: state.span })}`);
  for (const item of $("cards").children) {
    item.firstElementChild.setAttribute("aria-pressed", String(item.dataset.node === state.node));
  }
  for (const button of $("spans").children) button.setAttribute("aria-pressed", String(Number(button.value) === state.span));
  open();
}

function readAddress() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const span = Number(wanted.get("span"));
  if (SPANS_S.includes(span)) state.span = span;
  state.node = wanted.get("node") || null;
}

function showLanguage(name) {
  voice = speak(name);
  const { words } = voice;
  document.documentElement.lang = name;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = words[element.dataset.word];
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", words[element.dataset.label]);
  for (const element of document.querySelectorAll("[data-title]")) element.title = words[element.dataset.title];
  for (const code of ["en", "ko"]) $(`lang-${code}`).setAttribute("aria-pressed", String(code === name));
  for (const button of $("spans").children) button.textContent = voice.span(Number(button.value));
  connection(state.connection);
  for (const chart of Object.values(charts)) chart.make();
  if (!state.frame) return;
  spokenAt = 0;
  showNode();
  showNotices();
  showCards();
  showSummary();
  draw();
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A fault of this page is shown, not only written where nobody looks. */
function guarded(act) {
  try {
    act();
  } catch (error) {
    $("bug-notice").hidden = false;
    $("bug-notice").querySelector("span").textContent = String(error);
    throw error;
  }
}

function start() {
  readAddress();
  for (const seconds of SPANS_S) {
    const button = Object.assign(document.createElement("button"), { type: "button", value: seconds });
    button.addEventListener("click", () => choose({ span: seconds }));
    $("spans").append(button);
  }
  for (const name of Object.keys(QUANTITIES)) {
    charts[name] = new Chart($(`${name}-chart`), () => voice, (index, data) => readout(name, index, data));
  }
  for (const code of ["en", "ko"]) {
    $(`lang-${code}`).addEventListener("click", () => {
      keepLanguage(code);
      showLanguage(code);
    });
  }
  $("table-panel").addEventListener("toggle", showTable);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => Object.values(charts).forEach((chart) => chart.make()));
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiddenTimer);
    if (document.hidden) hiddenTimer = setTimeout(close, HIDDEN_MS);
    else if (!stream) open();
    else draw();
  });
  window.addEventListener("hashchange", () => {
    readAddress();
    open();
  });
  showLanguage(voice.name);
  setInterval(watch, 1000);
  open();
}

guarded(start);
