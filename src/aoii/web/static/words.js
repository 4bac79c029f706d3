/* The page's words in English and Korean. A word that takes values is a function. */

const en = {
  skip: "Skip to the charts",
  tagline: "Nodes send only when the gateway would be wrong.",
  language: "Language",
  connecting: "Connecting…",
  live: "Live",
  partly: "Live, in part",
  lost: "Connection lost, trying again…",
  simulated: (speed) => `Simulated time, ${speed}×`,
  databaseAway: "The database cannot be read.",
  databaseAwayMore: (reason) => `What was read before stays; it is tried again by itself. (${reason})`,
  brokerAway: "The broker does not answer.",
  brokerAwayMore: "The gateway's estimates are missing; packets still come from the database.",
  pageFailed: "This page has failed.",
  nodes: "Nodes",
  node: "Node",
  nodeCount: (count, silent) => (silent ? `${count}, ${silent} silent` : `${count}`),
  ok: "ok",
  silent: "silent",
  range: "Shown time",
  heardBy: (gateway) => `heard by ${gateway}`,
  packetsAndPicture: "Packets and AoII",
  packetsOf: (periodic) => `of ${periodic} packets`,
  packetsMore: (every, span, periodic) => `Periodic sending, every ${every} for ${span}: ${periodic} packets.`,
  packetsShort: (packets, periodic) => `${packets} of ${periodic}`,
  right: "Gateway right",
  rightMore: (instants) => `of ${instants} samples`,
  unknown: "unknown",
  rightUnknown: "the node's log is not here",
  noPackets: "no packet of it is known",
  aoii: "AoII, mean",
  aoiiLong: "Age of Incorrect Information: for how long the gateway has been wrong; 0 while it is right",
  aoiiMore: (p99) => `99th percentile: ${p99}`,
  aoiiBound: "lower bound: between packets nobody here knows",
  atLeast: (value) => `≥ ${value}`,
  qos: "QoS 1 / QoS 0",
  qosMore: (estimates, heartbeats) => `heartbeats: ${heartbeats}, estimates: ${estimates}`,
  lastPacket: "Last packet",
  never: "never",
  temperature: "Temperature, °C",
  humidity: "Relative humidity, %",
  legend: "Legend",
  measured: "measured",
  believed: "believed by the gateway",
  band: (betas) => `allowed error, ${betas}`,
  sent: "sent",
  heartbeat: "heartbeat",
  wrong: "gateway wrong",
  readout: (time, actual, belief) => `${time} · measured ${actual} · believed ${belief}`,
  fromLog: "Measured: from the node's own log. Believed: the gateway's estimates, and the node's log from before this page listened.",
  fromPackets: "Between packets nothing is known of what the node measured: its own log is not in this database.",
  coarse: "At this speed early retries look like first tries: the gateway seems a little better than it was.",
  chart: (quantity, node, span, low, high, packets) =>
    `${quantity} of node ${node}, last ${span}: from ${low} to ${high}, ${packets} packets. The same as a table below.`,
  chartEmpty: (quantity, node) => `${quantity} of node ${node}: nothing to show yet.`,
  asTable: "The latest packets as a table",
  time: "Time",
  kind: "Reason",
  tempMeasured: "Temperature, °C",
  tempBelieved: "believed",
  humMeasured: "Humidity, %",
  humBelieved: "believed",
  kinds: { event: "was wrong", heartbeat: "heartbeat", backfill: "sent late", legacy: "old firmware" },
  noReading: "No reading yet",
  noReadingMore: "The first one appears here by itself. If none comes, check along the way of the data:",
  checkNode: "Is a node switched on, and within reach of the receiver?",
  checkGateway: "Does “aoii gateway” run, and is the receiver at SERIAL_PORT plugged in?",
  checkBroker: "Is the broker up?",
  checkServer: "Does “aoii server” run?",
  checkDatabase: "Can the database be read?",
  yes: "Yes.",
  no: (reason) => (reason ? `No: ${reason}` : "No."),
  doctor: "The command “aoii doctor” checks all of this and says what to fix.",
  eventTime: "Times are those of the measurement, in your time zone.",
  raw: "Raw figures",
};

const ko = {
  skip: "그래프로 건너뛰기",
  tagline: "게이트웨이가 틀릴 때에만 노드가 보냅니다.",
  language: "언어",
  connecting: "연결 중…",
  live: "실시간",
  partly: "일부만 실시간",
  lost: "연결이 끊겼습니다. 다시 시도 중…",
  simulated: (speed) => `가상 시간, ${speed}배속`,
  databaseAway: "데이터베이스를 읽을 수 없습니다.",
  databaseAwayMore: (reason) => `이전에 읽은 내용은 그대로 보이며, 자동으로 다시 시도합니다. (${reason})`,
  brokerAway: "브로커가 응답하지 않습니다.",
  brokerAwayMore: "게이트웨이의 추정값이 빠집니다. 패킷은 계속 데이터베이스에서 읽습니다.",
  pageFailed: "페이지에 오류가 생겼습니다.",
  nodes: "노드",
  node: "노드",
  nodeCount: (count, silent) => (silent ? `${count}개, 무응답 ${silent}개` : `${count}개`),
  ok: "정상",
  silent: "무응답",
  range: "표시 기간",
  heardBy: (gateway) => `수신: ${gateway}`,
  packetsAndPicture: "패킷과 AoII",
  packetsOf: (periodic) => `/ ${periodic} 패킷`,
  packetsMore: (every, span, periodic) => `${every}마다 주기적으로 보내면 ${span} 동안 ${periodic} 패킷.`,
  packetsShort: (packets, periodic) => `${packets} / ${periodic}`,
  right: "게이트웨이 정확",
  rightMore: (instants) => `표본 ${instants}개 중`,
  unknown: "알 수 없음",
  rightUnknown: "노드의 기록이 여기에 없습니다",
  noPackets: "이 노드의 패킷이 없습니다",
  aoii: "AoII 평균",
  aoiiLong: "잘못된 정보의 나이(Age of Incorrect Information): 게이트웨이가 틀린 채로 지난 시간, 맞으면 0",
  aoiiMore: (p99) => `99 백분위: ${p99}`,
  aoiiBound: "하한값: 패킷 사이는 알 수 없습니다",
  atLeast: (value) => `≥ ${value}`,
  qos: "QoS 1 / QoS 0",
  qosMore: (estimates, heartbeats) => `생존 신호 ${heartbeats}, 추정 ${estimates}`,
  lastPacket: "마지막 패킷",
  never: "없음",
  temperature: "온도, °C",
  humidity: "상대 습도, %",
  legend: "범례",
  measured: "측정값",
  believed: "게이트웨이가 믿는 값",
  band: (betas) => `허용 오차 ${betas}`,
  sent: "전송",
  heartbeat: "생존 신호",
  wrong: "게이트웨이 틀림",
  readout: (time, actual, belief) => `${time} · 측정 ${actual} · 믿는 값 ${belief}`,
  fromLog: "측정값: 노드 자신의 기록. 믿는 값: 게이트웨이의 추정, 이 페이지가 듣기 전은 노드의 기록.",
  fromPackets: "노드의 기록이 이 데이터베이스에 없어서 패킷 사이의 측정값은 알 수 없습니다.",
  coarse: "이 속도에서는 빠른 재전송이 첫 전송과 구별되지 않아 게이트웨이가 실제보다 조금 더 정확해 보입니다.",
  chart: (quantity, node, span, low, high, packets) =>
    `노드 ${node}의 ${quantity}, 최근 ${span}: ${low}부터 ${high}까지, 패킷 ${packets}개. 같은 내용이 아래 표에 있습니다.`,
  chartEmpty: (quantity, node) => `노드 ${node}의 ${quantity}: 아직 보일 것이 없습니다.`,
  asTable: "최근 패킷을 표로 보기",
  time: "시각",
  kind: "이유",
  tempMeasured: "온도, °C",
  tempBelieved: "믿던 값",
  humMeasured: "습도, %",
  humBelieved: "믿던 값",
  kinds: { event: "틀렸음", heartbeat: "생존 신호", backfill: "늦게 보냄", legacy: "이전 펌웨어" },
  noReading: "아직 측정값이 없습니다",
  noReadingMore: "첫 측정값이 들어오면 자동으로 나타납니다. 오지 않으면 데이터가 오는 길을 따라 확인하십시오.",
  checkNode: "노드가 켜져 있고 수신기에 닿는 거리에 있습니까?",
  checkGateway: "“aoii gateway”가 실행 중이고 SERIAL_PORT의 수신기가 꽂혀 있습니까?",
  checkBroker: "브로커가 살아 있습니까?",
  checkServer: "“aoii server”가 실행 중입니까?",
  checkDatabase: "데이터베이스를 읽을 수 있습니까?",
  yes: "예.",
  no: (reason) => (reason ? `아니요: ${reason}` : "아니요."),
  doctor: "“aoii doctor” 명령이 이 모두를 점검하고 고칠 것을 알려 줍니다.",
  eventTime: "시각은 측정 시각이며, 보는 사람의 시간대로 표시됩니다.",
  raw: "원자료",
};

const LANGUAGES = { en, ko };
const KEPT = "aoii-language";

/** The language that was chosen before, else the browser's if we speak it, else English. */
export function firstLanguage() {
  const wanted = [kept(), ...navigator.languages].filter(Boolean).map((name) => name.slice(0, 2));
  return wanted.find((name) => name in LANGUAGES) || "en";
}

/** Remember the choice; a browser that forbids it forgets it. */
export function keepLanguage(name) {
  try {
    localStorage.setItem(KEPT, name);
  } catch {
    /* private mode */
  }
}

function kept() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

/** The words of a language, and its way of writing numbers and times. */
export function speak(name) {
  const number = (digits) => {
    const format = new Intl.NumberFormat(name, { minimumFractionDigits: digits, maximumFractionDigits: digits });
    return (value) => format.format(value).replace("-", "−");
  };
  const measure = (seconds, unitDisplay) => {
    const [unit, size] = sizeOf(seconds);
    return new Intl.NumberFormat(name, { style: "unit", unit, unitDisplay, maximumFractionDigits: 1 }).format(seconds / size);
  };
  const relative = new Intl.RelativeTimeFormat(name, { numeric: "always", style: "short" });
  const clock = new Intl.DateTimeFormat(name, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const day = new Intl.DateTimeFormat(name, { day: "numeric", month: "short" });
  const full = new Intl.DateTimeFormat(name, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
  return {
    name,
    words: LANGUAGES[name],
    whole: number(0),
    tenth: number(1),
    hundredth: number(2),
    clock: (ms) => clock.format(ms),
    day: (ms) => day.format(ms),
    full: (ms) => full.format(ms),
    duration: (seconds) => measure(seconds, "short"),
    span: (seconds) => measure(seconds, "long"),
    ago: (seconds) => {
      const [unit, size] = sizeOf(seconds);
      return relative.format(-Math.round(seconds / size), unit);
    },
  };
}

/* The unit in which a person would say it: 60 seconds, 90 minutes, 24 hours. */
function sizeOf(seconds) {
  if (seconds < 120) return ["second", 1];
  if (seconds < 7200 && seconds % 3600) return ["minute", 60];
  if (seconds < 172800) return ["hour", 3600];
  return ["day", 86400];
}
