// Slack: what the admin and the support team have before them, drawn by the stage from the bot's own blocks. Its pieces
// of HTML hold words of people as text only (see bot/playground/blocks_page.py), and no script could run from them.

import { all, ask, complain, element, find, language, tell, walkable, words } from "./page.js";
import { isShown, markNew, onShow } from "./views.js";

const ARRIVALS = 3; // tries
const places = new Map();
let seen = "";
let soon = () => {};

class Place {
  constructor(section) {
    this.name = section.dataset.place;
    this.section = section;
    this.window = find(".window", section);
    this.windowDrawn = "";
    this.home = find(".home", section);
    this.homeDrawn = "";
    this.before = null; // what had the focus before a window opened
    this.count = 0;
    this.follow = null; // the thread in which somebody has just written, and how long it was
    this.listen();
  }

  // --- what is seen ---

  draw(found) {
    if (found.home && found.home !== this.homeDrawn) this.drawHome(found.home);
    if (this.name === "desk") this.drawThreads(found.threads);
    else this.keep(find(".items", this.section), found.items);
    this.drawWindow(found.window);
    this.notice(this.name === "desk" ? found.threads.flatMap((one) => one.items) : found.items);
  }

  drawHome(html) {
    const fresh = element("div", ...pieces((this.homeDrawn = html)));
    keepingPlace(this.home, fresh, () => this.home.replaceChildren(...fresh.childNodes));
  }

  // Only what has changed is drawn anew, so that whoever reads keeps the place.
  keep(box, items) {
    const near = box.scrollHeight - box.scrollTop - box.clientHeight < 80;
    const there = new Map([...box.children].map((one) => [one.dataset.key, one]));
    items.forEach(([key, html], place) => {
      let made = there.get(key);
      if (!made || made.drawn !== html) {
        const fresh = Object.assign(element("div", ...pieces(html)), { drawn: html });
        fresh.dataset.key = key;
        if (made) keepingPlace(made, fresh, () => made.replaceWith(fresh));
        made = fresh;
      }
      if (box.children[place] !== made) box.insertBefore(made, box.children[place] || null);
    });
    while (box.childElementCount > items.length) box.lastElementChild.remove();
    if (near) box.scrollTop = box.scrollHeight;
  }

  drawThreads(threads) {
    const box = find(".threads", this.section);
    if (!threads.length) return;
    find(".nothing", box)?.remove();
    threads.forEach((thread, place) => {
      let made = find(`[data-thread="${thread.key}"]`, box);
      if (!made) {
        made = this.newThread(thread);
        made.open = place === 0 && !all("details.thread[open] input", box).some((one) => one.value);
        if (made.open) for (const one of all("details.thread", box)) one.open = false; // but none that is written in
      }
      if (box.children[place] !== made) box.insertBefore(made, box.children[place] || null);
      find("summary", made).textContent = thread.title;
      this.keep(find(".items", made), thread.items);
      if (thread.key === this.follow?.key && thread.items.length > this.follow.count) this.showLast(made);
    });
    while (box.childElementCount > threads.length) box.lastElementChild.remove();
  }

  // What somebody has just written is to be seen.
  showLast(thread) {
    find(".items", thread).lastElementChild.scrollIntoView({ block: "nearest" });
    this.follow = null;
  }

  newThread({ key, title }) {
    const made = find("#thread").content.firstElementChild.cloneNode(true);
    made.dataset.thread = key;
    find(".items", made).setAttribute("aria-label", title);
    find("input", made).id = `reply-${key}`;
    find("label", made).htmlFor = `reply-${key}`;
    return made;
  }

  drawWindow(html) {
    if (html === this.windowDrawn) return;
    const isNew = !this.windowDrawn;
    this.windowDrawn = html;
    if (isNew) this.before = document.activeElement;
    this.window.replaceChildren(...(html ? pieces(html) : []));
    this.window.hidden = !html;
    for (const part of all(":scope > .bar, :scope > .room", this.section)) part.inert = Boolean(html);
    if (!html) return this.leaveWindow();
    const title = find("[role=dialog]", this.window).getAttribute("aria-label");
    if (isNew) tell(words.window_open.replace("{address}", title));
    // What was pressed may have been drawn anew meanwhile: then nothing has the focus, and nobody loses it.
    const nowhere = document.activeElement === document.body;
    const mine = this.section.contains(this.before) || (this.window.dataset.mine && nowhere);
    if (mine) find("[aria-invalid] input, [aria-invalid], input, textarea, select, button", this.window)?.focus();
  }

  leaveWindow() {
    delete this.window.dataset.mine;
    if (this.before?.isConnected && this.section.contains(this.before)) this.before.focus();
    else if (document.activeElement === document.body) find("[aria-selected=true]", this.section).focus();
  }

  notice(items) {
    const fresh = items.length > this.count && this.count > 0;
    if (fresh && !isShown(this.name)) {
      markNew(this.name, true);
      tell(words.new_in_slack.replace("{address}", find("h2", this.section).textContent.trim()));
    }
    this.count = Math.max(items.length, 1);
  }

  // --- rooms ---

  choose(room) {
    for (const tab of all("[role=tab]", this.section)) {
      const current = tab.dataset.room === room;
      tab.setAttribute("aria-selected", current);
      tab.tabIndex = current ? 0 : -1;
    }
    for (const panel of all(".room", this.section)) panel.hidden = panel.dataset.room !== room;
    if (room === "home") this.act({ do: "home" });
    for (const box of all(".items", this.section)) box.scrollTop = box.scrollHeight;
  }

  // --- what is done ---

  async act(wish) {
    const problem = find(":scope > .notice", this.section);
    this.section.setAttribute("aria-busy", "true");
    try {
      await ask(`office/${language}/${this.name}`, wish);
      complain("", problem);
      return true;
    } catch (error) {
      complain({ 409: words.gone, 400: words.not_taken, 502: words.not_taken }[error.status] || words.offline, problem);
      return false;
    } finally {
      this.section.removeAttribute("aria-busy");
      soon();
    }
  }

  press(button) {
    const { value, action } = button.dataset;
    const message = button.closest("[data-ts]");
    button.closest("details.sl-more")?.removeAttribute("open");
    this.window.dataset.mine = "yes";
    const where = button.closest(".window") ? { where: "modal" } : message ? { ts: message.dataset.ts } : { where: "home" };
    this.act({ do: "tap", value: value || action, ...where });
  }

  submit(form) {
    const given = new FormData(form);
    const values = {};
    for (const one of all("input[type=text], textarea", form)) values[one.name] = one.value;
    for (const one of all("select, input[type=radio]:checked", form)) if (one.value) values[one.name] = one.value;
    for (const one of all(".sl-picker input", form)) values[one.name] = given.getAll(one.name);
    this.window.dataset.mine = "yes";
    this.act({ do: "submit", values });
  }

  async write(form) {
    const field = find("input", form);
    const text = field.value;
    if (!text.trim()) return;
    field.value = "";
    const thread = form.closest("[data-thread]")?.dataset.thread;
    if (thread) this.follow = { key: thread, count: find(".items", form.parentElement).childElementCount };
    if (!(await this.act({ do: "say", text, ...(thread ? { thread } : {}) })) && !field.value) field.value = text;
  }

  // What somebody is to write, ready in the newest thread.
  prepare(text) {
    const field = find("details.thread[open] input", this.section);
    if (!field) return;
    field.value = text;
    field.focus();
  }

  listen() {
    const tabs = all("[role=tab]", this.section);
    for (const tab of tabs) {
      tab.addEventListener("click", () => this.choose(tab.dataset.room));
      walkable(tab, () => tabs, (next) => this.choose(tabs[next].dataset.room));
    }
    this.section.addEventListener("click", (event) => this.clicked(event));
    this.section.addEventListener("toggle", (event) => {
      if (event.target.open && event.target.matches(".sl-more")) event.target.lastElementChild.scrollIntoView({ block: "nearest" });
    }, true);
    this.section.addEventListener("submit", (event) => {
      event.preventDefault();
      if (event.target.closest(".window")) this.submit(event.target);
      else this.write(event.target);
    });
    this.section.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      if (!this.window.hidden) this.act({ do: "close" });
      for (const menu of all("details.sl-more[open]", this.section)) menu.open = false;
    });
  }

  clicked(event) {
    const button = event.target.closest("button");
    const link = event.target.closest("a[href*='/archives/'], a[href^='slack:']");
    if (link) {
      event.preventDefault();
      this.openThread(link.href);
    } else if (button?.dataset.delete) this.act({ do: "delete", ts: button.dataset.delete });
    else if (button && "close" in button.dataset) this.act({ do: "close" });
    else if (button?.dataset.action || button?.dataset.value) this.press(button);
  }

  // Slack's address of a message ends with its name, without the dot.
  openThread(href) {
    const name = /\/p(\d{10})(\d{6})/u.exec(href);
    const made = name && find(`[data-thread="${name[1]}.${name[2]}"]`, this.section);
    this.choose("talk");
    if (!made) return;
    made.open = true;
    made.scrollIntoView({ block: "nearest" });
    find("summary", made).focus();
  }
}

// What takes another's place has the same menus open, and the focus where it was: somebody may be about to choose.
function keepingPlace(old, fresh, replace) {
  for (const summary of all("details.sl-more[open] > summary", old)) {
    const same = counterpart(summary, old, fresh);
    if (same) same.parentElement.open = true;
  }
  const focused = old.contains(document.activeElement) ? counterpart(document.activeElement, old, fresh) : null;
  replace();
  focused?.focus({ preventScroll: true });
}

// What stands for the same in what takes the place: a block's own name is another one each time.
function counterpart(one, old, fresh) {
  const { action, value } = one.dataset;
  const isAlike = ({ dataset: other }) => other.action === action && other.value === value;
  const alike = (inside) => all(one.localName, inside).filter(isAlike);
  return alike(fresh)[alike(old).indexOf(one)];
}

// The stage's HTML as nodes; links that lead out open beside the page.
function pieces(html) {
  const made = document.createElement("template");
  made.innerHTML = html;
  for (const link of all("a[href^='http']", made.content)) {
    Object.assign(link, { target: "_blank", rel: "noopener noreferrer" });
  }
  return [...made.content.childNodes];
}

export async function lookAtOffice() {
  const found = await ask(`office/${language}?seen=${seen}`);
  if (found.seen === seen || find(".office :active")) return; // what is being pressed stays under the finger
  seen = found.seen;
  for (const [name, place] of places) if (found[name]) place.draw(found[name]);
}

export function prepareReply(text) {
  places.get("desk").choose("talk");
  places.get("desk").prepare(text);
}

export function openHome() {
  places.get("admin").choose("home");
}

export function beginOffice(hurry) {
  soon = hurry;
  for (const section of all(".office")) places.set(section.dataset.place, new Place(section));
  onShow((view) => {
    for (const box of places.has(view) ? all(".items", places.get(view).section) : []) box.scrollTop = box.scrollHeight;
  });
  arrive(ARRIVALS);
}

// A web process that has just started may be too slow for Slack once.
function arrive(tries) {
  ask("arrive", { language }).then(() => soon(), () => tries > 1 && setTimeout(() => arrive(tries - 1), 2000));
}
