/* The page: one view at a time follows its stream of events; what belongs to every view is shown here. */

import { read, write } from "./address.js";
import { streamAddress } from "./api.js";
import { $, part, setText } from "./dom.js";
import { FleetView } from "./fleet-view.js";
import { firstLanguage, keepLanguage, LANGUAGES, localeOf } from "./language.js";
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
 * @property {() => { node?: string | null, span?: number }} wants what its stream is asked for
 * @property {() => string} title
 * @property {(event: StreamEvent) => void} begin a snapshot
 * @property {(event: StreamEvent) => void} take news
 * @property {() => void} leave
 * @property {() => void} translate the language is another one
 * @property {() => void} [seen] it has come into sight
 */

const SCREENS = /** @type {const} */ (["fleet", "node", "pipeline", "empty"]);

export class App {
  /* Views read these and change none: each has one owner, and that is here. */
  #locale = localeOf(firstLanguage());
  #address = read(location.hash);
  /** @type {import("./api.js").Settings | null} */
  #settings = null;
  /** @type {import("./api.js").Status | null} */
  #status = null;

  /** @type {Connection} */
  #connection = "connecting";
  /** @type {ViewName} the view that is followed */
  #followed = "fleet";
  /** @type {ViewName | null} the view of the last snapshot */
  #arrived = null;
  /** @type {(typeof SCREENS)[number] | null} what is seen: nothing before the first snapshot */
  #shown = null;
  #focusNext = false;

  constructor() {
    /** @type {Record<ViewName, View>} */
    this.views = { fleet: new FleetView(this), node: new NodeView(this), pipeline: new PipelineView(this) };
    this.stream = new Stream(
      (name, event) => this.guarded(() => this.#receive(name, event)),
      () => this.#connect("lost"),
    );
  }

  get locale() {
    return this.#locale;
  }

  get address() {
    return this.#address;
  }

  /** What does not change while the page is open; null before the first snapshot. */
  get settings() {
    return this.#settings;
  }

  get nowMs() {
    return this.#status?.now_ms ?? 0;
  }

  /** Whether there are more nodes than the page holds. */
  get hasMoreNodes() {
    return this.#status?.more_nodes ?? false;
  }

  start() {
    for (const language of LANGUAGES) {
      $(`lang-${language}`).addEventListener("click", () => {
        keepLanguage(language);
        this.guarded(() => this.#speak(language));
      });
    }
    $("skip").addEventListener("click", (event) => {
      event.preventDefault(); // the address is the view's
      $("main").focus();
    });
    window.addEventListener("hashchange", () => this.guarded(() => this.#follow()));
    this.#speak(this.#locale.name);
    this.#follow();
  }

  /**
   * Go to another address; the browser's Back comes back, unless it is put in the place of this one.
   *
   * @param {Partial<Address>} change
   */
  go(change, { replace = false } = {}) {
    const hash = write({ ...this.#address, ...change });
    if (replace) {
      history.replaceState(null, "", hash);
      this.#follow();
    } else {
      location.hash = hash;
    }
  }

  /**
   * A fault of this page is shown, not only written where nobody looks.
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

  #follow() {
    const before = this.#address;
    this.#address = read(location.hash);
    const name = this.#address.view ?? "fleet";
    this.#focusNext =
      this.#shown !== null && (before.view !== this.#address.view || before.node !== this.#address.node);
    if (this.#followed !== name) this.views[this.#followed].leave();
    this.#followed = name;
    this.stream.open(streamAddress(name, this.views[name].wants()));
  }

  /** @type {(name: import("./stream.js").EventName, event: StreamEvent) => void} */
  #receive(name, event) {
    if (event.settings) this.#settings = event.settings;
    const [only, ...others] = event.nodes ?? [];
    if (event.view === "fleet" && this.#address.view === null && only && !others.length) {
      this.go({ view: "node", node: only.node }, { replace: true }); // an overview of one is none
      return;
    }
    if (event.status) this.#take(event.status);
    const view = this.views[this.#followed];
    if (name === "snapshot") {
      this.#arrived = event.view;
      view.begin(event);
    } else view.take(event);
    if (event.status) this.#show();
  }

  /** @param {import("./api.js").Status} status */
  #take(status) {
    this.#status = status;
    this.#connect(status.database_away !== null || !status.broker_up ? "partly" : "live");
    this.#showNotices(status);
    this.#showTabs(status);
  }

  /* --- what every view has --- */

  #show() {
    const name = this.#status?.has_nodes || this.#followed === "pipeline" ? this.#arrived : "empty";
    if (name === null || !this.#settings) return;
    const isNew = this.#shown !== name;
    this.#shown = name;
    for (const screen of SCREENS) $(`${screen}-view`).hidden = screen !== name;
    $("loading").hidden = true;
    const view = name === "empty" ? null : this.views[name];
    document.title = view ? `${view.title()} · aoii` : "aoii";
    $("simulated").hidden = !this.#settings.simulated;
    setText($("simulated"), this.#locale.messages.simulated(this.#locale.whole(this.#settings.speed)));
    if (isNew) view?.seen?.();
    if (this.#focusNext) {
      this.#focusNext = false;
      scrollTo(0, 0);
      $(`${name}-title`).focus({ preventScroll: true });
    }
  }

  /** @param {Connection} connection */
  #connect(connection) {
    this.#connection = connection;
    const chip = $("connection");
    chip.dataset.state = connection;
    $("lost-notice").hidden = connection !== "lost";
    setText(chip, this.#locale.messages[connection]);
  }

  /** @param {import("./api.js").Status} status */
  #showNotices({ database_away: away, broker_up: isUp, has_nodes: hasNodes }) {
    const { messages } = this.#locale;
    $("database-notice").hidden = away === null || !hasNodes; // the empty page tells it in its list
    if (away !== null) setText(part($("database-notice"), "span"), messages.databaseAwayMore(away));
    $("broker-notice").hidden = isUp || !hasNodes;
    setText($("empty-broker"), isUp ? messages.yes : messages.no(""));
    setText($("empty-database"), away === null ? messages.yes : messages.no(away));
  }

  /** @param {import("./api.js").Status} status */
  #showTabs({ pipeline: { state, stages } }) {
    const { messages } = this.#locale;
    for (const name of /** @type {const} */ (["fleet", "pipeline"])) {
      const isHere = this.#followed === name;
      const isAbove = name === "fleet" && this.#followed === "node";
      if (isHere || isAbove) $(`${name}-tab`).setAttribute("aria-current", isHere ? "page" : "true");
      else $(`${name}-tab`).removeAttribute("aria-current");
    }
    const badge = $("pipeline-badge");
    badge.hidden = state === "ok" || state === "unknown";
    badge.dataset.stage = state;
    const names = stages.map((stage) => messages.stages[stage]).join(", ");
    setText(badge, `${names}: ${messages.stageStates[state]}`);
  }

  /** @param {import("./language.js").Language} language */
  #speak(language) {
    this.#locale = localeOf(language);
    const messages = /** @type {Record<string, unknown>} */ (this.#locale.messages);
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
    this.#connect(this.#connection);
    if (!this.#shown || !this.#status) return;
    this.#showNotices(this.#status);
    this.#showTabs(this.#status);
    this.#show();
  }
}
