/* The data of the charts as tables: the latest packets, or the columns of a long range. */

import { $, fillRows } from "./dom.js";

/**
 * @typedef {import("./language.js").Locale} Locale
 * @typedef {import("./api.js").Extremes} Extremes
 */

const ROWS = 100; // of the table of packets

/**
 * Show the latest packets, the newest first.
 *
 * @param {Locale} locale
 * @param {import("./api.js").Packet[]} packets
 */
export function showPackets({ messages, full, hundredth }, packets) {
  const kinds = /** @type {Record<string, string>} */ (messages.kinds);
  const rows = packets
    .slice(-ROWS)
    .reverse()
    .map(({ at_ms, kind, temp, pred_temp, hum, pred_hum, qos }) => {
      const values = [temp, pred_temp, hum, pred_hum].map(hundredth);
      return [full(at_ms), kinds[kind] ?? kind, ...values, String(qos)];
    });
  fillRows($("packet-rows"), rows);
}

/**
 * Show the columns, without gaps and without those that have the same values as the column before.
 *
 * @param {Locale} locale
 * @param {Extremes[]} columns
 */
export function showColumns({ full, hundredth }, columns) {
  const rows = columns
    .filter(
      (column, place) => column.min_temp !== null && String(values(column)) !== String(values(columns[place - 1])),
    )
    .map((column) => [full(column.at_ms), ...values(column).map((value) => (value === null ? "–" : hundredth(value)))]);
  fillRows($("column-rows"), rows);
}

/** @param {Extremes | undefined} column */
function values(column) {
  return column ? [column.min_temp, column.max_temp, column.min_hum, column.max_hum] : [];
}
