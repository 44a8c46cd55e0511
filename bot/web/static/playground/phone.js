// The phones: two people, one of whom is shown. Whatever comes from a chat is set in as text, never as HTML.

import { all, ask, complain, element, find, language, memory, tell, words } from "./page.js";
import { rich } from "./marks.js";
import { setTime } from "./times.js";
import { isShown, markNew, onShow, show } from "./views.js";

const MAX_BUBBLES = 300;
const chat = find("#chat");
const field = find("#words-typed");
const people = all("[data-person]").map((button) => ({ button, name: button.dataset.name, newest: 0, heard: 0 }));
let current = people[0];
let world = "";
let soon = () => {};

// --- who holds the phone: each has a number for each language, so that the bot guesses it ---

function place(one) {
  return `number.${language}${people.indexOf(one) || ""}`;
}

function newNumber(one) {
  const digit = () => crypto.getRandomValues(new Uint8Array(1))[0] % 10;
  const number = one.button.dataset.pattern.replace(/#/g, digit);
  memory.write(place(one), number);
  one.isNew = true; // as far as we know: see lookAtPhone
  return number;
}

function dialled(one) {
  return one.number.replaceAll(" ", "");
}

// The number of the first one, who is shown around; whether it is the phone that is seen.
export function guest() {
  return { number: dialled(people[0]), isSeen: current === people[0] };
}

function clear() {
  current.newest = 0;
  find("#messages").replaceChildren();
  find("#number").textContent = current.number;
}

function startOver() {
  current.number = newNumber(current);
  current.heard = 0;
  clear();
  complain("");
  chat.scrollTop = 0;
  tell(words.number_now.replace("{address}", current.number));
  soon();
}

function pickUp(one) {
  current = one;
  for (const { button } of people) button.setAttribute("aria-pressed", button === one.button);
  find(".dot", one.button).hidden = true;
  complain("");
  clear();
  soon();
}

// --- the chat ---

function bubble(message) {
  const made = find("#bubble").content.firstElementChild.cloneNode(true);
  made.classList.toggle("mine", message.mine);
  made.dataset.number = message.number;
  find(".who-wrote", made).textContent = `${message.mine ? words.you : words.bot}: `;
  find(".said", made).append(...message.files.map(file), ...(message.text ? rich(message.text) : []));
  setTime(find("time", made), message.at);
  if (message.mine) setStatus(made, message.status);
  else find(".ticks", made).remove();
  if (message.buttons.length) made.append(message.list ? list(message.buttons) : choices(message.buttons));
  return made;
}

function file({ kind, name }) {
  const made = element("p", words[`file_${kind}`] || kind, ...(name ? [element("span", ` ${name}`)] : []));
  made.className = `file file-${kind}`;
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

function list(buttons) {
  const made = element("details", element("summary", words.choose), choices(buttons));
  made.className = "list";
  made.addEventListener("toggle", () => { if (made.open) made.scrollIntoView({ block: "nearest" }); });
  return made;
}

function setStatus(made, status) {
  if (made.dataset.status === status) return;
  made.dataset.status = status;
  find(".ticks", made).setAttribute("aria-label", words[`status_${status}`]);
  const failed = find(".failed", made);
  if (status === "failed" && !failed) find(".meta", made).prepend(Object.assign(element("span", words.status_failed), { className: "failed" }));
}

function draw(seen) {
  if (seen.world !== world) {
    world = seen.world;
    if (current.newest) return clear(); // started anew: its numbers begin again
  }
  const fresh = seen.messages.filter((message) => message.number > current.newest);
  const near = chat.scrollHeight - chat.scrollTop - chat.clientHeight < 120;
  const first = !current.newest;
  find("#messages").append(...fresh.map(bubble));
  current.newest = fresh.length ? fresh.at(-1).number : current.newest;
  current.heard = current.newest;
  current.looked = true;
  for (const [number, status] of Object.entries(seen.statuses)) {
    const made = find(`[data-number="${Number(number)}"]`, chat);
    if (made) setStatus(made, status);
  }
  showTyping(seen.typing);
  while (find("#messages").childElementCount > MAX_BUBBLES) find("#messages").firstElementChild.remove();
  if (!fresh.length) return;
  if (near || first || fresh.at(-1).mine) chat.scrollTop = chat.scrollHeight;
  if (!first && !fresh.at(-1).mine && !isShown("phone")) markNew("phone", true);
}

function showTyping(typing) {
  const state = find("#state");
  find("#typing").hidden = !typing;
  state.textContent = typing ? words.typing : state.dataset.quiet;
}

// --- the person ---

async function say(what) {
  current.isNew = false;
  complain("");
  const one = current;
  try {
    await ask("say", { from: dialled(one), profile_name: one.name, ...what });
  } catch (error) {
    complain({ 400: words.not_sent, 413: words.not_sent, 429: words.too_fast }[error.status] || words.offline);
    return false;
  }
  soon();
  return true;
}

function fit() {
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + 2}px`;
}

export function type(text) {
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

// --- looking ---

export async function lookAtPhone() {
  const one = current;
  const number = dialled(one);
  const seen = await ask(`phone/${encodeURIComponent(number)}?after=${one.newest}`);
  if (one !== current || number !== dialled(one)) return;
  const isSomebodys = one.isNew && seen.messages.length > 0;
  one.isNew = false;
  if (!isSomebodys) return draw(seen);
  one.number = newNumber(one);
  clear();
}

// What the other one hears meanwhile is a dot beside their name.
export async function lookAtOthers() {
  for (const one of people.filter((other) => other !== current)) {
    const seen = await ask(`phone/${encodeURIComponent(dialled(one))}?after=${one.heard}`);
    const last = seen.messages.at(-1);
    if (!last || one === current) continue;
    if (one.looked) find(".dot", one.button).hidden = last.mine;
    one.heard = last.number;
    one.looked = true;
  }
}

export function beginPhone(hurry) {
  soon = hurry;
  for (const one of people) {
    one.number = memory.read(place(one)) || newNumber(one);
    one.button.addEventListener("click", () => pickUp(one));
  }
  for (const button of all(".invite")) button.addEventListener("click", invite);
  for (const button of all("[data-file]")) {
    button.addEventListener("click", () => {
      find(".attach").open = false;
      say({ file: button.dataset.file });
    });
  }
  find("#new-number").addEventListener("click", startOver);
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
  onShow((view) => { if (view === "phone") chat.scrollTop = chat.scrollHeight; });
  clear();
}
