/* Shows the summary of one node over the range that is shown, and its present state. */

import { $, setText, showNodeStates, showValues } from "./dom.js";
import { accuracyPercent, coveredSeconds, nameOf, savedPercent } from "./summary.js";

/**
 * @typedef {import("./language.js").Locale} Locale
 * @typedef {import("./api.js").Summary} Summary
 * @typedef {import("./api.js").PastSummary} PastSummary
 * @typedef {import("./api.js").Totals} Totals
 */

/**
 * Show the packets of a range, and how accurate the estimate was.
 *
 * @param {Locale} locale
 * @param {PastSummary | Totals} summary only totals if the range is too long to judge every sample
 * @param {import("./api.js").Settings} settings
 */
export function showSummary(locale, summary, settings) {
  const { messages } = locale;
  const [packets, periodic] = [locale.whole(summary.packets), locale.whole(summary.periodic)];
  setText($("packets"), packets);
  setText($("packets-of"), messages.packetsOf(periodic));
  setText($("saved"), saved(locale, summary));
  $("meter").style.width = `${Math.min(100, (100 * summary.packets) / Math.max(1, summary.periodic))}%`;
  const [every, covered] = [locale.span(settings.period_s), locale.span(coveredSeconds(summary))];
  setText($("packets-more"), messages.packetsMore(every, covered, periodic));
  for (const [id, [value, more]] of Object.entries(judged(locale, summary))) {
    setText($(id), value);
    setText($(`${id}-more`), more);
  }
}

/**
 * Show the present state and values, when the node was heard, battery and radio, whatever range is shown.
 *
 * @param {Locale} locale
 * @param {Summary} summary
 * @param {number} nowMs
 */
export function showPresent(locale, summary, nowMs) {
  const { messages } = locale;
  const { last_heard_ms: last, states, gateway, health, place } = summary;
  setText($("node-name"), nameOf(summary));
  showNodeStates($("node-states"), states, locale);
  showValues($("node-value"), $("node-source"), summary, locale);
  const where = [place, gateway ? messages.receivedBy(gateway) : null];
  setText($("node-more"), where.filter(Boolean).join(" · "));
  setText($("last"), last === null ? messages.never : locale.ago(Math.max(0, (nowMs - last) / 1000)));
  setText($("last-more"), last === null ? "" : locale.full(last));
  const { battery_v: battery = null, rssi_dbm: rssi = null, snr_db: snr = null, missing = null } = health ?? {};
  setText($("battery"), battery === null ? "–" : messages.volts(locale.hundredth(battery)));
  const isLow = states.includes("low_battery");
  setText($("battery-more"), battery === null ? messages.noBattery : isLow ? messages.states.low_battery : "");
  setText($("rssi"), rssi === null ? "–" : messages.dbm(locale.whole(rssi)));
  const more = [snr === null ? "" : messages.snr(locale.whole(snr))];
  if (missing) more.push(messages.missing(locale.whole(missing)));
  setText($("rssi-more"), rssi === null ? messages.noHealth : more.filter(Boolean).join(", "));
}

/**
 * What is shown of the accuracy, the AoII and the QoS: a value and a note each, by the id of their element.
 *
 * @param {Locale} locale
 * @param {PastSummary | Totals} summary
 * @returns {Record<"accuracy" | "aoii" | "qos", [value: string, more: string]>}
 */
function judged(locale, summary) {
  const { messages, whole, duration } = locale;
  if (!("aoii" in summary)) {
    return { accuracy: ["–", messages.accuracyLong], aoii: ["–", messages.accuracyLong], qos: ["–", ""] };
  }
  const { aoii, qos0, qos1, estimates, heartbeats } = summary;
  const more = messages.qosMore(whole(estimates), whole(heartbeats));
  /** @type {[string, string]} */
  const qos = [`${whole(qos1)} / ${whole(qos0)}`, more];
  if (aoii === null) return { accuracy: [messages.unknown, messages.noPackets], aoii: ["–", ""], qos };
  if (aoii.basis === "bound") {
    const bound = messages.atLeast(duration(aoii.mean_s));
    return { accuracy: [messages.unknown, messages.accuracyUnknown], aoii: [bound, messages.aoiiBound], qos };
  }
  const percent = `${locale.hundredth(accuracyPercent(aoii))} %`;
  return {
    accuracy: [percent, messages.accuracyMore(whole(aoii.instants))],
    aoii: [duration(aoii.mean_s), messages.aoiiMore(duration(aoii.p99_s))],
    qos,
  };
}

/**
 * The change against sending every period, with its sign.
 *
 * @param {Locale} locale
 * @param {Totals} totals
 */
function saved({ whole }, totals) {
  const percent = savedPercent(totals);
  return percent === null ? "" : `${percent > 0 ? "+" : ""}${whole(percent)} %`;
}
