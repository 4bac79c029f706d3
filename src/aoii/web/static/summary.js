/* Computes the numbers that the summary of a node shows, pure. */

/**
 * The share of samples at which the gateway's estimate was correct, in percent.
 *
 * Rounded down: 100.00 % means that no sample was wrong.
 *
 * @param {{ wrong: number, instants: number }} aoii
 */
export function accuracyPercent({ wrong, instants }) {
  return instants ? Math.floor((10000 * (instants - wrong)) / instants) / 100 : 100;
}

/**
 * The change against sending a packet every period, in percent, such as −92; null if nothing is known.
 *
 * @param {{ packets: number, periodic: number }} totals
 */
export function savedPercent({ packets, periodic }) {
  return periodic ? Math.round(100 * (packets / periodic - 1)) : null;
}

/**
 * The time that the summary covers, in seconds, rounded to whole minutes; 0 if nothing is known.
 *
 * @param {{ start_ms: number | null, end_ms: number | null }} totals
 */
export function coveredSeconds({ start_ms: start, end_ms: end }) {
  return start === null || end === null ? 0 : Math.round((end - start) / 60000) * 60;
}

/**
 * What a node is called on the page: its name with its number beside it, or its number alone.
 *
 * @param {Pick<import("./api.js").Summary, "node" | "name">} summary
 */
export function nameOf({ node, name }) {
  return name === null ? node : `${name} · ${node}`;
}

/**
 * As `nameOf`, but a number alone gets a word.
 *
 * @param {Pick<import("./api.js").Summary, "node" | "name">} summary
 * @param {{ node: string }} messages
 */
export function titleOf(summary, messages) {
  return summary.name === null ? `${messages.node} ${summary.node}` : nameOf(summary);
}

/**
 * The latest values of a node, such as "21.5 °C · 40 %"; a dash if there are none.
 *
 * @param {{ temp: number | null, hum: number | null }} summary
 * @param {import("./language.js").Locale} locale
 */
export function valuesOf({ temp, hum }, { tenth, whole }) {
  return temp === null || hum === null ? "–" : `${tenth(temp)} °C · ${whole(hum)} %`;
}

/**
 * Where these values come from, and what they may be wrong by; empty if there are none.
 *
 * @param {Pick<import("./api.js").Summary, "source" | "error_bound">} summary
 * @param {import("./language.js").Locale} locale
 */
export function sourceOf({ source, error_bound: bound }, { messages, tenth }) {
  if (source === null) return "";
  if (source === "measured") return messages.measuredValue;
  if (bound === null) return messages.estimatedOnly;
  return messages.estimatedWithin(tenth(bound.temperature), tenth(bound.humidity));
}
