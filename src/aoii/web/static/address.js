/* The address of a view, pure: what stands behind the # and what it means. Every view can be bookmarked, and Back goes back. */

export const LIVE_SPANS_S = [3600, 21600, 86400]; // followed as they grow
export const LONG_SPANS_S = [604800, 2592000]; // read from the database
const DEFAULT_SPAN_S = 86400;

/** `{view, node, span, from, to}`; view is null when the address does not say, from and to are Unix ms or null. */
export function read(hash) {
  const text = hash.replace(/^#/, "");
  if (text === "fleet" || text === "delivery") return { ...empty(), view: text };
  const wanted = new URLSearchParams(text);
  const node = wanted.get("node");
  if (!node) return empty();
  const span = Number(wanted.get("span"));
  const [from, to] = [instant(wanted.get("from")), instant(wanted.get("to"))];
  const isRange = from !== null && to !== null && from < to;
  return {
    view: "node",
    node,
    span: [...LIVE_SPANS_S, ...LONG_SPANS_S].includes(span) ? span : DEFAULT_SPAN_S,
    from: isRange ? from : null,
    to: isRange ? to : null,
  };
}

/** The address of a view. */
export function write({ view, node, span, from, to }) {
  if (view !== "node") return `#${view}`;
  const values = from === null ? { node, span } : { node, from: iso(from), to: iso(to) };
  return `#${new URLSearchParams(values)}`;
}

/** The address of a node over the usual span. */
export function ofNode(node) {
  return write({ ...empty(), view: "node", node });
}

function empty() {
  return { view: null, node: null, span: DEFAULT_SPAN_S, from: null, to: null };
}

function instant(text) {
  const ms = Date.parse(text ?? "");
  return Number.isFinite(ms) ? ms : null;
}

export function iso(ms) {
  return new Date(Math.round(ms / 1000) * 1000).toISOString().replace(".000", "");
}
