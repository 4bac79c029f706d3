/* Computes the numbers that the summary of a node shows, pure. */

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
 * The change against sending a packet every period, in percent, such as −92; null if nothing is known.
 *
 * @param {{ packets: number, periodic: number }} totals
 */
export function savedPercent({ packets, periodic }) {
  return periodic ? Math.round(100 * (packets / periodic - 1)) : null;
}

/**
 * The time that the summary covers, in seconds, rounded to whole minutes; 0 if nothing is known.
 *
 * @param {{ start_ms: number | null, end_ms: number | null }} totals
 */
export function coveredSeconds({ start_ms: start, end_ms: end }) {
  return start === null || end === null ? 0 : Math.round((end - start) / 60000) * 60;
}
