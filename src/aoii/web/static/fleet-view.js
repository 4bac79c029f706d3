/* The fleet: a tile for each node, the worst first, and the same as a table. */

import { nodeAddress } from "./address.js";
import { NODE_STATES } from "./api.js";
import { $, copyOf, fillRows, make, part, setText, showNodeStates, showState, showValues } from "./dom.js";
import { drawSpark } from "./spark.js";
import { countStates, isMatch, worstFirst } from "./states.js";
import { sourceOf, titleOf, valuesOf } from "./summary.js";
import { TotalsPanel } from "./totals-panel.js";

/**
 * @typedef {import("./api.js").Summary} Summary
 * @typedef {import("./api.js").StreamEvent} StreamEvent
 */

const MANY = 40; // from this number of nodes on, tiles are small
const AGES_MS = 10000; // how often ages such as "3 min. ago" are updated
const SPOKEN_MS = 5000; // how often screen readers are told the number of nodes in each state

export class FleetView {
  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    /** @type {Map<string, Summary>} */
    this.nodes = new Map();
    /** @type {Map<string, HTMLElement>} */
    this.tiles = new Map();
    /** @type {Set<import("./api.js").NodeState>} states to show; empty: all */
    this.chosen = new Set();
    this.agesAt = this.spokenAt = Number.NEGATIVE_INFINITY;
    this.filters = NODE_STATES.map((state) => {
      const [name, count] = [make("span", { className: "state" }), make("span", { className: "count" })];
      const button = make("button", { type: "button", className: "filter" }, name, count);
      button.addEventListener("click", () => this.toggle(state));
      const item = make("li", {}, button);
      return { state, item, button, name, count };
    });
    this.totals = new TotalsPanel(app);
    $("filters").append(...this.filters.map(({ item }) => item));
    $("search").addEventListener("input", () => this.arrange(true));
    $("fleet-table").addEventListener("toggle", () => this.showTable());
  }

  leave() {
    this.totals.stop();
    this.clear();
  }

  clear() {
    this.nodes.clear();
    this.tiles.clear();
    $("tiles").replaceChildren();
    this.agesAt = this.spokenAt = Number.NEGATIVE_INFINITY;
  }

  title() {
    return this.app.locale.messages.fleet;
  }

  /** @param {StreamEvent} event */
  showSnapshot(event) {
    this.clear();
    this.totals.start();
    this.showUpdate(event);
  }

  /** @param {StreamEvent} event */
  showUpdate({ nodes }) {
    for (const node of nodes ?? []) this.nodes.set(node.node, node);
    const areAgesDue = performance.now() - this.agesAt > AGES_MS;
    if (areAgesDue) this.agesAt = performance.now();
    $("tiles").classList.toggle("many", this.nodes.size >= MANY);
    for (const node of areAgesDue ? this.nodes.values() : (nodes ?? [])) this.fillTile(node);
    this.arrange(false);
    this.showCounts();
    if (areAgesDue || nodes) this.showTable();
  }

  translate() {
    this.totals.show();
    this.showCounts();
    for (const node of this.nodes.values()) this.fillTile(node);
    this.showTable();
  }

  /**
   * Choose a state of the filter, or no longer choose it.
   *
   * @param {import("./api.js").NodeState} state
   */
  toggle(state) {
    if (!this.chosen.delete(state)) this.chosen.add(state);
    this.showCounts();
    this.arrange(true);
  }

  /**
   * Hide the tiles that the filter excludes, and put the tiles in order. While one has the pointer or the focus, tiles
   * keep their places, so that it does not move away.
   *
   * @param {boolean} isRequested whether the user asked for it; then tiles move in any case
   */
  arrange(isRequested) {
    const list = $("tiles");
    const isInUse = !isRequested && list.querySelector(":focus-visible, a:hover") !== null;
    const text = $("search", HTMLInputElement).value;
    let shown = 0;
    for (const [place, node] of worstFirst(this.nodes.values()).entries()) {
      const tile = this.tile(node.node);
      tile.hidden = !isMatch(node, text, this.chosen);
      if (!tile.hidden) shown += 1;
      const there = list.children[place] ?? null;
      if ((!isInUse || !tile.isConnected) && there !== tile) list.insertBefore(tile, there);
    }
    $("none-found").hidden = shown > 0 || !this.nodes.size;
  }

  /** Show the number of nodes, in all and in each state. */
  showCounts() {
    const { messages, whole } = this.app.locale;
    const counts = countStates(this.nodes.values());
    for (const { state, item, button, name, count } of this.filters) {
      const isChosen = this.chosen.has(state);
      showState(name, "state", state, messages.states);
      setText(count, whole(counts[state]));
      button.title = messages.stateHelp[state];
      button.setAttribute("aria-pressed", String(isChosen));
      item.hidden = !counts[state] && !isChosen;
    }
    setText($("fleet-count"), messages.nodeCount(whole(this.nodes.size) + (this.app.hasMoreNodes ? "+" : "")));
    $("more-nodes").hidden = !this.app.hasMoreNodes;
    if (performance.now() - this.spokenAt < SPOKEN_MS) return;
    this.spokenAt = performance.now();
    const spoken = NODE_STATES.filter((state) => counts[state]);
    setText($("fleet-spoken"), spoken.map((state) => `${messages.states[state]} ${whole(counts[state])}`).join(", "));
  }

  /**
   * The node's tile; it is made at the first call.
   *
   * @param {string} name
   */
  tile(name) {
    const known = this.tiles.get(name);
    if (known) return known;
    const tile = copyOf("new-tile");
    part(tile, "a", HTMLAnchorElement).href = nodeAddress(name);
    this.tiles.set(name, tile);
    return tile;
  }

  /** @param {Summary} node */
  fillTile(node) {
    const { locale } = this.app;
    const { messages } = locale;
    const link = part(this.tile(node.node), "a");
    link.dataset.state = node.states[0];
    setText(part(link, ".who"), titleOf(node, messages));
    link.title = node.place ?? "";
    showNodeStates(part(link, ".states"), node.states, locale);
    showValues(part(link, ".values"), part(link, ".source"), node, locale);
    setText(part(link, ".age"), this.age(node));
    setText(part(link, ".count"), node.periodic ? this.packets(node) : "");
    drawSpark(part(link, "svg", SVGElement), node.spark);
  }

  showTable() {
    if (!$("fleet-table", HTMLDetailsElement).open) return;
    const { locale } = this.app;
    const { messages } = locale;
    const rows = worstFirst(this.nodes.values()).map((node) => {
      const { battery_v: battery = null, rssi_dbm: rssi = null } = node.health ?? {};
      return [
        make("a", { href: nodeAddress(node.node), textContent: titleOf(node, messages) }),
        node.states.map((state) => messages.states[state]).join(", "),
        this.age(node),
        [valuesOf(node, locale), sourceOf(node, locale)].filter(Boolean).join(", "),
        this.aoii(node),
        node.periodic ? this.packets(node) : "–",
        battery === null ? "–" : messages.volts(locale.hundredth(battery)),
        rssi === null ? "–" : messages.dbm(locale.whole(rssi)),
      ];
    });
    fillRows($("fleet-rows"), rows);
  }

  /** @param {Summary} node */
  aoii({ aoii }) {
    if (aoii === null) return "–";
    const mean = this.app.locale.duration(aoii.mean_s);
    return aoii.basis === "log" ? mean : this.app.locale.messages.atLeast(mean);
  }

  /** @param {Summary} node */
  age({ last_heard_ms: last }) {
    const { locale, nowMs } = this.app;
    return last === null ? locale.messages.never : locale.ago(Math.max(0, (nowMs - last) / 1000));
  }

  /** @param {Summary} node */
  packets({ packets, periodic }) {
    const { messages, whole } = this.app.locale;
    return messages.packetsShort(whole(packets), whole(periodic));
  }
}
