/* The page: opens one view at a time with its stream of events, and shows what all views share. */

import { formatAddress, parseAddress } from "./address.js";
import { streamAddress } from "./api.js";
import { $, part, setText } from "./dom.js";
import { FleetView } from "./fleet-view.js";
import { initialLanguage, LANGUAGES, localeOf, saveLanguage } from "./language.js";
import { NodeView } from "./node-view.js";
import { PipelineView } from "./pipeline-view.js";
import { Stream } from "./stream.js";

/**
 * @typedef {import("./address.js").Address} Address
 * @typedef {import("./address.js").ViewName} ViewName
 * @typedef {import("./api.js").StreamEvent} StreamEvent
 * @typedef {"connecting" | "live" | "partly" | "lost"} Connection
 *
 * @typedef {object} View
 * @property {() => { node?: string | null, span?: number }} [streamOptions] parameters of its stream
 * @property {() => string} title of the window
 * @property {(event: StreamEvent) => void} showSnapshot
 * @property {(event: StreamEvent) => void} showUpdate
 * @property {() => void} [leave] called when another view is opened
 * @property {() => void} translate show all texts in the present language
 * @property {() => void} [onShown] called once the view has become visible
 */

const SCREENS = /** @type {const} */ (["fleet", "node", "pipeline", "empty"]);

export class App {
  /* Views read these fields; only this class changes them. */
  locale = localeOf(initialLanguage());
  address = parseAddress(location.hash);
  /** @type {import("./api.js").Settings | null} what does not change while the page is open; null before the first snapshot */
  settings = null;
  nowMs = 0; // the nodes' clock at the last status, Unix ms
  hasMoreNodes = false; // whether the database has more nodes than the server holds for the page
  /** @type {import("./api.js").Status | null} */
  #status = null;

  /** @type {Connection} */
  #connection = "connecting";
  /** @type {ViewName} the view whose stream is open */
  #followedView = "fleet";
  /** @type {ViewName | null} the view of the last snapshot */
  #snapshotView = null;
  /** @type {(typeof SCREENS)[number] | null} what is visible; null before the first snapshot */
  #screen = null;
  #focusNext = false; // whether the next screen gets the focus: the user has gone to it

  constructor() {
    /** @type {Record<ViewName, View>} */
    this.views = { fleet: new FleetView(this), node: new NodeView(this), pipeline: new PipelineView(this) };
    this.stream = new Stream(
      (name, event) => this.guarded(() => this.#receive(name, event)),
      () => this.#showConnection("lost"),
    );
  }

  start() {
    for (const language of LANGUAGES) {
      $(`lang-${language}`).addEventListener("click", () => {
        saveLanguage(language);
        this.guarded(() => this.#setLanguage(language));
      });
    }
    $("skip").addEventListener("click", (event) => {
      event.preventDefault(); // the address belongs to the view
      $("main").focus();
    });
    window.addEventListener("hashchange", () => this.guarded(() => this.#follow()));
    this.#setLanguage(this.locale.name);
    this.#follow();
  }

  /**
   * Go to another address. The browser's Back then returns to the present one, unless `replace` is set.
   *
   * @param {Partial<Address>} change
   */
  go(change, { replace = false } = {}) {
    const hash = formatAddress({ ...this.address, ...change });
    if (replace) {
      history.replaceState(null, "", hash);
      this.#follow();
    } else {
      location.hash = hash;
    }
  }

  /**
   * Run `act`; an error that it throws is shown on the page and thrown again, for the console.
   *
   * @template T
   * @param {() => T} act
   * @returns {T}
   */
  guarded(act) {
    try {
      return act();
    } catch (error) {
      $("bug-notice").hidden = false;
      setText(part($("bug-notice"), "span"), String(error));
      throw error;
    }
  }

  /* --- from the address to the view --- */

  /** Open the view and the stream that the present address names. */
  #follow() {
    const before = this.address;
    this.address = parseAddress(location.hash);
    const name = this.address.view ?? "fleet";
    this.#focusNext = this.#screen !== null && (before.view !== this.address.view || before.node !== this.address.node);
    if (this.#followedView !== name) this.views[this.#followedView].leave?.();
    this.#followedView = name;
    this.stream.open(streamAddress(name, this.views[name].streamOptions?.()));
  }

  /** @type {(name: import("./stream.js").EventName, event: StreamEvent) => void} */
  #receive(name, event) {
    if (event.settings) this.settings = event.settings;
    const [only, ...others] = event.nodes ?? [];
    if (event.view === "fleet" && this.address.view === null && only && !others.length) {
      this.go({ view: "node", node: only.node }, { replace: true }); // the only node is shown at once: a fleet of one has nothing to compare
      return;
    }
    if (event.status) this.#setStatus(event.status);
    const view = this.views[this.#followedView];
    if (name === "snapshot") {
      this.#snapshotView = event.view;
      view.showSnapshot(event);
    } else view.showUpdate(event);
    if (event.status) this.#show();
  }

  /** @param {import("./api.js").Status} status */
  #setStatus(status) {
    this.#status = status;
    this.nowMs = status.now_ms;
    this.hasMoreNodes = status.more_nodes;
    this.#showConnection(status.database_away !== null || !status.broker_up ? "partly" : "live");
  }

  /* --- what all views share --- */

  /** Show the last status, and the view of the last snapshot or the empty screen. */
  #show() {
    if (!this.#status) return;
    this.#showNotices(this.#status);
    this.#showTabs(this.#status);
    const name = this.#status.has_nodes || this.#followedView === "pipeline" ? this.#snapshotView : "empty";
    if (name === null || !this.settings) return;
    const isNew = this.#screen !== name;
    this.#screen = name;
    for (const screen of SCREENS) $(`${screen}-view`).hidden = screen !== name;
    $("loading").hidden = true;
    const view = name === "empty" ? null : this.views[name];
    document.title = view ? `${view.title()} · aoii` : "aoii";
    $("simulated").hidden = !this.settings.simulated;
    setText($("simulated"), this.locale.messages.simulated(this.locale.whole(this.settings.speed)));
    if (isNew) view?.onShown?.();
    if (this.#focusNext) {
      this.#focusNext = false;
      scrollTo(0, 0);
      $(`${name}-title`).focus({ preventScroll: true });
    }
  }

  /** @param {Connection} connection */
  #showConnection(connection) {
    this.#connection = connection;
    const chip = $("connection");
    chip.dataset.state = connection;
    $("lost-notice").hidden = connection !== "lost";
    setText(chip, this.locale.messages[connection]);
  }

  /** @param {import("./api.js").Status} status */
  #showNotices({ database_away: away, broker_up: isUp, has_nodes: hasNodes }) {
    const { messages } = this.locale;
    $("database-notice").hidden = away === null || !hasNodes; // the empty screen has it in its list
    if (away !== null) setText(part($("database-notice"), "span"), messages.databaseAwayMore(away));
    $("broker-notice").hidden = isUp || !hasNodes;
    setText($("empty-broker"), isUp ? messages.yes : messages.no(""));
    setText($("empty-database"), away === null ? messages.yes : messages.no(away));
  }

  /** @param {import("./api.js").Status} status */
  #showTabs({ pipeline: { state, hops } }) {
    const { messages } = this.locale;
    for (const name of /** @type {const} */ (["fleet", "pipeline"])) {
      const isHere = this.#followedView === name;
      const isAbove = name === "fleet" && this.#followedView === "node";
      const tab = $(`${name}-tab`);
      if (isHere || isAbove) tab.setAttribute("aria-current", isHere ? "page" : "true");
      else tab.removeAttribute("aria-current");
    }
    const badge = $("pipeline-badge");
    badge.hidden = state === "ok" || state === "unknown";
    badge.dataset.hop = state;
    const names = hops.map((hop) => messages.hops[hop]).join(", ");
    setText(badge, `${names}: ${messages.hopStates[state]}`);
  }

  /** @param {import("./language.js").Language} language */
  #setLanguage(language) {
    this.locale = localeOf(language);
    const messages = /** @type {Record<string, unknown>} */ (this.locale.messages);
    const text = (/** @type {string | undefined} */ key) => String(messages[key ?? ""]);
    document.documentElement.lang = language;
    for (const element of document.querySelectorAll("[data-text], [data-label], [data-title], [data-placeholder]")) {
      if (!(element instanceof HTMLElement)) continue;
      const { dataset } = element;
      if (dataset.text) element.textContent = text(dataset.text);
      if (dataset.label) element.setAttribute("aria-label", text(dataset.label));
      if (dataset.title) element.title = text(dataset.title);
      if (dataset.placeholder) element.setAttribute("placeholder", text(dataset.placeholder));
    }
    for (const each of LANGUAGES) $(`lang-${each}`).setAttribute("aria-pressed", String(each === language));
    for (const view of Object.values(this.views)) view.translate();
    this.#showConnection(this.#connection);
    this.#show();
  }
}

const app = new App();
app.guarded(() => app.start());
