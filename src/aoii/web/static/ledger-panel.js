/* The ledger of all nodes: what became of every number; one line for a node of which nothing is missing. */

import { fetchLedger } from "./api.js";
import { $, fillRows, make, setText } from "./dom.js";
import { byNeed, partsOf, readingsOf, sumOf } from "./ledger.js";

/**
 * @typedef {import("./api.js").Account} Account
 * @typedef {import("./api.js").LedgerPart} LedgerPart
 */

const EVERY_MS = 60000; // the server counts no more often

export class LedgerPanel {
  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    /** @type {import("./api.js").Ledger | null} */
    this.ledger = null;
    /** @type {string | null} why there is no ledger; null: there is one, or no answer yet */
    this.problem = null;
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

  /** Show the ledger in the present language. */
  show() {
    const { messages, ago } = this.app.locale;
    const { ledger, problem } = this;
    const accounts = byNeed(ledger?.accounts ?? []);
    setText($("ledger-note"), ledger ? this.summary(accounts) : (problem ?? ""));
    setText($("ledger-age"), ledger && accounts.length ? messages.counted(ago(ledger.age_s)) : "");
    $("ledger-letters").hidden = !accounts.length || Boolean(ledger?.has_letters);
    $("ledger-table").hidden = !accounts.length;
    fillRows(
      $("ledger-rows"),
      accounts.map((account) => this.row(account)),
    );
  }

  /**
   * All accounts in a sentence.
   *
   * @param {Account[]} accounts
   */
  summary(accounts) {
    const { messages, whole } = this.app.locale;
    const { readings, unsettled, unbalanced } = sumOf(accounts);
    if (unbalanced) return messages.ledgerUnbalanced;
    if (!accounts.length) return messages.ledgerEmpty;
    return unsettled ? messages.ledgerSome(whole(unsettled), whole(readings)) : messages.ledgerAll(whole(readings));
  }

  /**
   * The cells of an account: its node, what is missing, and how the rest is accounted for.
   *
   * @param {Account} account
   */
  row(account) {
    const { messages, whole } = this.app.locale;
    const { unsettled, accounted } = partsOf(account);
    const list = (/** @type {[LedgerPart, number][]} */ parts) =>
      parts.map(([part, numbers]) => `${messages.ledgerParts[part]} ${whole(numbers)}`).join(", ");
    const missing = unsettled.length ? list(unsettled) : messages.ledgerNode(whole(readingsOf(account)));
    const state = account.is_balanced ? missing : make("strong", {}, messages.ledgerContradicts);
    return [messages.ledgerOf(account.node, whole(account.epoch)), state, list(accounted)];
  }

  /** @param {AbortSignal} signal */
  async follow(signal) {
    while (!signal.aborted) {
      if (!document.hidden) {
        const answer = await fetchLedger(signal);
        if (signal.aborted) return;
        this.problem = typeof answer === "string" ? answer : null;
        this.ledger = typeof answer === "string" ? null : answer;
        this.show();
      }
      await new Promise((resolve) => {
        setTimeout(resolve, EVERY_MS);
        signal.addEventListener("abort", resolve, { once: true });
      });
    }
  }
}
