/* The stream of events of one view: opened, watched, opened again when it ends, and closed while the page is hidden. */

import { decodeEvent } from "./api.js";

const WATCH_MS = 1000;
const QUIET_MS = 10000; // the server sends an event every second
const RETRY_MS = 3000;
const HIDDEN_MS = 30000;
const NEVER = Number.POSITIVE_INFINITY;

/** @typedef {"snapshot" | "update"} EventName */

export class Stream {
  /**
   * @param {(name: EventName, event: import("./api.js").StreamEvent) => void} onEvent
   * @param {() => void} onLost
   */
  constructor(onEvent, onLost) {
    this.onEvent = onEvent;
    this.onLost = onLost;
    /** @type {EventSource | null} */
    this.source = null;
    /** @type {string | null} */
    this.address = null;
    this.dueAt = NEVER; // when it is opened again, unless an event comes before
    this.hiddenAt = NEVER;
    setInterval(() => this.watch(), WATCH_MS);
    document.addEventListener("visibilitychange", () => this.onVisibility());
  }

  /**
   * Open the stream at an address, or again at the one before, and close the one that is open.
   *
   * @param {string | null} address
   */
  open(address = this.address) {
    this.close();
    if (address === null) return;
    this.address = address;
    const source = new EventSource(address);
    for (const name of /** @type {EventName[]} */ (["snapshot", "update"])) {
      source.addEventListener(name, (event) => {
        if (source !== this.source) return;
        this.dueAt = Date.now() + QUIET_MS;
        this.onEvent(name, decodeEvent(JSON.parse(event.data)));
      });
    }
    source.onerror = () => this.lost(source);
    this.source = source;
    this.dueAt = Date.now() + QUIET_MS;
  }

  close() {
    this.source?.close();
    this.source = null;
    this.dueAt = NEVER;
  }

  /** @param {EventSource} source */
  lost(source) {
    if (source !== this.source) return;
    this.onLost();
    if (source.readyState !== EventSource.CLOSED) return; // the browser reconnects by itself
    this.close();
    this.dueAt = Date.now() + RETRY_MS;
    this.checkSession();
  }

  /** Go to the login form if the session has ended. A stream does not give the status of its refusal; another request does. */
  async checkSession() {
    try {
      const answer = await fetch("api/pipeline", { method: "HEAD" });
      if (answer.status === 401) location.assign("login");
    } catch {
      /* no answer: the stream is opened again later */
    }
  }

  watch() {
    if (document.hidden && Date.now() >= this.hiddenAt + HIDDEN_MS) this.close();
    if (Date.now() < this.dueAt) return;
    if (this.source) this.onLost();
    this.open();
  }

  onVisibility() {
    if (document.hidden) this.hiddenAt = Date.now();
    else if (!this.source) this.open();
  }
}
