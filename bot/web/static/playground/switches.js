// The switches: how the mail server and the page for signing in behave, and what time it is.

import { all, ask, complain, find, tell, words } from "./page.js";
import { setNow, shownNow } from "./times.js";

const select = find("#fault");
const consent = find("#consent");
const problem = find("#switches-problem");
let fault = null;

// What the mail server is set to do wrong at present.
export function brokenBy() {
  return fault;
}

export function drawSwitches(seen) {
  fault = seen.fault;
  for (const kind of seen.faults.slice(select.options.length - 1)) {
    select.append(new Option(words[`fault_${kind}`] || kind, kind));
  }
  if (document.activeElement !== select) select.value = fault || "";
  if (document.activeElement !== consent) consent.value = seen.consent;
  document.body.classList.toggle("broken", Boolean(fault));
  setNow(seen.now);
}

export async function breakServer(kind) {
  try {
    fault = (await ask("refuse", { kind })).fault;
    select.value = fault || "";
    document.body.classList.toggle("broken", Boolean(fault));
    complain("", problem);
    tell(`${find("label[for=fault]").textContent}: ${select.selectedOptions[0].textContent}`);
  } catch { complain(words.offline, problem); }
}

async function decide() {
  try {
    consent.value = (await ask("consent", { by: consent.value })).consent;
    complain("", problem);
    tell(`${find("label[for=consent]").textContent}: ${consent.selectedOptions[0].textContent}`);
  } catch { complain(words.offline, problem); }
}

async function revoke() {
  try {
    const { address } = await ask("revoke", {});
    complain(address ? "" : words.none_to_revoke, problem);
    if (address) tell(words.revoked.replace("{address}", address));
  } catch { complain(words.offline, problem); }
}

async function jump(by, hurry) {
  try {
    setNow((await ask("clock", { by })).now);
    complain("", problem);
    tell(words.time_now.replace("{address}", shownNow()));
    hurry();
  } catch { complain(words.offline, problem); }
}

export function beginSwitches(hurry) {
  const button = find("#switches-button");
  button.addEventListener("click", () => {
    const open = document.body.classList.toggle("switching");
    button.setAttribute("aria-expanded", open);
  });
  select.addEventListener("change", () => breakServer(select.value || null));
  consent.addEventListener("change", decide);
  find("#revoke").addEventListener("click", revoke);
  find("#mend").addEventListener("click", () => breakServer(null));
  for (const one of all("[data-jump]")) one.addEventListener("click", () => jump(one.dataset.jump, hurry));
}
