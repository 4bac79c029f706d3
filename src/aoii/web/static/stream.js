/* The stream of events of one view: opened, watched, opened again when it ends, and closed while the page is hidden. */

import { decodeEvent } from "./api.js";

const WATCH_MS = 1000;
const QUIET_MS = 10000; // the server sends an event every second
const RETRY_MS = 3000;
const HIDDEN_MS = 30000;

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
    this.receivedAt = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.retryTimer = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.hiddenTimer = undefined;
    setInterval(() => this.watch(), WATCH_MS);
    document.addEventListener("visibilitychange", () => this.onVisibility());
  }

  /**
   * Open the stream at an address, and close the one before.
   *
   * @param {string} address
   */
  open(address) {
    this.close();
    this.address = address;
    const source = new EventSource(address);
    for (const name of /** @type {EventName[]} */ (["snapshot", "update"])) {
      source.addEventListener(name, (event) => {
        if (source !== this.source) return;
        this.receivedAt = Date.now();
        this.onEvent(name, decodeEvent(JSON.parse(event.data)));
      });
    }
    source.onerror = () => this.lost(source);
    this.source = source;
    this.receivedAt = Date.now();
  }

  openAgain() {
    if (this.address !== null) this.open(this.address);
  }

  close() {
    clearTimeout(this.retryTimer);
    this.source?.close();
    this.source = null;
  }

  /** @param {EventSource} source */
  lost(source) {
    if (source !== this.source) return;
    this.onLost();
    if (source.readyState !== EventSource.CLOSED) return; // the browser reconnects by itself
    this.close();
    this.retryTimer = setTimeout(() => this.openAgain(), RETRY_MS);
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
    if (this.source === null || Date.now() - this.receivedAt <= QUIET_MS) return;
    this.onLost();
    this.openAgain();
  }

  onVisibility() {
    clearTimeout(this.hiddenTimer);
    if (document.hidden) this.hiddenTimer = setTimeout(() => this.close(), HIDDEN_MS);
    else if (!this.source) this.openAgain();
  }
}
