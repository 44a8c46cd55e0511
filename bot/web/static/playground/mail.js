// The sandbox's mailboxes. What stands in a mail is set in as text, never as HTML.

import { all, copy, element, find, tell, walkable, words } from "./page.js";
import { setTime } from "./times.js";
import { isShown, markNew, onShow } from "./views.js";

let chosen = null;
let shown = null;
let drawn = "";
let boxDrawn = "";
const known = new Map(); // by mailbox: the mails that it had at the last look, and whether some are unread
const opened = new Map(); // by mail: whether the person opened or closed it

export function drawMail(seen) {
  const now = JSON.stringify([seen.mailboxes, chosen]);
  shown = seen.mailboxes;
  if (now === drawn) return;
  const first = !drawn;
  drawn = now;
  noticeNews(shown, first);
  drawTabs(shown);
  drawBox(shown.find((box) => box.address === chosen) || shown[0]);
  drawPasswords(shown);
}

// Whether somebody looks at a mailbox with a mail in the inbox and its copy in Sent.
export function seesBoth() {
  const box = shown?.find((one) => one.address === chosen);
  return Boolean(box?.inbox.length && box.sent.length && isShown("mail"));
}

function noticeNews(boxes, first) {
  for (const box of boxes) {
    const mails = box.inbox.map((mail) => `${mail.id} ${mail.at}`).join();
    const before = known.get(box.address) || { mails: first ? mails : "", unread: false };
    const isNew = mails !== before.mails && box.inbox.length > 0;
    known.set(box.address, { mails, unread: before.unread || isNew });
    if (isNew) tell(words.new_mail.replace("{address}", box.address || words.outside));
  }
}

function drawTabs(boxes) {
  const tabs = find("#tabs");
  if (!boxes.some((box) => box.address === chosen)) chosen = boxes[0].address;
  if (tabs.childElementCount !== boxes.length) tabs.replaceChildren(...boxes.map(tab));
  if (isShown("mail")) known.get(chosen).unread = false;
  boxes.forEach((box, place) => {
    const made = tabs.children[place];
    const current = box.address === chosen;
    made.setAttribute("aria-selected", current);
    made.tabIndex = current ? 0 : -1;
    find(".dot", made).hidden = !known.get(box.address).unread;
    if (current) find("#box").setAttribute("aria-labelledby", made.id);
  });
  markNew("mail", [...known.values()].some((box) => box.unread));
}

function tab(box, place) {
  const dot = Object.assign(element("span"), { className: "dot" });
  const made = element("button", box.address.split("@")[0] || words.outside, dot);
  Object.assign(made, { type: "button", id: `tab-${place}` });
  made.setAttribute("role", "tab");
  made.setAttribute("aria-controls", "box");
  made.addEventListener("click", () => choose(box.address));
  walkable(made, () => [...find("#tabs").children], (next) => choose(shown[next].address));
  return made;
}

function choose(address) {
  chosen = address;
  drawMail({ mailboxes: shown });
}

function drawBox(box) {
  const now = JSON.stringify(box);
  if (now === boxDrawn) return; // whoever reads a mail keeps the place
  boxDrawn = now;
  find("#address").textContent = box.address || words.outside_about;
  find("#address").classList.toggle("small", !box.address);
  find("#sent-part").hidden = !box.address;
  for (const folder of ["inbox", "sent"]) {
    const mails = box[folder];
    find(`#${folder}-title .count`).textContent = mails.length || "";
    const made = mails.map((mail, place) => message(mail, `${box.address} ${folder} ${mail.id} ${mail.at}`, !place));
    find(`#${folder}`).replaceChildren(...(made.length ? made : [nothing()]));
  }
}

function nothing() {
  return Object.assign(element("p", words.no_mail), { className: "small" });
}

function message(mail, name, isNewest) {
  const made = find("#mail").content.firstElementChild.cloneNode(true);
  find(".from", made).textContent = mail.from;
  find(".subject", made).textContent = mail.subject || words.no_subject;
  find(".to", made).textContent = `${words.to}: ${mail.to}`;
  find(".text", made).textContent = mail.text.trim();
  setTime(find("time", made), mail.at);
  made.open = opened.get(name) ?? isNewest;
  find("summary", made).addEventListener("click", () => opened.set(name, !made.open));
  return made;
}

function drawPasswords(boxes) {
  for (const place of all("[data-password-of]")) {
    drawPassword(place, boxes.find((box) => box.address === place.dataset.passwordOf));
  }
  const box = boxes.find((one) => one.address === chosen);
  drawPassword(find("#password"), box);
  find("#no-password").hidden = !box?.address || Boolean(box.password);
}

function drawPassword(place, box) {
  place.hidden = !box?.password;
  find("code", place).textContent = box?.password || "";
}

export function beginMail() {
  for (const button of all(".copy")) button.addEventListener("click", () => copy(button));
  onShow((view) => { if (view === "mail" && shown) choose(chosen); });
}
