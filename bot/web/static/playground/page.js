// What all parts of the page share: finding, asking, telling, copying.

export const words = JSON.parse(document.querySelector("#words").textContent);
export const language = document.body.dataset.language;

export function find(selector, inside = document) {
  return inside.querySelector(selector);
}

export function all(selector, inside = document) {
  return [...inside.querySelectorAll(selector)];
}

export function element(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}

export async function ask(path, wish) {
  const sent = wish && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wish) };
  const answer = await fetch(`/playground/api/${path}`, { cache: "no-store", ...sent });
  if (!answer.ok) throw Object.assign(new Error(path), { status: answer.status });
  return answer.json();
}

export function complain(problem, box = find("#problem")) {
  if (box.textContent !== problem) box.textContent = problem;
}

// What somebody who does not see the page has to hear. Of two things at once neither takes the other's place.
export function tell(news) {
  const box = find("#news"), line = document.createElement("p");
  line.textContent = news;
  box.append(line);
  while (box.children.length > 5) box.firstElementChild.remove();
}

export async function copy(button) {
  const code = find("code", button.parentElement);
  const label = button.textContent;
  getSelection().selectAllChildren(code); // where the clipboard is closed to us, the person can press Ctrl-C
  try { await navigator.clipboard.writeText(code.textContent); } catch { return; }
  if (label === words.copied) return;
  button.textContent = words.copied;
  tell(words.copied);
  setTimeout(() => { button.textContent = label; }, 2000);
}

// What the browser remembers of this page, if it may.
export const memory = {
  read(name) {
    try { return localStorage.getItem(`playground.${name}`); } catch { return null; }
  },
  write(name, value) {
    try { localStorage.setItem(`playground.${name}`, value); } catch { /* a private window: it lasts as long as the page */ }
  },
};

// Tabs that can be walked through with the arrow keys; `choose(place)` is told which one it is now.
export function walkable(tab, tabs, choose) {
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const there = tabs();
    const next = (there.indexOf(tab) + step + there.length) % there.length;
    choose(next);
    tabs()[next].focus();
  });
}
