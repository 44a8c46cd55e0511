// Which part is on a screen that is too small for all of them, and the dots of what is new elsewhere.

import { all, find } from "./page.js";

const listeners = [];

export function isShown(view) {
  return find(`main > .${view}`).checkVisibility();
}

// `then(view)` is told what was switched to.
export function onShow(then) {
  listeners.push(then);
}

export function show(view) {
  document.body.dataset.view = view;
  for (const button of all(".views button")) {
    if (button.dataset.view === view) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
  markNew(view, false);
  for (const then of listeners) then(view);
}

export function markNew(view, isNew) {
  find(`#${view}-dot`).hidden = !isNew;
}

for (const button of all(".views button")) button.addEventListener("click", () => show(button.dataset.view));
