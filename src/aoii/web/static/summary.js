/* The numbers of a node's summary, pure. */

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
 * The change in percent against sending a packet every period, such as −92; null when nothing is known.
 *
 * @param {{ packets: number, periodic: number }} totals
 */
export function savedPercent({ packets, periodic }) {
  return periodic ? Math.round(100 * (packets / periodic - 1)) : null;
}

/**
 * The covered time in seconds, rounded to whole minutes.
 *
 * @param {{ start_ms: number | null, end_ms: number | null }} totals
 */
export function coveredSeconds({ start_ms: start, end_ms: end }) {
  return start === null || end === null ? 0 : Math.round((end - start) / 60000) * 60;
}
