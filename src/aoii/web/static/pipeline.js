/* The health of the pipeline, pure: which hops need a person, and which dead letters need one first. */

/** @typedef {import("./api.js").HopState} HopState */

/** The states of a hop that need a person, the worst first. @type {HopState[]} */
const TROUBLE = ["down", "unreachable", "warn"];
/** The reasons of dead letters; those that need a person most come first. */
const REASONS = ["bad_row", "mismatch", "corrupt", "malformed", "database_away"];

/**
 * The worst state of any hop, and the hops that are not healthy.
 *
 * @template {{ state: HopState }} S
 * @param {S[]} hops
 * @returns {{ state: HopState, trouble: S[], unknown: S[] }} the worst state; the hops in
 *   trouble, the worst first; the unknown hops
 */
export function verdict(hops) {
  const trouble = TROUBLE.flatMap((state) => hops.filter((hop) => hop.state === state));
  const unknown = hops.filter((hop) => hop.state === "unknown");
  return { state: trouble[0]?.state ?? (unknown.length ? "unknown" : "ok"), trouble, unknown };
}

/**
 * The reasons for which there are dead letters, in the order of `REASONS`; reasons that are not in it come last.
 *
 * @param {Record<string, number>} counts
 */
export function presentReasons(counts) {
  const rank = (/** @type {string} */ reason) => (REASONS.includes(reason) ? REASONS.indexOf(reason) : REASONS.length);
  return Object.keys(counts)
    .filter((reason) => counts[reason])
    .sort((one, other) => rank(one) - rank(other));
}
