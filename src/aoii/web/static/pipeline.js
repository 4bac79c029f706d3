/* The health of the pipeline, pure: what is wrong on the way of a reading, and which dead letters need a person most. */

/** @typedef {import("./api.js").HopState} HopState */

/** States that need a person, the worst first. @type {HopState[]} */
const TROUBLE = ["down", "unreachable", "warn"];
const REASONS = ["bad_row", "mismatch", "corrupt", "malformed", "database_away"]; // the first need a person most

/**
 * What can be said of all hops together.
 *
 * @template {{ state: HopState }} S
 * @param {S[]} hops
 * @returns {{ state: HopState, trouble: S[], unknown: S[] }} the worst state; what is in trouble, the worst first;
 *   what nobody can see
 */
export function verdict(hops) {
  const trouble = TROUBLE.flatMap((state) => hops.filter((hop) => hop.state === state));
  const unknown = hops.filter((hop) => hop.state === "unknown");
  return { state: trouble[0]?.state ?? (unknown.length ? "unknown" : "ok"), trouble, unknown };
}

/**
 * The reasons of which there are dead letters; those that we do not know come last.
 *
 * @param {Record<string, number>} counts
 */
export function presentReasons(counts) {
  const rank = (/** @type {string} */ reason) => (REASONS.includes(reason) ? REASONS.indexOf(reason) : REASONS.length);
  return Object.keys(counts)
    .filter((reason) => counts[reason])
    .sort((one, other) => rank(one) - rank(other));
}
