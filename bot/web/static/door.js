// Comfort only: the page works without it. It copies what is to be typed, and lets nothing of the key lie in memory.
"use strict";
(() => {
  const PATIENCE = 2000; // milliseconds for which a button says that it has copied

  async function copy(button) {
    const label = button.firstChild;
    const words = label.textContent;
    await navigator.clipboard.writeText(button.dataset.copy);
    label.textContent = button.dataset.copied;
    setTimeout(() => { label.textContent = words; }, PATIENCE);
  }

  if (navigator.clipboard) {
    for (const button of document.querySelectorAll(".copy")) {
      button.hidden = false;
      button.addEventListener("click", () => {
        if (button.firstChild.textContent !== button.dataset.copied) copy(button).catch(() => { button.hidden = true; });
      });
    }
  }

  // "Back" may bring this very page from memory: the key must be gone, and the server says what is true now.
  window.addEventListener("pageshow", (event) => { if (event.persisted) window.location.replace(window.location.href); });
})();
