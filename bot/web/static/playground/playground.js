// The page of the playground. It shows what the stage holds and says what the person says; all it remembers is who
// holds the phone. Whatever comes from a chat or a mail is set in as text, never as HTML.

const FAST = 300; // milliseconds between two looks, right after something happened
const SLOW = 1000;
const RESTING = 5000; // while nobody answers
const LIVELY = 8000; // milliseconds for which an answer is expected
const MAX_BUBBLES = 300;
const words = JSON.parse(find("#words").textContent);
const phone = find("#phone");
const chat = find("#chat");
const language = phone.dataset.language;
const ago = new Intl.RelativeTimeFormat(language, { style: "short", numeric: "auto" });
const whole = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });

function find(selector, inside = document) {
  return inside.querySelector(selector);
}

async function ask(path, wish) {
  const sent = wish && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wish) };
  const answer = await fetch(`/playground/api/${path}`, { cache: "no-store", ...sent });
  if (!answer.ok) throw Object.assign(new Error(path), { status: answer.status });
  return answer.json();
}

function complain(problem) {
  const box = find("#problem");
  if (box.textContent !== problem) box.textContent = problem;
}

function tell(news) {
  find("#news").textContent = news;
}

// --- who holds the phone: one number for each language, so that the bot guesses it ---

const memory = {
  key: `playground.number.${language}`,
  read() {
    try { return localStorage.getItem(this.key); } catch { return null; }
  },
  write(number) {
    try { localStorage.setItem(this.key, number); } catch { /* a private window: the number lasts as long as the page */ }
  },
};
let shownNumber = memory.read() || newNumber();
let world = "";
let newest = 0;

function newNumber() {
  const digit = () => crypto.getRandomValues(new Uint8Array(1))[0] % 10;
  const number = phone.dataset.pattern.replace(/#/g, digit);
  memory.write(number);
  return number;
}

function dialled() {
  return shownNumber.replaceAll(" ", "");
}

function clearPhone() {
  newest = 0;
  find("#messages").replaceChildren();
  find("#number").textContent = shownNumber;
}

function startOver() {
  shownNumber = newNumber();
  clearPhone();
  complain("");
  chat.scrollTop = 0;
  tell(words.number_now.replace("{address}", shownNumber));
  soon();
}

// --- WhatsApp's own marks: *bold*, _italic_, ~struck~, ```code```, "> quoted", and links ---

const MARKS = [
  [/```([^`\n]+)```/u, (found) => element("code", found[1])],
  [/https?:\/\/[^\s<>"]*[^\s<>".,;:!?)\]*~]/u, link], // a token may end with "_"
  [/(?<![\p{L}\p{N}*])\*(?=\S)([^*\n]*\S)\*(?![\p{L}\p{N}*])/u, (found) => element("strong", ...inline(found[1]))],
  [/(?<![\p{L}\p{N}_])_(?=\S)([^_\n]*\S)_(?![\p{L}\p{N}_])/u, (found) => element("em", ...inline(found[1]))],
  [/(?<![\p{L}\p{N}~])~(?=\S)([^~\n]*\S)~(?![\p{L}\p{N}~])/u, (found) => element("s", ...inline(found[1]))],
];

function element(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}

function link(found) {
  const made = element("a", found[0], element("span", ` (${words.new_tab})`));
  made.lastChild.className = "unseen";
  return Object.assign(made, { href: found[0], target: "_blank", rel: "noopener noreferrer" });
}

function inline(text) {
  const hits = MARKS.map(([pattern, make]) => ({ found: pattern.exec(text), make })).filter((hit) => hit.found);
  if (!hits.length) return text ? [text] : [];
  const { found, make } = hits.reduce((first, hit) => (hit.found.index < first.found.index ? hit : first));
  const rest = text.slice(found.index + found[0].length);
  return [text.slice(0, found.index), make(found), ...inline(rest)].filter((part) => part !== "");
}

function rich(text) {
  return text.split("\n").map((line) => {
    const quoted = line.startsWith("> ");
    const made = element(quoted ? "blockquote" : "p", ...inline(quoted ? line.slice(2) : line));
    if (!line) made.className = "gap";
    return made;
  });
}

// --- the chat ---

function bubble(message) {
  const made = find("#bubble").content.firstElementChild.cloneNode(true);
  made.classList.toggle("mine", message.mine);
  made.dataset.number = message.number;
  find(".who-wrote", made).textContent = `${message.mine ? words.you : words.bot}: `;
  find(".said", made).append(...rich(message.text));
  setTime(find("time", made), message.at);
  if (message.mine) setStatus(made, message.status);
  else find(".ticks", made).remove();
  if (message.buttons.length) made.append(choices(message.buttons));
  return made;
}

function choices(buttons) {
  const group = element("div", ...buttons.map(({ id, label }) => {
    const made = Object.assign(element("button", label), { type: "button" });
    made.addEventListener("click", () => say({ button: id }));
    return made;
  }));
  group.className = "choices";
  return group;
}

function setStatus(made, status) {
  if (made.dataset.status === status) return;
  made.dataset.status = status;
  find(".ticks", made).setAttribute("aria-label", words[`status_${status}`]);
  const failed = find(".failed", made);
  if (status === "failed" && !failed) find(".meta", made).prepend(Object.assign(element("span", words.status_failed), { className: "failed" }));
}

function drawPhone(seen) {
  if (seen.world !== world) {
    world = seen.world;
    if (newest) return clearPhone(); // started anew: its numbers begin again
  }
  const fresh = seen.messages.filter((message) => message.number > newest);
  const near = chat.scrollHeight - chat.scrollTop - chat.clientHeight < 120;
  const first = !newest;
  find("#messages").append(...fresh.map(bubble));
  newest = fresh.length ? fresh.at(-1).number : newest;
  for (const [number, status] of Object.entries(seen.statuses)) {
    const made = find(`[data-number="${Number(number)}"]`, chat);
    if (made) setStatus(made, status);
  }
  showTyping(seen.typing);
  while (find("#messages").childElementCount > MAX_BUBBLES) find("#messages").firstElementChild.remove();
  if (fresh.length && (near || first || fresh.at(-1).mine)) chat.scrollTop = chat.scrollHeight;
}

function showTyping(typing) {
  const state = find("#state");
  find("#typing").hidden = !typing;
  state.textContent = typing ? words.typing : state.dataset.quiet;
}

async function say(what) {
  complain("");
  try {
    await ask("say", { from: dialled(), profile_name: phone.dataset.name, ...what });
  } catch (error) {
    complain({ 400: words.not_sent, 413: words.not_sent, 429: words.too_fast }[error.status] || words.offline);
    return false;
  }
  soon();
  return true;
}

const field = find("#words-typed");

function fit() {
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + 2}px`;
}

function type(text) {
  show("phone");
  field.value = text;
  fit();
  field.focus();
}

async function send() {
  const text = field.value;
  if (!text.trim()) return;
  field.value = "";
  fit();
  if (!(await say({ body: text })) && !field.value) type(text);
}

async function invite() {
  try {
    type((await ask("invitation", { language })).text);
  } catch (error) {
    complain(error.status === 429 ? words.too_fast : words.offline);
  }
}

// --- the mailboxes ---

let chosen = null;
let drawn = "";
let boxDrawn = "";
const known = new Map(); // by mailbox: the mails that it had at the last look, and whether some are unread
const opened = new Map(); // by mail: whether the person opened or closed it

function drawMail(seen) {
  const now = JSON.stringify([seen, chosen]);
  if (now === drawn) return;
  const first = !drawn;
  drawn = now;
  noticeNews(seen.mailboxes, first);
  drawTabs(seen.mailboxes);
  drawBox(seen.mailboxes.find((box) => box.address === chosen) || seen.mailboxes[0]);
  drawFaults(seen);
  drawPasswords(seen.mailboxes);
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
  find("#mail-dot").hidden = ![...known.values()].some((box) => box.unread);
}

function tab(box, place) {
  const dot = Object.assign(element("span"), { className: "dot" });
  const made = element("button", box.address.split("@")[0] || words.outside, dot);
  Object.assign(made, { type: "button", id: `tab-${place}` });
  made.setAttribute("role", "tab");
  made.setAttribute("aria-controls", "box");
  made.addEventListener("click", () => choose(box.address));
  made.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const tabs = [...find("#tabs").children];
    if (step) tabs.at((place + step) % tabs.length).click();
    if (step) tabs.at((place + step) % tabs.length).focus();
  });
  return made;
}

function choose(address) {
  chosen = address;
  drawMail(JSON.parse(drawn)[0]);
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
    const shown = mails.map((mail, place) => message(mail, `${box.address} ${folder} ${mail.id} ${mail.at}`, !place));
    find(`#${folder}`).replaceChildren(...(shown.length ? shown : [nothing()]));
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

function drawFaults(seen) {
  const select = find("#fault");
  for (const kind of seen.faults.slice(select.options.length - 1)) {
    select.append(new Option(words[`fault_${kind}`] || kind, kind));
  }
  if (document.activeElement !== select) select.value = seen.fault || "";
}

function drawPasswords(boxes) {
  for (const place of document.querySelectorAll("[data-password-of]")) {
    drawPassword(place, boxes.find((box) => box.address === place.dataset.passwordOf));
  }
  drawPassword(find("#password"), boxes.find((box) => box.address === chosen));
}

function drawPassword(place, box) {
  place.hidden = !box?.password;
  find("code", place).textContent = box?.password || "";
}

async function copy(button) {
  const code = find("code", button.parentElement);
  const label = button.textContent;
  getSelection().selectAllChildren(code); // where the clipboard is closed to us, the person can press Ctrl-C
  try { await navigator.clipboard.writeText(code.textContent); } catch { return; }
  if (label === words.copied) return;
  button.textContent = words.copied;
  tell(words.copied);
  setTimeout(() => { button.textContent = label; }, 2000);
}

// --- times ---

function setTime(place, at) {
  const moment = new Date(at);
  if (Number.isNaN(moment.valueOf())) return place.remove();
  place.dateTime = at;
  place.title = whole.format(moment);
  place.append(relative(moment));
}

function relative(moment) {
  const minutes = Math.round((moment - Date.now()) / 60000);
  if (minutes > -1) return words.now;
  if (minutes > -60) return ago.format(minutes, "minute");
  return minutes > -24 * 60 ? ago.format(Math.round(minutes / 60), "hour") : ago.format(Math.round(minutes / 1440), "day");
}

function refreshTimes() {
  for (const place of document.querySelectorAll("time")) {
    const text = relative(new Date(place.dateTime));
    if (place.textContent !== text) place.firstChild.nodeValue = text;
  }
}

// --- views of a small screen ---

function isShown(view) {
  return document.body.dataset.view === view || getComputedStyle(find(".views")).display === "none";
}

function show(view) {
  document.body.dataset.view = view;
  for (const button of document.querySelectorAll(".views button")) {
    if (button.dataset.view === view) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
  if (view === "mail" && drawn) choose(chosen);
  if (view === "phone") chat.scrollTop = chat.scrollHeight;
}

// --- looking, again and again, while somebody looks ---

let lively = 0;
let timer = 0;
let rounds = 0;

async function look() {
  clearTimeout(timer);
  if (document.hidden) return;
  const number = dialled();
  let wait = Date.now() < lively ? FAST : SLOW;
  try {
    const seen = await ask(`phone/${encodeURIComponent(number)}?after=${newest}`);
    if (number === dialled()) drawPhone(seen);
    if (rounds++ % 2 === 0) drawMail(await ask("mailboxes"));
    if (find("#problem").textContent === words.offline) complain("");
  } catch (error) {
    complain(words.offline);
    wait = RESTING;
  }
  clearTimeout(timer);
  timer = setTimeout(look, wait);
}

function soon() {
  lively = Date.now() + LIVELY;
  look();
}

// --- begin ---

for (const button of document.querySelectorAll(".invite")) button.addEventListener("click", invite);
for (const button of document.querySelectorAll(".copy")) button.addEventListener("click", () => copy(button));
for (const button of document.querySelectorAll("[data-type]")) button.addEventListener("click", () => type(button.dataset.type));
for (const button of document.querySelectorAll(".views button")) button.addEventListener("click", () => show(button.dataset.view));
find("#new-number").addEventListener("click", startOver);
find("#fault").addEventListener("change", async (event) => {
  try { await ask("refuse", { kind: event.target.value || null }); } catch { complain(words.offline); }
});
find("#composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
field.addEventListener("input", fit);
field.addEventListener("keydown", (event) => {
  const newLine = event.shiftKey || event.isComposing || matchMedia("(pointer: coarse)").matches;
  if (event.key === "Enter" && !newLine) {
    event.preventDefault();
    send();
  }
});
document.addEventListener("visibilitychange", look);
setInterval(refreshTimes, 15000);
clearPhone();
look();
