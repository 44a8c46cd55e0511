// Times, as the clock of the playground has them: it may be ahead of this machine's.

import { all, find, language, words } from "./page.js";

const ZONE = "America/Sao_Paulo"; // the agency's and the support team's
const ago = new Intl.RelativeTimeFormat(language, { style: "short", numeric: "auto" });
const whole = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
const there = new Intl.DateTimeFormat(language, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZone: ZONE });
let ahead = 0;

export function setNow(iso) {
  ahead = new Date(iso) - Date.now();
  const place = find("#now");
  const shown = there.format(new Date(iso));
  if (place.textContent !== shown) place.textContent = shown;
  place.dateTime = iso.slice(0, 16);
}

export function shownNow() {
  return find("#now").textContent;
}

export function setTime(place, at) {
  const moment = new Date(at);
  if (Number.isNaN(moment.valueOf())) return place.remove();
  place.dateTime = at;
  place.title = whole.format(moment);
  place.append(relative(moment));
}

function relative(moment) {
  const minutes = Math.round((moment - Date.now() - ahead) / 60000);
  if (minutes > -1) return words.now;
  if (minutes > -60) return ago.format(minutes, "minute");
  return minutes > -24 * 60 ? ago.format(Math.round(minutes / 60), "hour") : ago.format(Math.round(minutes / 1440), "day");
}

export function refreshTimes() {
  for (const place of all(".phone time, .mail time")) {
    const text = relative(new Date(place.dateTime));
    if (place.textContent !== text) place.firstChild.nodeValue = text;
  }
}
