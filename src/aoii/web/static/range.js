/* Ranges of time, pure: the usual spans, and what moving and zooming make of a range. A range is `[from, to]` in Unix ms. */

/** @typedef {[from: number, to: number]} Range */

export const LIVE_SPANS_S = [3600, 21600, 86400]; // followed as they grow
const LONG_SPANS_S = [604800, 2592000]; // read from the database
export const SPANS_S = [...LIVE_SPANS_S, ...LONG_SPANS_S];
export const DEFAULT_SPAN_S = 86400;

const LEAST_MS = 600000; // ten samples of the usual period
const MOST_MS = 10 * 366 * 86400000;

/** What the buttons make of a range. @satisfies {Record<string, (range: Range) => Range>} */
export const STEPS = {
  earlier: (/** @type {Range} */ [from, to]) => shifted(from, to, -1 / 2),
  later: (/** @type {Range} */ [from, to]) => shifted(from, to, 1 / 2),
  in: (/** @type {Range} */ [from, to]) => grown(from, to, -1 / 4),
  out: (/** @type {Range} */ [from, to]) => grown(from, to, 1 / 2),
};

/**
 * The range that can be shown: neither too narrow nor too wide, and one that would reach beyond now ends now.
 *
 * @param {Range} range
 * @param {number} nowMs
 * @returns {Range}
 */
export function bounded([from, to], nowMs) {
  const width = Math.min(MOST_MS, Math.max(LEAST_MS, to - from));
  const end = Math.min((from + to) / 2 + width / 2, Math.max(nowMs, LEAST_MS));
  return [end - width, end];
}

/**
 * An instant as an input of local time takes it.
 *
 * @param {number} ms
 */
export function localInput(ms) {
  const date = new Date(ms);
  return new Date(ms - date.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

/** @type {(from: number, to: number, share: number) => Range} */
function shifted(from, to, share) {
  const by = share * (to - from);
  return [from + by, to + by];
}

/** @type {(from: number, to: number, share: number) => Range} */
function grown(from, to, share) {
  const by = share * (to - from);
  return [from - by, to + by];
}
