/* Which time is shown: the usual spans, any other one, and moving and zooming without a mouse. */

import { LIVE_SPANS_S, LONG_SPANS_S } from "./address.js";
import { $, make } from "./dom.js";

const LEAST_MS = 600000; // the narrowest range
const MOST_MS = 10 * 366 * 86400000;

export class Ranges {
  /**
   * @param {object} app the page
   * @param {() => [number, number]} shown the range that is shown, Unix ms
   */
  constructor(app, shown) {
    this.app = app;
    this.shown = shown;
    for (const seconds of [...LIVE_SPANS_S, ...LONG_SPANS_S]) {
      const button = make("button", { type: "button", value: seconds });
      button.addEventListener("click", () => app.go({ span: seconds, from: null, to: null }));
      $("spans").append(button);
    }
    this.other = make("button", { type: "button", value: "other" });
    this.other.setAttribute("aria-controls", "range-form");
    this.other.addEventListener("click", () => this.unfold($("range-form").hidden));
    $("spans").append(this.other);
    const acts = {
      earlier: (from, to) => [from - (to - from) / 2, to - (to - from) / 2],
      later: (from, to) => [from + (to - from) / 2, to + (to - from) / 2],
      in: (from, to) => [from + (to - from) / 4, to - (to - from) / 4],
      out: (from, to) => [from - (to - from) / 2, to + (to - from) / 2],
    };
    for (const [name, act] of Object.entries(acts)) $(`zoom-${name}`).addEventListener("click", () => this.go(...act(...this.shown())));
    $("range-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const [from, to] = ["range-from", "range-to"].map((id) => new Date($(id).value).getTime());
      const isRange = from < to;
      $("range-fault").hidden = isRange;
      for (const id of ["range-from", "range-to"]) $(id).setAttribute("aria-invalid", String(!isRange));
      if (isRange) this.go(from, to);
    });
  }

  /** Show another range; one that would reach beyond now ends now. */
  go(from, to) {
    const middle = (from + to) / 2;
    const width = Math.min(MOST_MS, Math.max(LEAST_MS, to - from));
    const end = Math.min(middle + width / 2, Math.max(this.app.nowMs, LEAST_MS));
    this.app.go({ view: "node", from: end - width, to: end });
  }

  unfold(isOpen) {
    $("range-form").hidden = !isOpen;
    this.other.setAttribute("aria-expanded", String(isOpen));
    if (!isOpen) return;
    const [from, to] = this.shown();
    $("range-from").value = local(from);
    $("range-to").value = local(to);
    $("range-from").focus();
  }

  /** Mark what is shown, in the present language. */
  show() {
    const { voice, address } = this.app;
    for (const button of $("spans").children) {
      const isOther = button === this.other;
      button.textContent = isOther ? voice.words.custom : voice.span(Number(button.value));
      const isShown = isOther ? address.from !== null : address.from === null && Number(button.value) === address.span;
      button.setAttribute("aria-pressed", String(isShown));
    }
    this.other.setAttribute("aria-expanded", String(!$("range-form").hidden));
  }
}

/* As an input of local time takes it. */
function local(ms) {
  const date = new Date(ms);
  return new Date(ms - date.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}
