/* The states of nodes, pure: which is worse, how many nodes are in each, and which nodes match a filter. */

import { NODE_STATES } from "./api.js";

/** @typedef {import("./api.js").Summary} Summary */

const collator = new Intl.Collator("en", { numeric: true });

/**
 * The nodes with the worst state first; nodes in the same state in natural order, 2 before 10.
 *
 * @param {Iterable<Summary>} nodes
 */
export function worstFirst(nodes) {
  return [...nodes].sort((one, other) => rank(one) - rank(other) || collator.compare(one.node, other.node));
}

/**
 * The number of nodes in each state; a node may be in several.
 *
 * @param {Iterable<Summary>} nodes
 */
export function countStates(nodes) {
  const held = [...nodes].flatMap(({ states }) => states);
  const counts = NODE_STATES.map((state) => [state, held.filter((each) => each === state).length]);
  return /** @type {Record<import("./api.js").NodeState, number>} */ (Object.fromEntries(counts));
}

/**
 * Whether a node's number, name or place contains the text and one of its states is chosen. If no state is chosen, all are.
 *
 * @param {Summary} node
 * @param {string} text
 * @param {Set<string>} chosen
 */
export function isMatch({ node, name, place, states }, text, chosen) {
  const wanted = text.trim().toLowerCase();
  const isNamed = [node, name, place].some((one) => one?.toLowerCase().includes(wanted));
  return isNamed && (!chosen.size || states.some((state) => chosen.has(state)));
}

/** @param {Summary} node */
function rank({ states: [worst] }) {
  return worst === undefined ? NODE_STATES.length : NODE_STATES.indexOf(worst);
}
