// The tour: its steps tick themselves off. What the bot's database knows is asked for; what only the page can know (that
// somebody has looked) it remembers for the number on the phone.

import { all, ask, find, memory, tell, words } from "./page.js";
import { seesBoth } from "./mail.js";
import { openHome, prepareReply } from "./office.js";
import { guest, type } from "./phone.js";
import { breakServer, brokenBy } from "./switches.js";
import { isShown, markNew, show } from "./views.js";

const steps = all("#tour > li");
let number = "";
let done = new Set();
let refusals = null; // how many tests had failed when the server was broken

function recall() {
  if (number === guest().number) return;
  number = guest().number;
  let kept = [];
  try { kept = JSON.parse(memory.read(`tour.${number}`)) || []; } catch { /* it was never written */ }
  done = new Set(kept);
  refusals = null;
  draw();
}

function tick(name) {
  if (done.has(name)) return;
  done.add(name);
  memory.write(`tour.${number}`, JSON.stringify([...done]));
  const title = find("h3", find(`#tour > [data-step="${name}"]`)).firstChild.textContent.trim();
  tell(done.size === steps.length ? words.tour_done : words.step_done.replace("{address}", title));
  if (!isShown("guide")) markNew("guide", true);
  draw();
}

function draw() {
  const next = steps.find((one) => !done.has(one.dataset.step));
  for (const one of steps) {
    const isDone = done.has(one.dataset.step);
    one.classList.toggle("is-done", isDone);
    find("h3 .unseen", one).textContent = isDone ? `(${words.done})` : "";
    if (one === next) one.setAttribute("aria-current", "step");
    else one.removeAttribute("aria-current");
  }
  find("#tour-count").textContent = `${done.size}/${steps.length}`;
  find("#tour-end").hidden = Boolean(next);
  next?.scrollIntoView?.({ block: "nearest" });
}

export async function lookAtTour() {
  recall();
  if (guest().isSeen && find("#messages .mine")) tick("hello");
  if (guest().isSeen && find("#messages .bubble:not(.mine) a[href*='/s/']")) tick("address");
  if (done.has("password") && seesBoth()) tick("inbox");
  if (done.size === steps.length) return;
  const asked = number;
  const found = await ask(`tour/${encodeURIComponent(number)}`);
  if (asked !== guest().number) return;
  for (const [name, isDone] of Object.entries(found.done)) if (isDone) tick(name);
  if (brokenBy() === null) return;
  refusals ??= found.refusals;
  if (found.refusals > refusals) tick("break");
}

async function follow(button) {
  if (button.dataset.fault) return breakServer(button.dataset.fault);
  show(button.dataset.show);
  find(`main > .${button.dataset.show}`).scrollIntoView({ block: "nearest" });
  if (button.dataset.reply) prepareReply(button.dataset.reply);
  if (button.dataset.show === "admin") openHome();
}

export function beginTour() {
  for (const button of all("[data-type]")) button.addEventListener("click", () => type(button.dataset.type));
  for (const button of all(".guide [data-show], .guide [data-fault]")) button.addEventListener("click", () => follow(button));
  find(".admin").addEventListener("click", () => tick("home"));
  find(".guide [data-show=admin]").addEventListener("click", () => tick("home"));
  recall();
}
