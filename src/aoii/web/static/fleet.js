/* All nodes as a map of states, the worst first; the same as a table. */

import { ofNode } from "./address.js";
import { $, fillRows, make, setText, showState } from "./dom.js";

const STATES = ["silent", "fault", "wrong", "never", "battery", "heard", "right"]; // the worst first
const MANY = 40; // from here on tiles are small
const AGES_MS = 10000; // how often "3 minutes ago" is written anew
const SPOKEN_MS = 5000;
const collator = new Intl.Collator("en", { numeric: true });

export class FleetView {
  constructor(app) {
    this.app = app;
    this.cards = new Map();
    this.tiles = new Map();
    this.chosen = new Set(); // states that are shown; empty: all
    this.agesAt = 0;
    this.spokenAt = 0;
    for (const state of STATES) {
      const button = make("button", { type: "button", value: state, className: "filter" });
      button.append(make("span", { className: "state" }), make("span", { className: "count" }));
      button.addEventListener("click", () => this.choose(state));
      $("filters").append(make("li", {}, button));
    }
    $("search").addEventListener("input", () => this.arrange(true));
    $("fleet-table").addEventListener("toggle", () => this.showTable());
  }

  wants() {
    return {};
  }

  leave() {
    this.cards.clear();
    this.tiles.clear();
    $("tiles").replaceChildren();
  }

  title() {
    return this.app.voice.words.fleet;
  }

  begin(content) {
    this.leave();
    this.agesAt = this.spokenAt = 0;
    this.take(content);
  }

  take(content) {
    for (const card of content.nodes || []) this.cards.set(card.node, card);
    const all = performance.now() - this.agesAt > AGES_MS;
    if (all) this.agesAt = performance.now();
    $("tiles").classList.toggle("many", this.cards.size >= MANY);
    for (const card of all ? this.cards.values() : content.nodes || []) this.fill(card);
    this.arrange(false);
    this.count();
    if (all || content.nodes) this.showTable();
  }

  translate() {
    this.count();
    for (const card of this.cards.values()) this.fill(card);
    this.showTable();
  }

  choose(state) {
    if (!this.chosen.delete(state)) this.chosen.add(state);
    this.count();
    this.arrange(true);
  }

  /** The names in their order: the worst state first, then as a person would count. */
  names() {
    const rank = (name) => STATES.indexOf(this.cards.get(name).states[0]);
    return [...this.cards.keys()].sort((one, other) => rank(one) - rank(other) || collator.compare(one, other));
  }

  isShown(name) {
    const { states } = this.cards.get(name);
    const wanted = $("search").value.trim().toLowerCase();
    return name.toLowerCase().includes(wanted) && (!this.chosen.size || states.some((state) => this.chosen.has(state)));
  }

  /** Tiles into their places; not while one of them is in use, or it would run away from who uses it. */
  arrange(asked) {
    const list = $("tiles");
    const inUse = !asked && list.querySelector(":focus-visible, a:hover");
    let shown = 0;
    this.names().forEach((name, place) => {
      const tile = this.tiles.get(name);
      tile.hidden = !this.isShown(name);
      shown += !tile.hidden;
      if ((!inUse || !tile.isConnected) && list.children[place] !== tile) list.insertBefore(tile, list.children[place] || null);
    });
    $("none-found").hidden = shown > 0 || !this.cards.size;
  }

  count() {
    const { words, whole } = this.app.voice;
    const counts = Object.fromEntries(STATES.map((state) => [state, 0]));
    for (const card of this.cards.values()) for (const state of card.states) counts[state] += 1;
    for (const item of $("filters").children) {
      const button = item.firstElementChild;
      const [name, count] = button.children;
      showState(name, "state", button.value, words.states);
      setText(count, whole(counts[button.value]));
      button.title = words.stateHelp[button.value];
      button.setAttribute("aria-pressed", String(this.chosen.has(button.value)));
      item.hidden = !counts[button.value] && !this.chosen.has(button.value);
    }
    const number = whole(this.cards.size) + (this.app.moreNodes ? "+" : "");
    setText($("fleet-count"), words.nodeCount(number));
    $("more-nodes").hidden = !this.app.moreNodes;
    if (performance.now() - this.spokenAt < SPOKEN_MS && this.spokenAt) return;
    this.spokenAt = performance.now();
    const told = STATES.filter((state) => counts[state]).map((state) => `${words.states[state]} ${whole(counts[state])}`);
    setText($("fleet-spoken"), told.join(", "));
  }

  fill(card) {
    const { voice } = this.app;
    const { words } = voice;
    let tile = this.tiles.get(card.node);
    if (!tile) {
      tile = newTile(card.node);
      this.tiles.set(card.node, tile);
    }
    const link = tile.firstElementChild;
    const part = (name) => link.querySelector(`.${name}`);
    link.dataset.state = card.states[0];
    setText(part("who"), `${words.node} ${card.node}`);
    const states = part("states");
    if (states.dataset.all !== card.states.join() + voice.name) {
      states.dataset.all = card.states.join() + voice.name;
      states.replaceChildren(...card.states.map((state) => {
        const element = make("span", { className: "state", title: words.stateHelp[state] });
        showState(element, "state", state, words.states);
        return element;
      }));
    }
    setText(part("values"), reading(card, voice));
    setText(part("age"), this.age(card));
    setText(part("count"), card.periodic ? words.packetsShort(voice.whole(card.packets), voice.whole(card.periodic)) : "");
    drawSpark(link.querySelector("polyline"), card.spark);
  }

  age(card) {
    const { voice, nowMs } = this.app;
    const last = card.last_packet_ms;
    return last === null ? voice.words.never : voice.ago(Math.max(0, (nowMs - last) / 1000));
  }

  showTable() {
    if (!$("fleet-table").open) return;
    const { voice } = this.app;
    const { words } = voice;
    const rows = this.names().map((name) => {
      const card = this.cards.get(name);
      const link = make("a", { href: ofNode(name), textContent: `${words.node} ${name}` });
      const { vitals, aoii } = card;
      return [
        link,
        card.states.map((state) => words.states[state]).join(", "),
        this.age(card),
        reading(card, voice),
        aoii ? (aoii.basis === "log" ? voice.duration(aoii.mean_s) : words.atLeast(voice.duration(aoii.mean_s))) : "–",
        card.periodic ? words.packetsShort(voice.whole(card.packets), voice.whole(card.periodic)) : "–",
        vitals?.battery_v ? words.volts(voice.hundredth(vitals.battery_v)) : "–",
        vitals && vitals.rssi_dbm !== null ? words.dbm(voice.whole(vitals.rssi_dbm)) : "–",
      ];
    });
    fillRows($("fleet-rows"), rows);
  }
}

function reading(card, voice) {
  return card.temp === null ? "–" : `${voice.tenth(card.temp)} °C · ${voice.whole(card.hum)} %`;
}

function newTile(name) {
  const link = make("a", { className: "tile", href: ofNode(name) });
  for (const part of ["who", "states", "values", "age", "count"]) link.append(make("span", { className: part }));
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawing.setAttribute("viewBox", "0 0 100 26");
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.setAttribute("aria-hidden", "true");
  drawing.append(document.createElementNS("http://www.w3.org/2000/svg", "polyline"));
  link.append(drawing);
  return make("li", {}, link);
}

/** A small line of values over the width of its drawing. */
export function drawSpark(polyline, values) {
  const low = Math.min(...values);
  const height = Math.max(...values) - low || 1;
  const step = 100 / Math.max(1, values.length - 1);
  const corner = (value, index) => `${(index * step).toFixed(1)},${(23 - (20 * (value - low)) / height).toFixed(1)}`;
  polyline.setAttribute("points", values.map(corner).join(" "));
}
