/* The totals over all readings, as on the page of the older installation: number, means, errors, first and last. */

import { fetchTotals } from "./api.js";
import { $, setText } from "./dom.js";

const EVERY_MS = 15000; // as often as Prometheus asks; the server reads every row for them

export class TotalsPanel {
  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    /** @type {import("./api.js").AllReadings | null} */
    this.totals = null;
    /** @type {AbortController | null} set while the panel is kept up to date */
    this.running = null;
  }

  /** Keep the panel up to date until `stop`; does nothing if it is already. */
  start() {
    if (this.running) return;
    this.running = new AbortController();
    this.follow(this.running.signal);
  }

  stop() {
    this.running?.abort();
    this.running = null;
  }

  /** Show the totals in the present language; what is not known is a dash. */
  show() {
    const { whole, hundredth, number } = this.app.locale;
    const known = this.totals;
    const value = (/** @type {number | undefined} */ it, /** @type {string} */ unit, digits = hundredth) =>
      it === undefined ? "–" : `${digits(it)} ${unit}`;
    const time = (/** @type {string | undefined} */ it) => it?.replace("T", " ").slice(0, 19) ?? "–";
    setText($("total"), known ? whole(known.total) : "–");
    setText($("avg-temp"), value(known?.avg_temp, "°C"));
    setText($("avg-humidity"), value(known?.avg_humidity, "%"));
    setText($("mae-temp"), value(known?.mae_temp, "°C", number(4)));
    setText($("mae-humidity"), value(known?.mae_humidity, "%", number(4)));
    setText($("first-at"), time(known?.first_at));
    setText($("last-at"), time(known?.last_at));
  }

  /** @param {AbortSignal} signal */
  async follow(signal) {
    while (!signal.aborted) {
      const totals = document.hidden ? null : await fetchTotals(signal);
      if (signal.aborted) return;
      this.totals = totals ?? this.totals;
      this.show();
      await new Promise((resolve) => {
        setTimeout(resolve, EVERY_MS);
        signal.addEventListener("abort", resolve, { once: true });
      });
    }
  }
}
