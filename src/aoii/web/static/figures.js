/* The figures of one node over what is shown, and how it is now. */

import { $, setText, showState, make } from "./dom.js";

/**
 * What the shown time tells: packets, and how right the gateway was.
 *
 * @param {object} voice the present language
 * @param {object} summary over the shown time; of a long range without AoII
 * @param {object} frame settings
 */
export function showFigures(voice, summary, frame) {
  const { words } = voice;
  setText($("packets"), voice.whole(summary.packets));
  const periodic = voice.whole(summary.periodic);
  setText($("packets-of"), words.packetsOf(periodic));
  setText($("saved"), saved(voice, summary));
  $("meter").style.width = `${Math.min(100, (100 * summary.packets) / Math.max(1, summary.periodic))}%`;
  const covered = summary.start_ms === null ? 0 : Math.round((summary.end_ms - summary.start_ms) / 60000) * 60;
  setText($("packets-more"), words.packetsMore(voice.span(frame.period_s), voice.span(covered), periodic));
  showPicture(voice, summary);
  const isJudged = summary.qos1 !== undefined;
  setText($("qos"), isJudged ? `${voice.whole(summary.qos1)} / ${voice.whole(summary.qos0)}` : "–");
  setText($("qos-more"), isJudged ? words.qosMore(voice.whole(summary.estimates), voice.whole(summary.heartbeats)) : "");
}

/** What holds now, whatever time is shown: state, last packet, battery, radio. */
export function showPresent(voice, summary, nowMs) {
  const { words } = voice;
  const states = $("node-states");
  const key = summary.states.join() + voice.name;
  if (states.dataset.told !== key) {
    states.dataset.told = key;
    states.replaceChildren(...summary.states.map((state) => {
      const element = make("span", { className: "state", title: words.stateHelp[state] });
      showState(element, "state", state, words.states);
      return element;
    }));
  }
  setText($("node-more"), summary.gateway ? words.heardBy(summary.gateway) : "");
  const last = summary.last_packet_ms;
  setText($("last"), last === null ? words.never : voice.ago(Math.max(0, (nowMs - last) / 1000)));
  setText($("last-more"), last === null ? "" : voice.full(last));
  const { battery_v: battery = null, rssi_dbm: rssi = null, snr_db: snr = null, missing = null } = summary.vitals ?? {};
  setText($("battery"), battery === null ? "–" : words.volts(voice.hundredth(battery)));
  setText($("battery-more"), battery === null ? words.noBattery : summary.states.includes("battery") ? words.states.battery : "");
  setText($("rssi"), rssi === null ? "–" : words.dbm(voice.whole(rssi)));
  const more = [snr === null ? null : words.snr(voice.whole(snr)), missing ? words.missing(voice.whole(missing)) : null];
  setText($("rssi-more"), rssi === null ? words.noVitals : more.filter(Boolean).join(", "));
}

function showPicture(voice, { aoii, qos1 }) {
  const { words } = voice;
  if (aoii?.basis === "log") {
    const share = aoii.instants ? 1 - aoii.wrong / aoii.instants : 1;
    setText($("right"), `${voice.hundredth(Math.floor(share * 10000) / 100)} %`);
    setText($("right-more"), words.rightMore(voice.whole(aoii.instants)));
    setText($("aoii"), voice.duration(aoii.mean_s));
    setText($("aoii-more"), words.aoiiMore(voice.duration(aoii.p99_s)));
    return;
  }
  const isLong = qos1 === undefined;
  setText($("right"), isLong ? "–" : words.unknown);
  setText($("right-more"), isLong ? words.rightLong : aoii ? words.rightUnknown : words.noPackets);
  setText($("aoii"), aoii ? words.atLeast(voice.duration(aoii.mean_s)) : "–");
  setText($("aoii-more"), aoii ? words.aoiiBound : isLong ? words.rightLong : "");
}

function saved(voice, summary) {
  if (!summary.periodic) return "";
  const percent = Math.round(100 * (summary.packets / summary.periodic - 1));
  return `${percent > 0 ? "+" : ""}${voice.whole(percent)} %`;
}
