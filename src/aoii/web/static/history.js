/* The history of a node, asked of the server. */

import { iso } from "./address.js";
import { decodeHistory } from "./api.js";

/**
 * The history of a node over a range.
 *
 * Throws an error whose message is the server's reason, and `AbortError` when `signal` says so.
 *
 * @param {string} node
 * @param {import("./range.js").Range} range
 * @param {AbortSignal} signal
 */
export async function readHistory(node, [from, to], signal) {
  const query = new URLSearchParams({ node, start: iso(from), end: iso(to) });
  const answer = await fetch(`api/series?${query}`, { signal });
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return decodeHistory(content);
}
