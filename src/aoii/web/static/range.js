/* Time ranges, pure: the usual spans, and how to move and zoom a range. */

/** @typedef {[from: number, to: number]} Range in Unix ms */

export const LIVE_SPANS_S = [3600, 21600, 86400]; // updated live
const LONG_SPANS_S = [604800, 2592000]; // read from the database
export const SPANS_S = [...LIVE_SPANS_S, ...LONG_SPANS_S];
export const DEFAULT_SPAN_S = 86400;

const MIN_MS = 600000; // the narrowest range: ten samples at one a minute
const MAX_MS = 10 * 366 * 86400000; // the widest: ten years

/** The buttons that change a range. @type {Record<"earlier" | "later" | "in" | "out", (range: Range) => Range>} */
export const STEPS = {
  earlier: (range) => moved(range, -1 / 2, -1 / 2),
  later: (range) => moved(range, 1 / 2, 1 / 2),
  in: (range) => moved(range, 1 / 4, -1 / 4),
  out: (range) => moved(range, -1 / 2, 1 / 2),
};

/**
 * The range, made wider, narrower or earlier so that it can be shown: it must not end after now.
 *
 * @param {Range} range
 * @param {number} nowMs
 * @returns {Range}
 */
export function bounded([from, to], nowMs) {
  const width = Math.min(MAX_MS, Math.max(MIN_MS, to - from));
  const end = Math.min((from + to) / 2 + width / 2, Math.max(nowMs, MIN_MS));
  return [end - width, end];
}

/**
 * An instant in local time, in the form of an input element of the type `datetime-local`.
 *
 * @param {number} ms
 */
export function localInput(ms) {
  const date = new Date(ms);
  return new Date(ms - date.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

/**
 * A range whose ends are moved by these shares of its width.
 *
 * @type {(range: Range, fromShare: number, toShare: number) => Range}
 */
function moved([from, to], fromShare, toShare) {
  const width = to - from;
  return [from + fromShare * width, to + toShare * width];
}
