/* The controls for the time range: the usual spans, any other range, and buttons that move and zoom. */

import { $, make } from "./dom.js";
import { bounded, localInput, SPANS_S, STEPS } from "./range.js";

const INPUTS = /** @type {const} */ (["range-from", "range-to"]);

export class RangePicker {
  /**
   * @param {import("./app.js").App} app
   * @param {() => import("./range.js").Range} shown returns the range that is shown
   */
  constructor(app, shown) {
    this.app = app;
    this.shown = shown;
    this.spans = SPANS_S.map((seconds) => {
      const button = make("button", { type: "button" });
      button.addEventListener("click", () => app.go({ span: seconds, from: null, to: null }));
      return { seconds, button };
    });
    this.custom = make("button", { type: "button" });
    this.custom.setAttribute("aria-controls", "range-form");
    this.custom.addEventListener("click", () => this.unfold($("range-form").hidden === true));
    $("spans").append(...this.spans.map(({ button }) => button), this.custom);
    for (const [name, step] of Object.entries(STEPS)) {
      $(`zoom-${name}`).addEventListener("click", () => this.go(step(this.shown())));
    }
    $("range-form").addEventListener("submit", (event) => this.submit(event));
  }

  /**
   * Show another range.
   *
   * @param {import("./range.js").Range} range
   */
  go(range) {
    const [from, to] = bounded(range, this.app.nowMs);
    this.app.go({ view: "node", from, to });
  }

  /**
   * Show the range in the form, or that it is not one.
   *
   * @param {Event} event
   */
  submit(event) {
    event.preventDefault();
    const [from, to] = INPUTS.map((id) => new Date($(id, HTMLInputElement).value).getTime());
    const isRange = from !== undefined && to !== undefined && from < to;
    $("range-fault").hidden = isRange;
    for (const id of INPUTS) $(id).setAttribute("aria-invalid", String(!isRange));
    if (isRange) this.go([from, to]);
  }

  /**
   * Open the form with the range that is shown, or close it.
   *
   * @param {boolean} isOpen
   */
  unfold(isOpen) {
    $("range-form").hidden = !isOpen;
    this.custom.setAttribute("aria-expanded", String(isOpen));
    if (!isOpen) return;
    const [from, to] = this.shown();
    $("range-from", HTMLInputElement).value = localInput(from);
    $("range-to", HTMLInputElement).value = localInput(to);
    $("range-from").focus();
  }

  /** Mark the button of the range that is shown, and write all buttons in the present language. */
  show() {
    const { locale, address } = this.app;
    for (const { seconds, button } of this.spans) {
      button.textContent = locale.span(seconds);
      button.setAttribute("aria-pressed", String(address.from === null && seconds === address.span));
    }
    this.custom.textContent = locale.messages.custom;
    this.custom.setAttribute("aria-pressed", String(address.from !== null));
    this.custom.setAttribute("aria-expanded", String(!$("range-form").hidden));
  }
}
