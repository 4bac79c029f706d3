/* The English messages of the page. A message with values is a function; its numbers are already formatted. */

/**
 * @typedef {object} NoteValues the values of all notes; each note uses some of them
 * @property {string} budget
 * @property {string} check
 * @property {string} count
 * @property {string} outcome
 * @property {string} port
 * @property {string} reason
 * @property {string} result
 * @property {string} seconds
 * @property {string} station
 * @property {string} status
 * @property {string} written
 */

/** @type {(count: string, noun: string, plural?: string) => string} */
const many = (count, noun, plural = `${noun}s`) => `${count} ${count === "1" ? noun : plural}`;

const MINUTE = "in the last minute";

/** @satisfies {Record<string, (values: NoteValues) => string>} */
const notes = {
  noPort: () => "It has no status port. Configure one to see it here.",
  unasked: () => "Waiting for its first answer…",
  noAnswer: ({ reason }) => `Its status port does not answer: ${reason}. Is it running?`,
  neverAnswered: () => "No answer since this page started. Check WEB_STATIONS and the status ports.",
  notTold: ({ station }) => `Unknown: the ${station}, which reports it, is not responding.`,
  checkFails: ({ check }) => `Its check “${check}” fails. See its log.`,
  portClosed: ({ port }) => `Cannot open the receiver at ${port}. Is it plugged in?`,
  rejected: ({ count, reason }) => `${many(count, "frame")} rejected ${MINUTE}: ${reason}.`,
  repliesLate: ({ count }) => `${many(count, "reply", "replies")} too late for the radio ${MINUTE}.`,
  outboxFull: () => "Full, or its disk is not writable. Nodes get no reply and keep their readings.",
  outboxRefused: ({ count }) => `${many(count, "reading")} not accepted ${MINUTE}. The nodes keep them.`,
  outboxDamaged: ({ count, outcome }) => `Its file was damaged: ${many(count, "reading")} ${outcome}.`,
  outboxGrows: ({ count }) =>
    `Grew by ${count} ${MINUTE} without acknowledgements. Nothing is lost; check the hops below.`,
  outboxOld: () => "Its oldest reading has been waiting for a long time. Check the hops below.",
  outboxFullSoon: ({ seconds }) =>
    `Full in ${seconds} at the present rate. Then nodes get no reply. Repair the hops below, or raise OUTBOX_MAX_MB.`,
  diskFullSoon: ({ seconds }) => `Its disk is full in ${seconds} at the present rate. Make room.`,
  lettersFullSoon: ({ seconds }) =>
    `The dead letters are full in ${seconds} at the present rate. Then it accepts nothing more. Repair the database.`,
  writesTooMuch: ({ written, budget }) =>
    `Writes ${written} MB a day, more than the ${budget} MB of WRITE_BUDGET_MB: a memory card wears out.`,
  notConnected: ({ reason }) => (reason ? `Not connected: ${reason}` : "Not connected."),
  connectionLost: ({ count }) => `Connection lost ${many(count, "time")} ${MINUTE}.`,
  publishFailed: ({ count, result }) => `${many(count, "publish attempt")} ${result} ${MINUTE}.`,
  brokerDrops: ({ count }) => `The broker dropped ${many(count, "message")} ${MINUTE}.`,
  lettersFull: () => "The dead letters are full or cannot be written. The server accepts nothing more.",
  inboxOverrun: ({ count }) =>
    `${many(count, "message")} not taken ${MINUTE}: the server could not keep up. Readings are sent again.`,
  badMessages: ({ count }) => `${many(count, "invalid message")} ${MINUTE}.`,
  rowsRefused: () => "The server cannot write to it.",
  insertRetries: ({ count }) => `${many(count, "insert")} retried ${MINUTE}.`,
  rowsDeadLettered: ({ count, outcome }) =>
    `${many(count, "reading")} moved to the dead letters ${MINUTE}: ${outcome}.`,
  notReadable: ({ reason }) => `This page cannot read the database: ${reason}`,
  oneDisk: () =>
    "The outbox is on this disk, too. If it dies, a backup elsewhere and the last 126 readings in each node are left.",
  acksLost: ({ count, status }) => `${many(count, "acknowledgement")} lost ${MINUTE} (${status}).`,
  acksMismatched: ({ count }) =>
    `${many(count, "acknowledgement")} for other content ${MINUTE}. Those readings were kept.`,
  noAcks: () => `Readings are waiting, but no acknowledgement arrived ${MINUTE}.`,
  ackDelay: ({ seconds }) => `${seconds} from acceptance to acknowledgement, on average ${MINUTE}.`,
};

export const en = {
  skip: "Skip to content",
  tagline: "Nodes send only when the gateway's estimate is wrong.",
  language: "Language",
  pages: "Pages",
  connecting: "Connecting…",
  live: "Live",
  partly: "Partly live",
  lost: "Disconnected. Retrying…",
  simulated: (/** @type {string} */ speed) => `Simulated time, ${speed}×`,
  databaseAway: "Cannot read the database.",
  databaseAwayMore: (/** @type {string} */ reason) => `Showing the last known data and retrying. (${reason})`,
  brokerAway: "The broker is not responding.",
  brokerAwayMore: "The gateway's estimates are missing. Packets still come from the database.",
  pageFailed: "This page has failed.",
  loading: "Loading…",
  eventTime: "Measurement times, in your time zone.",
  raw: "Raw data",
  time: "Time",

  // fleet
  fleet: "Fleet",
  node: "Node",
  nodes: "Nodes",
  nodeCount: (/** @type {string} */ count) => many(count, "node"),
  filter: "Filter by state",
  search: "Find a node",
  noneFound: "No nodes match.",
  fleetTable: "All nodes as a table",
  state: "State",
  states: {
    silent: "silent",
    sensor_fault: "sensor fault",
    wrong: "estimate wrong",
    no_packets: "no packets yet",
    low_battery: "low battery",
    reporting: "reporting",
    correct: "estimate correct",
  },
  stateHelp: {
    silent: "no packet for longer than the heartbeat interval (without heartbeats: a day) plus ten minutes",
    sensor_fault: "the node reports a sensor fault",
    wrong: "according to the node's log, the estimate is off by the threshold or more",
    no_packets: "no packet has been received from this node",
    low_battery: "the node reports a low battery",
    reporting: "packets arrive on time; without the node's log, accuracy is unknown",
    correct: "according to the node's log, the estimate is within the threshold",
  },
  /** @type {(packets: string, periodic: string) => string} */
  packetsShort: (packets, periodic) => `${packets} of ${periodic} packets`,
  reading: "Reading",
  battery: "Battery",
  signal: "Signal",
  allReadings: "All readings",
  allReadingsMore: "Of all nodes, from the whole database. Errors are reading minus estimate. Times are the server's.",
  total: "Total",
  avgTemp: "Mean temperature",
  avgHumidity: "Mean humidity",
  maeTemp: "Mean absolute error, temperature",
  maeHumidity: "Mean absolute error, humidity",
  firstAt: "First stored",
  lastAt: "Last stored",
  moreNodes: "The database has more nodes than this page can show.",

  // empty
  noReading: "No readings yet",
  noReadingMore: "The first reading will appear here automatically. If none arrives, check each step:",
  checkNode: "Is a node switched on and in range of the receiver?",
  checkGateway: "Is “aoii gateway” running, and is the receiver plugged in at SERIAL_PORT?",
  checkBroker: "Is the broker running?",
  checkServer: "Is “aoii server” running?",
  checkDatabase: "Can the database be read?",
  yes: "Yes.",
  no: (/** @type {string} */ reason) => (reason ? `No: ${reason}` : "No."),
  doctor: "“aoii doctor” checks all of this and says what to fix. The Pipeline page shows the health of every hop.",

  // node
  toFleet: "All nodes",
  previous: (/** @type {string} */ node) => `Previous: node ${node}`,
  next: (/** @type {string} */ node) => `Next: node ${node}`,
  receivedBy: (/** @type {string} */ gateway) => `received by ${gateway}`,
  summary: "Packets and accuracy",
  packetsOf: (/** @type {string} */ periodic) => `of ${periodic} packets`,
  /** @type {(every: string, span: string, periodic: string) => string} */
  packetsMore: (every, span, periodic) => `Sending every ${every} for ${span} would take ${many(periodic, "packet")}.`,
  accuracy: "Estimate accuracy",
  accuracyMore: (/** @type {string} */ instants) => `of ${many(instants, "sample")}`,
  unknown: "unknown",
  accuracyUnknown: "needs the node's log",
  accuracyLong: "only for ranges of up to two days",
  noPackets: "no packets received",
  aoii: "Mean AoII",
  aoiiLong: "Age of Incorrect Information: how long the gateway's estimate has been wrong; 0 while it is correct",
  aoiiMore: (/** @type {string} */ p99) => `99th percentile: ${p99}`,
  aoiiBound: "lower bound: unknown between packets",
  atLeast: (/** @type {string} */ value) => `≥ ${value}`,
  qos: "QoS 1 / QoS 0",
  /** @type {(estimates: string, heartbeats: string) => string} */
  qosMore: (estimates, heartbeats) => `heartbeats: ${heartbeats}, estimates: ${estimates}`,
  lastPacket: "Last packet",
  never: "never",
  radio: "Radio",
  noHealth: "not reported by the gateway",
  snr: (/** @type {string} */ snr) => `SNR ${snr} dB`,
  missing: (/** @type {string} */ count) => `${many(count, "reading")} missing`,
  noBattery: "not reported by the node",
  volts: (/** @type {string} */ volts) => `${volts} V`,
  dbm: (/** @type {string} */ dbm) => `${dbm} dBm`,
  temperature: "Temperature, °C",
  humidity: "Relative humidity, %",
  legend: "Legend",
  measured: "measured",
  extremes: "measured, min to max",
  estimate: "gateway's estimate",
  band: (/** @type {string} */ betas) => `threshold ${betas}`,
  sent: "sent",
  arrived: "received",
  heartbeat: "heartbeat",
  wrong: "estimate wrong",
  /** @type {(time: string, measured: string, estimate: string) => string} */
  readout: (time, measured, estimate) => `${time} · measured ${measured} · estimate ${estimate}`,
  /** @type {(time: string, low: string, high: string) => string} */
  readoutExtremes: (time, low, high) => `${time} · ${low} to ${high}`,
  fromLog:
    "Measured values come from the node's log. Estimates come from the gateway; for times before this page was started, from the node's log.",
  fromPackets: "The node's log is not in this database, so values between packets are unknown.",
  fromColumns: (/** @type {string} */ width) => `Minimum and maximum of every ${width}. Zoom in to see shorter gaps.`,
  coarse: "At this speed early retries look like first tries, so accuracy may be slightly overstated.",
  /** @type {(quantity: string, node: string, range: string, low: string, high: string, packets: string) => string} */
  chart: (quantity, node, range, low, high, packets) =>
    `${quantity} of node ${node}, ${range}: ${low} to ${high}, ${many(packets, "packet")}. The table below has the same data.`,
  /** @type {(quantity: string, node: string) => string} */
  chartEmpty: (quantity, node) => `${quantity} of node ${node}: no data yet.`,
  lastSpan: (/** @type {string} */ span) => `last ${span}`,
  /** @type {(from: string, to: string) => string} */
  fromTo: (from, to) => `${from} to ${to}`,
  asTable: "Latest packets as a table",
  columnsAsTable: "This range as a table",
  kind: "Reason",
  tempMeasured: "Temperature, °C",
  humMeasured: "Humidity, %",
  estimated: "estimate",
  least: "min",
  greatest: "max",
  kinds: { event: "estimate wrong", heartbeat: "heartbeat", backfill: "sent late", legacy: "old firmware" },

  // ranges
  range: "Time range",
  custom: "Custom…",
  moveRange: "Move and zoom",
  earlier: "Earlier",
  later: "Later",
  zoomIn: "Zoom in",
  zoomOut: "Zoom out",
  dragHint: "Drag across a chart to zoom in.",
  from: "From",
  to: "To",
  showRange: "Show",
  badRange: "The start must be before the end.",
  nothingThere: "No data for this node in this range.",
  historyFailed: (/** @type {string} */ reason) => `Cannot load the history: ${reason}`,
  /** @type {(samples: string, packets: string) => string} */
  everyPoint: (samples, packets) => `All points: ${many(samples, "sample")}, ${many(packets, "packet")}.`,
  /** @type {(samples: string, packets: string, width: string) => string} */
  everyColumn: (samples, packets, width) =>
    `${many(samples, "sample")} and ${many(packets, "packet")}, grouped by ${width}.`,

  // pipeline
  pipeline: "Pipeline",
  pipelineMore: "The health of every hop from the radio to the commit acknowledgement, as reported by the stations.",
  allWell: "All hops are healthy.",
  notSeen: (/** @type {string} */ hops) => `No problems found. Unknown: ${hops}.`,
  trouble: (/** @type {string} */ hops) => `Needs attention: ${hops}.`,
  hops: {
    radio: "Radio",
    gateway: "Gateway",
    outbox: "Outbox",
    broker: "Broker",
    server: "Server",
    database: "Database",
    commit: "Commit acknowledgement",
  },
  hopHelp: {
    radio: "from the nodes to the receiver",
    gateway: "checks, commits and acknowledges each frame",
    outbox: "keeps each reading until the database has it",
    broker: "carries messages, but is not relied on to keep them",
    server: "receives messages and stores them",
    database: "stores the readings",
    commit: "tells the gateway which readings are stored",
  },
  hopStates: { ok: "healthy", warn: "warning", unreachable: "not responding", down: "down", unknown: "unknown" },
  stations: { gateway: "gateway", server: "server", csv: "CSV subscriber", edgelog: "log reader" },
  by: (/** @type {string} */ station) => `reported by the ${station}`,
  byPage: "seen from this page",
  waiting: "waiting",
  oldest: "oldest",
  rate: "per minute",
  ahead: {
    outboxFull: "full in",
    diskFull: "disk full in",
    lettersFull: "dead letters full in",
    keptReach: "kept for",
  },
  written: "written a day",
  switches: "Break it",
  switchesMore:
    "This is a demo. Break a part, see which hops notice, and mend it: the ledger below balances again, and nothing is missing.",
  switchWorks: "works",
  switchBroken: "broken",
  switchNames: {
    broker: "broker",
    database: "database",
    receiver: "receiver",
    node: "node 1",
    clock: "gateway's clock",
  },
  switchHelp: {
    broker: "The broker is stopped: readings wait in the gateway's outbox.",
    database: "The database takes no rows: the broker and the outbox keep the readings, and the page still reads.",
    receiver: "The receiver is unplugged: nodes get no answer, keep their readings and send again.",
    node: "Node 1 is without power: what it had measured is in its flash, and after two heartbeats it is dead.",
    clock: "The gateway's clock is an hour ahead: times are wrong, and order and identity are not.",
  },
  stale: (/** @type {string} */ age) => `reported ${age}`,
  others: "Other stations",
  othersMore: "Not on the way to the database. A station that you do not run is shown as not responding.",
  ledger: "Ledger",
  ledgerMore: "Nodes number their readings: what became of each number.",
  ledgerEmpty: "No numbered readings yet.",
  ledgerAll: (/** @type {string} */ readings) => `All ${many(readings, "reading")} accounted for.`,
  /** @type {(unsettled: string, readings: string) => string} */
  ledgerSome: (unsettled, readings) => `${unsettled} of ${many(readings, "reading")} not accounted for.`,
  ledgerUnbalanced: "The tables contradict themselves: run aoii ledger.",
  ledgerContradicts: "contradictory",
  ledgerNode: (/** @type {string} */ readings) => `all ${many(readings, "reading")} accounted for`,
  /** @type {(node: string, epoch: string) => string} */
  ledgerOf: (node, epoch) => `${node}, epoch ${epoch}`,
  ledgerMissing: "Not accounted for",
  ledgerAccounted: "Accounted for",
  ledgerLetters: "Dead letters cannot be read from here and count as waiting.",
  counted: (/** @type {string} */ age) => `Counted ${age}.`,
  ledgerParts: {
    stored: "stored",
    dead_letters: "dead letters",
    void: "void (never acknowledged)",
    waiting: "waiting",
    open: "asked for",
    unknown: "unknown",
    lost: "lost",
    retired: "retired",
  },
  letters: "Dead letters",
  lettersMore: "Messages that the server received but could not store.",
  lettersUnknown: "No server has reported its dead letters yet.",
  lettersNone: "No dead letters.",
  letterReason: "Reason",
  letterCount: "Count",
  letterMeaning: "Meaning",
  letterAct: "What to do",
  letterReasons: {
    database_away: "The database was unavailable for too long. The server stores these automatically when it is back.",
    bad_row: "The table rejects this reading, for example because a text is too long.",
    mismatch:
      "The same node, epoch and counter are already stored with other content: two nodes share an identity, or one is forged.",
    corrupt: "Its checksum on the server's disk is wrong. Check the disk.",
    malformed: "Not a valid message: another program publishes to this topic, or the sender is newer than the server.",
  },
  /** @type {(count: string) => string} */
  lettersDropped: (count) => `${many(count, "malformed message")} discarded to make room for newer ones.`,
  lookWith: "List them with",
  thenWith: "then fix the table and run",
  notes,
};
