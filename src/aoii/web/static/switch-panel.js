/* The switches of a demo: each breaks one part and mends it again. Hidden where there is no demo. */

import { fetchSwitches } from "./api.js";
import { $, copyOf, part, renewChildren, setText } from "./dom.js";

/**
 * @typedef {import("./api.js").SwitchName} SwitchName
 * @typedef {import("./api.js").Switches} Switches
 */

export class SwitchPanel {
  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    /** @type {Switches} */
    this.switches = { present: [], broken: [] };
  }

  /** Ask which switches there are; somebody else may have turned one. */
  async refresh() {
    const answer = await fetchSwitches();
    if (typeof answer !== "string") this.switches = answer;
    this.show();
  }

  /** Show the switches in the present language. */
  show() {
    const { present, broken } = this.switches;
    $("switches").hidden = !present.length;
    renewChildren($("switch-list"), present.join(), () => present.map((name) => this.newSwitch(name)));
    for (const [place, name] of present.entries()) {
      const item = /** @type {HTMLElement} */ ($("switch-list").children[place]);
      this.fill(item, name, broken.includes(name));
    }
  }

  /** @param {SwitchName} name */
  newSwitch(name) {
    const item = copyOf("new-switch");
    const box = part(item, "input", HTMLInputElement);
    box.addEventListener("change", () => this.turn(name, box.checked));
    return item;
  }

  /**
   * @param {HTMLElement} item
   * @param {SwitchName} name
   * @param {boolean} isBroken
   */
  fill(item, name, isBroken) {
    const { messages } = this.app.locale;
    part(item, "input", HTMLInputElement).checked = isBroken;
    setText(part(item, ".switch-name"), messages.switchNames[name]);
    setText(part(item, ".switch-state"), isBroken ? messages.switchBroken : messages.switchWorks);
    setText(part(item, ".switch-help"), messages.switchHelp[name]);
    item.toggleAttribute("data-broken", isBroken);
  }

  /**
   * @param {SwitchName} name
   * @param {boolean} broken
   */
  async turn(name, broken) {
    const answer = await fetchSwitches({ name, broken });
    const isRefused = typeof answer === "string";
    setText($("switches-problem"), isRefused ? answer : "");
    if (!isRefused) this.switches = answer;
    this.show();
  }
}
