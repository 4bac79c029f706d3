/* The stream of events of one view: opened, watched, opened again when it ends, and given back by a page that nobody sees. */

const QUIET_MS = 10000; // the server says something every second
const RETRY_MS = 3000;
const HIDDEN_MS = 30000;

export class Stream {
  /**
   * @param {(name: "snapshot" | "news", content: object) => void} onEvent
   * @param {() => void} onLost
   */
  constructor(onEvent, onLost) {
    this.onEvent = onEvent;
    this.onLost = onLost;
    this.source = null;
    this.query = null;
    this.heardAt = 0;
    this.retryTimer = 0;
    this.hiddenTimer = 0;
    setInterval(() => this.watch(), 1000);
    document.addEventListener("visibilitychange", () => this.seen());
  }

  /** Follow another view. */
  open(query = this.query) {
    this.close();
    this.query = query;
    const source = new EventSource(`events?${new URLSearchParams(query)}`);
    const hear = (name) => (event) => {
      if (source !== this.source) return;
      this.heardAt = Date.now();
      this.onEvent(name, JSON.parse(event.data));
    };
    source.addEventListener("snapshot", hear("snapshot"));
    source.addEventListener("news", hear("news"));
    source.onerror = () => this.lost(source);
    this.source = source;
    this.heardAt = Date.now();
  }

  close() {
    clearTimeout(this.retryTimer);
    this.source?.close();
    this.source = null;
  }

  lost(source) {
    if (source !== this.source) return;
    this.onLost();
    if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    this.close();
    this.retryTimer = setTimeout(() => this.open(), RETRY_MS);
    this.askWhetherKnown();
  }

  /** A stream does not say why it was refused; anything else does. A page whose session has ended leads to the form. */
  async askWhetherKnown() {
    try {
      const answer = await fetch("api/delivery", { method: "HEAD" });
      if (answer.status === 401) location.assign("login");
    } catch {
      /* nobody answers: it is tried again */
    }
  }

  watch() {
    if (this.source && Date.now() - this.heardAt > QUIET_MS) {
      this.onLost();
      this.open();
    }
  }

  seen() {
    clearTimeout(this.hiddenTimer);
    if (document.hidden) this.hiddenTimer = setTimeout(() => this.close(), HIDDEN_MS);
    else if (!this.source && this.query) this.open();
  }
}
