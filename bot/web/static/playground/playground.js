// The page of the playground. It shows what the stage holds and says what people say; it looks again and again while
// somebody looks at it.

import { ask, complain, find, words } from "./page.js";
import { beginMail, drawMail } from "./mail.js";
import { beginOffice, lookAtOffice } from "./office.js";
import { beginPhone, lookAtOthers, lookAtPhone } from "./phone.js";
import { beginSwitches, drawSwitches } from "./switches.js";
import { refreshTimes } from "./times.js";
import { beginTour, lookAtTour } from "./tour.js";

const FAST = 200; // milliseconds between two looks, right after something happened
const SLOW = 1000;
const RESTING = 5000; // while nobody answers
const LIVELY = 10000; // milliseconds for which an answer is expected
let lively = 0;
let timer = 0;
let rounds = 0;
let looking = false;
let again = false;

async function lookAtMail() {
  const seen = await ask("mailboxes");
  drawMail(seen);
  drawSwitches(seen);
}

// Not everything at each look: the phone always, the rest in turn.
async function lookOnce() {
  await lookAtPhone();
  if (rounds % 2 === 1) await lookAtOffice();
  else {
    await lookAtMail();
    await lookAtTour();
  }
  if (rounds % 8 === 2) await lookAtOthers();
  rounds += 1;
}

async function look() {
  clearTimeout(timer);
  if (document.hidden) return;
  if (looking) {
    again = true;
    return;
  }
  looking = true;
  again = false;
  let wait = SLOW;
  try {
    await lookOnce();
    if (find("#problem").textContent === words.offline) complain("");
    if (Date.now() < lively) wait = FAST;
  } catch {
    complain(words.offline);
    wait = RESTING;
  }
  looking = false;
  clearTimeout(timer);
  timer = setTimeout(look, again && wait !== RESTING ? 0 : wait);
}

function soon() {
  lively = Date.now() + LIVELY;
  look();
}

beginPhone(soon);
beginMail();
beginSwitches(soon);
beginOffice(soon);
beginTour();
document.addEventListener("visibilitychange", look);
setInterval(refreshTimes, 15000);
look();
