/* The address of a view, pure: the part after the #. With it a view can be bookmarked, and the browser's Back works. */

import { DEFAULT_SPAN_S, SPANS_S } from "./range.js";

/**
 * @typedef {"fleet" | "node" | "pipeline"} ViewName
 *
 * @typedef {object} Address
 * @property {ViewName | null} view null if the address names none
 * @property {string | null} node
 * @property {number} span seconds up to now; ignored if `from` and `to` are set
 * @property {number | null} from Unix ms
 * @property {number | null} to Unix ms
 */

/** @type {Map<string, ViewName>} */
const PLAIN = new Map([
  ["fleet", "fleet"],
  ["pipeline", "pipeline"],
  ["delivery", "pipeline"], // in older bookmarks
]);

/**
 * The address in a location's hash.
 *
 * @param {string} hash
 * @returns {Address}
 */
export function parseAddress(hash) {
  const text = hash.replace(/^#/, "");
  const plain = PLAIN.get(text);
  if (plain) return { ...empty(), view: plain };
  const wanted = new URLSearchParams(text);
  const node = wanted.get("node");
  if (!node) return empty();
  const span = Number(wanted.get("span"));
  const [from, to] = [instant(wanted.get("from")), instant(wanted.get("to"))];
  const range = from !== null && to !== null && from < to ? { from, to } : { from: null, to: null };
  return { view: "node", node, span: SPANS_S.includes(span) ? span : DEFAULT_SPAN_S, ...range };
}

/**
 * The hash of an address.
 *
 * @param {Address} address
 */
export function formatAddress({ view, node, span, from, to }) {
  if (view !== "node") return `#${view ?? ""}`;
  const values = new URLSearchParams({ node: node ?? "" });
  if (from === null || to === null) values.set("span", String(span));
  else {
    values.set("from", iso(from));
    values.set("to", iso(to));
  }
  return `#${values}`;
}

/**
 * The hash of the view of one node over the default span.
 *
 * @param {string} node
 */
export function nodeAddress(node) {
  return formatAddress({ ...empty(), view: "node", node });
}

/**
 * An instant as ISO 8601 in whole seconds.
 *
 * @param {number} ms
 */
export function iso(ms) {
  return new Date(Math.round(ms / 1000) * 1000).toISOString().replace(".000", "");
}

/** @returns {Address} */
function empty() {
  return { view: null, node: null, span: DEFAULT_SPAN_S, from: null, to: null };
}

/** @param {string | null} text */
function instant(text) {
  const ms = Date.parse(text ?? "");
  return Number.isFinite(ms) ? ms : null;
}
