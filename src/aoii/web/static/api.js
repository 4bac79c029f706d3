/* What the server sends, as the page uses it: the one place that knows the form on the wire.

   Points come as rows without names and get them here. A part that an event does not carry is null. */

/**
 * @typedef {"temp" | "hum"} Quantity °C, %RH
 *
 * @typedef {object} Sample one line of the node's own log
 * @property {number} at_ms event time, Unix ms
 * @property {number} temp
 * @property {number} hum
 * @property {number} pred_temp the gateway's estimate before, as far as the node knew it
 * @property {number} pred_hum
 *
 * @typedef {object} Estimate what the gateway estimated; null: nobody knows
 * @property {number} at_ms
 * @property {number | null} temp
 * @property {number | null} hum
 *
 * @typedef {object} Packet a reading that arrived
 * @property {number} at_ms
 * @property {number} temp
 * @property {number} hum
 * @property {number} pred_temp the gateway's estimate just before
 * @property {number} pred_hum
 * @property {string} kind
 * @property {number} qos
 *
 * @typedef {object} Extremes one column of a long range; null: a hole
 * @property {number} at_ms
 * @property {number | null} min_temp
 * @property {number | null} max_temp
 * @property {number | null} min_hum
 * @property {number | null} max_hum
 *
 * @typedef {{ samples: Sample[], estimates: Estimate[], packets: Packet[] }} Points each in order of time
 *
 * @typedef {(typeof NODE_STATES)[keyof typeof NODE_STATES]} NodeState
 *
 * @typedef {object} Health what a gateway reports of a node beside its readings; null: it does not
 * @property {number | null} battery_v
 * @property {number | null} rssi_dbm
 * @property {number | null} snr_db
 * @property {number | null} missing
 *
 * @typedef {object} Aoii
 * @property {"log" | "bound"} basis judged by every sample in the node's log, or a lower bound by its packets
 * @property {number} mean_s
 * @property {number} p99_s
 * @property {number} wrong of the instants
 * @property {number} instants
 *
 * @typedef {object} Totals of one node over a range
 * @property {number | null} start_ms
 * @property {number | null} end_ms
 * @property {number} packets
 * @property {number} periodic what one packet every period would have been
 * @property {boolean} logged whether the node's log is known
 *
 * @typedef {object} Judged what is known only where every point is
 * @property {string} node
 * @property {string | null} gateway
 * @property {NodeState[]} states how the node is now, the worst first
 * @property {number | null} last_packet_ms
 * @property {number | null} temp
 * @property {number | null} hum
 * @property {number} heartbeats
 * @property {number} qos0
 * @property {number} qos1
 * @property {number} estimates
 * @property {Aoii | null} aoii
 * @property {[from: number, to: number][]} wrong_spans Unix ms
 * @property {number[]} spark
 * @property {Health | null} health
 *
 * @typedef {Totals & Judged} Summary
 *
 * @typedef {{ exact: true, points: Points, summary: Summary | null }} ExactHistory every point of a short range
 * @typedef {object} ColumnHistory the extremes of a long range
 * @property {false} exact
 * @property {number} width_s of a column
 * @property {Extremes[]} measured
 * @property {Extremes[]} arrived
 * @property {Totals & { samples: number }} summary
 * @typedef {ExactHistory | ColumnHistory} History
 *
 * @typedef {object} Settings what does not change while the page is open
 * @property {number} beta_temp
 * @property {number} beta_hum
 * @property {number} period_s
 * @property {number} silent_after_s
 * @property {boolean} simulated
 * @property {number} speed
 * @property {boolean} coarse
 *
 * @typedef {"ok" | "warn" | "unreachable" | "down" | "unknown"} StageState
 * @typedef {"radio" | "gateway" | "outbox" | "broker" | "server" | "database" | "commit"} StageName
 * @typedef {"gateway" | "server" | "csv" | "edgelog"} StationName
 *
 * @typedef {object} Report what one station tells of a stage
 * @property {StationName | "web"} by
 * @property {string | null} address
 * @property {StageState} state
 * @property {number | null} waiting
 * @property {number | null} oldest_s
 * @property {number | null} per_minute
 * @property {number[]} track what waited over the last minutes
 * @property {[code: NoteCode, values: Record<string, string | number>][]} notes
 * @property {number | null} stale_s age of what a station last told that does not answer any more
 *
 * @typedef {keyof typeof import("./messages/en.js").en.notes} NoteCode
 * @typedef {{ name: StageName, state: StageState, reports: Report[] }} Stage
 *
 * @typedef {object} Pipeline
 * @property {Stage[]} stages
 * @property {Report[]} others stations that are not on the way of a reading
 * @property {{ counts: Record<string, number> | null, stale_s: number | null, dropped: number }} dead_letters
 *
 * @typedef {object} Status of the whole; every event that comes once a second carries it
 * @property {number} now_ms
 * @property {string | null} database_away why it cannot be read
 * @property {boolean} broker_up
 * @property {boolean} more_nodes
 * @property {boolean} has_nodes
 * @property {{ state: StageState, stages: StageName[] }} pipeline the worst of it
 *
 * @typedef {object} StreamEvent
 * @property {import("./address.js").ViewName | null} view of a snapshot only
 * @property {Settings | null} settings of a snapshot only
 * @property {Status | null} status
 * @property {Summary[] | null} nodes those of the fleet that changed
 * @property {string | null} node the one that is shown; of a snapshot only
 * @property {number | null} span_s that is shown; of a snapshot only
 * @property {Points} points new ones
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

/** The states of a node, the worst first: as the server names them, and as the page does. */
export const NODE_STATES = /** @type {const} */ ({
  silent: "silent",
  fault: "fault",
  wrong: "wrong",
  never: "never",
  battery: "battery",
  heard: "reporting",
  right: "correct",
});

/**
 * An event of the stream.
 *
 * @param {any} content JSON of the server
 * @returns {StreamEvent}
 */
export function decodeEvent(content) {
  const isSnapshot = content.view !== undefined;
  return {
    view: isSnapshot ? (content.view === "delivery" ? "pipeline" : content.view) : null,
    settings: isSnapshot ? decodeSettings(content) : null,
    status: content.now_ms === undefined ? null : decodeStatus(content),
    nodes: content.nodes?.map(decodeSummary) ?? null,
    node: content.node ?? null,
    span_s: content.span_s ?? null,
    points: decodePoints(content),
    summary: content.summary ? decodeSummary(content.summary) : null,
    neighbours: content.previous === undefined ? null : { previous: content.previous, next: content.next },
    pipeline: content.hops ? decodePipeline(content) : null,
  };
}

/**
 * The history of a node over a range.
 *
 * @param {any} content JSON of the server
 * @returns {History}
 */
export function decodeHistory(content) {
  if (content.exact) {
    const summary = content.summary ? decodeSummary(content.summary) : null;
    return { exact: true, points: decodePoints(content), summary };
  }
  return {
    exact: false,
    width_s: content.width_s,
    measured: named(COLUMNS.extremes, content.measured),
    arrived: named(COLUMNS.extremes, content.arrived),
    summary: content.summary,
  };
}

/**
 * How the stream is asked for a view.
 *
 * @param {import("./address.js").ViewName} view
 * @param {{ node?: string | null, span?: number }} wanted
 */
export function streamAddress(view, { node, span } = {}) {
  const values = new URLSearchParams({ view: view === "pipeline" ? "delivery" : view });
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
 * Rows as objects; what a row has beyond the columns is left out.
 *
 * @template T
 * @param {string[]} columns
 * @param {unknown[][]} rows
 * @returns {T[]}
 */
function named(columns, rows = []) {
  return rows.map((row) => /** @type {T} */ (Object.fromEntries(columns.map((name, place) => [name, row[place]]))));
}

/** @returns {Summary} */
function decodeSummary(/** @type {any} */ { vitals, states, ...summary }) {
  const known = states.map((/** @type {keyof typeof NODE_STATES} */ state) => NODE_STATES[state]);
  return { ...summary, states: known, health: vitals };
}

/** @returns {Settings} */
function decodeSettings(/** @type {any} */ content) {
  const { beta_temp, beta_hum, period_s, silent_after_s, simulated, speed, coarse } = content;
  return { beta_temp, beta_hum, period_s, silent_after_s, simulated, speed, coarse };
}

/** @returns {Status} */
function decodeStatus(/** @type {any} */ content) {
  const { now_ms, database_away, broker_up, more_nodes, states, delivery } = content;
  const pipeline = { state: delivery.state, stages: delivery.hops };
  return { now_ms, database_away, broker_up, more_nodes, has_nodes: Object.keys(states).length > 0, pipeline };
}

/** @returns {Pipeline} */
function decodePipeline(/** @type {any} */ { hops, beside, letters }) {
  return {
    stages: hops.map((/** @type {any} */ { hop, state, accounts }) => ({ name: hop, state, reports: accounts })),
    others: beside,
    dead_letters: letters,
  };
}
