/* Asks the server and decodes its answers. In the page, only this file knows their form; on the server, page_json.py
   encodes them.

   Points arrive as rows without names and get their names here. What an event does not have is null. */

import { iso } from "./address.js";

/**
 * @typedef {"temp" | "hum"} Quantity °C, %RH
 *
 * @typedef {object} Sample one line of the node's own log
 * @property {number} at_ms event time, Unix ms
 * @property {number} temp
 * @property {number} hum
 * @property {number} pred_temp the estimate just before, from the last forecast that was acknowledged to the node
 * @property {number} pred_hum
 *
 * @typedef {object} Estimate the gateway's estimate; null: unknown
 * @property {number} at_ms
 * @property {number | null} temp
 * @property {number | null} hum
 *
 * @typedef {object} Packet a reading that arrived
 * @property {number} at_ms
 * @property {number} temp
 * @property {number} hum
 * @property {number} pred_temp the estimate just before
 * @property {number} pred_hum
 * @property {string} kind
 * @property {number} qos
 *
 * @typedef {object} Extremes the lowest and highest values in a column of a long range; null: a gap
 * @property {number} at_ms
 * @property {number | null} min_temp
 * @property {number | null} max_temp
 * @property {number | null} min_hum
 * @property {number | null} max_hum
 *
 * @typedef {{ samples: Sample[], estimates: Estimate[], packets: Packet[] }} Points each list in order of time
 *
 * @typedef {(typeof NODE_STATES)[number]} NodeState
 *
 * @typedef {object} NodeHealth what a gateway reports of a node beside its readings; null: not reported
 * @property {number | null} battery_v
 * @property {number | null} rssi_dbm
 * @property {number | null} snr_db
 * @property {number | null} missing
 *
 * @typedef {object} Aoii
 * @property {"log" | "bound"} basis from every sample in the node's log, or a lower bound from its packets
 * @property {number} mean_s
 * @property {number} p99_s
 * @property {number} wrong number of sample instants at which the estimate was wrong
 * @property {number} instants number of all sample instants
 *
 * @typedef {object} Totals what is known of one node over any range
 * @property {number | null} start_ms
 * @property {number | null} end_ms
 * @property {number} packets
 * @property {number} periodic number of packets if one were sent every sample period
 * @property {boolean} logged whether the node's log is known
 *
 * @typedef {object} Details what else is known of a range that came with every point
 * @property {string} node
 * @property {string | null} gateway
 * @property {number | null} last_packet_ms
 * @property {number | null} temp
 * @property {number | null} hum
 * @property {"measured" | "estimated" | null} source of temp and hum
 * @property {number} heartbeats
 * @property {number} qos0
 * @property {number} qos1
 * @property {number} estimates
 * @property {Aoii | null} aoii
 * @property {[from: number, to: number][]} wrong_spans Unix ms
 * @property {number[]} spark
 *
 * @typedef {object} Present what is known of a node now
 * @property {NodeState[]} states the worst first
 * @property {"ok" | "late" | "dead" | "sensor_fault" | "unknown"} liveness of these, what its gateways say
 * @property {number | null} last_heard_ms
 * @property {ErrorBound | null} error_bound what temp and hum may be wrong by; null: nothing vouches for them
 * @property {NodeHealth | null} health
 * @property {string | null} name what people call it
 * @property {string | null} place where it is
 *
 * @typedef {{ temperature: number, humidity: number }} ErrorBound
 *
 * @typedef {Totals & Details} PastSummary
 * @typedef {PastSummary & Present} Summary
 *
 * @typedef {{ exact: true, points: Points, summary: PastSummary | null }} ExactHistory every point of a short range
 * @typedef {object} ColumnHistory the extremes of a long range
 * @property {false} exact
 * @property {number} width_s of a column
 * @property {Extremes[]} measured
 * @property {Extremes[]} arrived
 * @property {Totals & { samples: number }} summary
 * @typedef {ExactHistory | ColumnHistory} History
 *
 * @typedef {object} AllReadings totals over all readings in the database; without readings their number alone
 * @property {number} total
 * @property {number} [avg_temp]
 * @property {number} [avg_humidity]
 * @property {number} [mae_temp]
 * @property {number} [mae_humidity]
 * @property {string} [first_at] when the first one was stored, in the server's local time
 * @property {string} [last_at] when the last one was stored
 *
 * @typedef {"stored" | "dead_letters" | "void" | "waiting" | "open" | "unknown" | "lost" | "retired"} LedgerPart
 *
 * @typedef {{ node: string, epoch: number, first: number, last: number, is_balanced: boolean }} Numbers of a node and epoch
 * @typedef {Numbers & Record<LedgerPart, number>} Account how many of them are in each part
 *
 * @typedef {object} Ledger what became of every number of every node
 * @property {number} age_s how long ago it was counted
 * @property {boolean} has_letters whether dead letters are known; otherwise they count as waiting
 * @property {Account[]} accounts
 *
 * @typedef {object} Settings what does not change while the page is open
 * @property {number} beta_temp
 * @property {number} beta_hum
 * @property {number} period_s
 * @property {number} silent_after_s
 * @property {boolean} simulated
 * @property {number} speed
 * @property {boolean} coarse whether the simulation is too fast to tell early retries from first tries
 *
 * @typedef {"ok" | "warn" | "unreachable" | "down" | "unknown"} HopState
 * @typedef {"radio" | "gateway" | "outbox" | "broker" | "server" | "database" | "commit"} HopName
 * @typedef {"gateway" | "server" | "csv" | "edgelog"} StationName
 *
 * @typedef {"outboxFull" | "diskFull" | "lettersFull" | "keptReach"} Ahead
 *
 * @typedef {object} HopReport how a hop is doing, as one station sees it
 * @property {StationName | "web"} by
 * @property {string | null} address
 * @property {HopState} state
 * @property {number | null} waiting
 * @property {number | null} oldest_s
 * @property {number | null} per_minute
 * @property {number[]} track how many readings waited over the last minutes, oldest first
 * @property {Partial<Record<Ahead, number>>} ahead_s seconds until a buffer is full, or that kept readings go back
 * @property {number | null} written_mb what the station writes to its disk in a day, MB
 * @property {[code: NoteCode, values: Record<string, string | number>][]} notes
 * @property {number | null} stale_s age of the last answer; null: the station answers, or never did
 *
 * @typedef {keyof typeof import("./messages/en.js").en.notes} NoteCode
 * @typedef {{ name: HopName, state: HopState, reports: HopReport[] }} Hop
 *
 * @typedef {object} Pipeline
 * @property {Hop[]} hops
 * @property {HopReport[]} others stations that are not hops
 * @property {{ counts: Record<string, number> | null, stale_s: number | null, dropped: number }} dead_letters
 *
 * @typedef {"broker" | "database" | "receiver" | "node" | "clock"} SwitchName
 * @typedef {{ present: SwitchName[], broken: SwitchName[] }} Switches
 *
 * @typedef {object} Status of the whole system; sent once a second
 * @property {number} now_ms
 * @property {string | null} database_away why the database cannot be read; null: it can
 * @property {boolean} broker_up
 * @property {boolean} more_nodes whether there are more nodes than the server holds for the page
 * @property {boolean} has_nodes whether any node is known
 * @property {{ state: HopState, hops: HopName[] }} pipeline the worst state of any hop, and the hops in that state
 *
 * @typedef {object} StreamEvent
 * @property {import("./address.js").ViewName | null} view of a snapshot only
 * @property {Settings | null} settings of a snapshot only
 * @property {Status | null} status
 * @property {Summary[] | null} nodes of the fleet that changed; of a snapshot all
 * @property {string | null} node the node that is shown; of a snapshot only
 * @property {number | null} span_s the span that is shown; of a snapshot only
 * @property {Points} points the new ones; of a snapshot all
 * @property {Summary | null} summary
 * @property {{ previous: string | null, next: string | null } | null} neighbours
 * @property {Pipeline | null} pipeline
 */

/** The columns of each kind of row, in the order in which the server sends them. */
export const COLUMNS = {
  samples: ["at_ms", "temp", "hum", "pred_temp", "pred_hum"],
  estimates: ["at_ms", "temp", "hum"],
  packets: ["at_ms", "temp", "hum", "pred_temp", "pred_hum", "kind", "qos"],
  extremes: ["at_ms", "min_temp", "max_temp", "min_hum", "max_hum"],
};

/** The states of a node, the worst first. */
export const NODE_STATES = /** @type {const} */ ([
  "dead",
  "sensor_fault",
  "wrong",
  "late",
  "unknown",
  "low_battery",
  "ok",
  "correct",
]);

/**
 * Decode an event of the stream.
 *
 * @param {any} content JSON of the server
 * @returns {StreamEvent}
 */
export function decodeEvent(content) {
  const isSnapshot = content.view !== undefined;
  const { hops, others, dead_letters } = content;
  return {
    view: content.view ?? null,
    settings: isSnapshot ? decodeSettings(content) : null,
    status: content.now_ms === undefined ? null : decodeStatus(content),
    nodes: content.nodes ?? null,
    node: content.node ?? null,
    span_s: content.span_s ?? null,
    points: decodePoints(content),
    summary: content.summary ?? null,
    neighbours: content.previous === undefined ? null : { previous: content.previous, next: content.next },
    pipeline: hops ? { hops, others, dead_letters } : null,
  };
}

/**
 * Decode the history of a node over a range.
 *
 * @param {any} content JSON of the server
 * @returns {History}
 */
export function decodeHistory(content) {
  if (content.exact) return { exact: true, points: decodePoints(content), summary: content.summary };
  return {
    exact: false,
    width_s: content.width_s,
    measured: named(COLUMNS.extremes, content.measured),
    arrived: named(COLUMNS.extremes, content.arrived),
    summary: content.summary,
  };
}

/**
 * Fetch the history of a node over a range.
 *
 * Throws an error with the server's reason as its message if the server refuses, `AbortError` if `signal` aborts, and
 * the error of `fetch` if there is no answer.
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

/**
 * Fetch the totals over all readings; null while the server cannot tell them.
 *
 * @param {AbortSignal} signal
 * @returns {Promise<AllReadings | null>}
 */
export async function fetchTotals(signal) {
  try {
    const answer = await fetch("api/stats", { signal });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

/**
 * Fetch the ledger; the server's reason as a text while it cannot tell it.
 *
 * @param {AbortSignal} signal
 * @returns {Promise<Ledger | string>}
 */
export async function fetchLedger(signal) {
  try {
    const answer = await fetch("api/ledger", { signal });
    const content = await answer.json();
    return answer.ok ? content : content.error;
  } catch (error) {
    return String(error);
  }
}

/**
 * The switches of a demo, and which parts they have broken; none where there is no demo, or no answer.
 *
 * @param {{ name: SwitchName, broken: boolean }} [turn] the switch to turn first
 * @returns {Promise<Switches | string>} the server's reason as a text if it refuses to turn it
 */
export async function fetchSwitches(turn) {
  const body = turn && JSON.stringify({ switch: turn.name, broken: turn.broken });
  const headers = { "Content-Type": "application/json" };
  try {
    const answer = await fetch("api/switches", body ? { method: "POST", headers, body } : {});
    const content = await answer.json();
    return answer.ok ? content : content.error;
  } catch (error) {
    return String(error);
  }
}

/**
 * The address of the stream of a view.
 *
 * @param {import("./address.js").ViewName} view
 * @param {{ node?: string | null, span?: number }} options
 */
export function streamAddress(view, { node, span } = {}) {
  const values = new URLSearchParams({ view });
  if (node) values.set("node", node);
  if (span) values.set("span", String(span));
  return `events?${values}`;
}

/** @returns {Points} */
function decodePoints(/** @type {any} */ content) {
  return {
    samples: named(COLUMNS.samples, content.samples),
    estimates: named(COLUMNS.estimates, content.estimates),
    packets: named(COLUMNS.packets, content.packets),
  };
}

/**
 * Rows as objects whose keys are the names of the columns.
 *
 * @template T
 * @param {string[]} columns
 * @param {unknown[][]} rows
 * @returns {T[]}
 */
function named(columns, rows = []) {
  return rows.map((row) => /** @type {T} */ (Object.fromEntries(columns.map((name, place) => [name, row[place]]))));
}

/** @returns {Settings} */
function decodeSettings(/** @type {any} */ content) {
  const { beta_temp, beta_hum, period_s, silent_after_s, simulated, speed, coarse } = content;
  return { beta_temp, beta_hum, period_s, silent_after_s, simulated, speed, coarse };
}

/** @returns {Status} */
function decodeStatus(/** @type {any} */ content) {
  const { now_ms, database_away, broker_up, more_nodes, states, pipeline } = content;
  return { now_ms, database_away, broker_up, more_nodes, has_nodes: Object.keys(states).length > 0, pipeline };
}
