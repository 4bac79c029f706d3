/* The stream of events of one view: watched, opened again when it ends, and closed while the page is hidden. */

import { decodeEvent } from "./api.js";

const WATCH_MS = 1000; // between two looks at the stream
const QUIET_MS = 10000; // without an event the stream is lost; the server sends one every second
const RETRY_MS = 3000; // after the server has refused the stream
const HIDDEN_MS = 30000; // after which a hidden page closes its stream
const NEVER = Number.POSITIVE_INFINITY;

/** @typedef {"snapshot" | "update"} EventName */

export class Stream {
  /**
   * @param {(name: EventName, event: import("./api.js").StreamEvent) => void} onEvent
   * @param {() => void} onLost called when the stream breaks or falls silent
   */
  constructor(onEvent, onLost) {
    this.onEvent = onEvent;
    this.onLost = onLost;
    /** @type {EventSource | null} */
    this.source = null;
    /** @type {string | null} */
    this.address = null;
    this.dueAt = NEVER; // when the stream is opened again, unless an event comes before; Unix ms
    this.hiddenAt = NEVER; // when the page was last hidden; Unix ms
    setInterval(() => this.watch(), WATCH_MS);
    document.addEventListener("visibilitychange", () => this.onVisibility());
  }

  /**
   * Close the open stream, and open the one at this address; without an address, open the last one again.
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
    source.onerror = () => this.onError(source);
    this.source = source;
    this.dueAt = Date.now() + QUIET_MS;
  }

  close() {
    this.source?.close();
    this.source = null;
    this.dueAt = NEVER;
  }

  /**
   * Report that the stream is lost; if the browser has given up, try again later.
   *
   * @param {EventSource} source
   */
  onError(source) {
    if (source !== this.source) return;
    this.onLost();
    if (source.readyState !== EventSource.CLOSED) return; // the browser reconnects by itself
    this.close();
    this.dueAt = Date.now() + RETRY_MS;
    this.checkSession();
  }

  /** Go to the login form if the session has ended. An EventSource hides the status of a refusal, so a request asks for it. */
  async checkSession() {
    try {
      const answer = await fetch("api/pipeline", { method: "HEAD" });
      if (answer.status === 401) location.assign("login");
    } catch {
      /* no answer: the stream is opened again at `dueAt` */
    }
  }

  /** Close the stream of a page that is hidden for long; open again what is due. */
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
