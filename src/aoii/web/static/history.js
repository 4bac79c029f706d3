/* Reads the history of a node from the server. */

import { iso } from "./address.js";
import { decodeHistory } from "./api.js";

/**
 * The history of a node over a range.
 *
 * Throws an error with the server's reason as message, and `AbortError` when `signal` aborts.
 *
 * @param {string} node
 * @param {import("./range.js").Range} range
 * @param {AbortSignal} signal
 */
export async function fetchHistory(node, [from, to], signal) {
  const query = new URLSearchParams({ node, start: iso(from), end: iso(to) });
  const answer = await fetch(`api/series?${query}`, { signal });
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return decodeHistory(content);
}
