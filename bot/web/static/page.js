// Comfort only: the page works without it. It shows the password, hints at its shape, and stops a double tap.
"use strict";
(() => {
  const form = document.querySelector("form");
  const secret = document.getElementById("secret");
  const look = document.getElementById("look");
  const problem = document.getElementById("problem");
  const anyway = document.getElementById("anyway");
  const shape = form.dataset.shape && new RegExp(`^(?:${form.dataset.shape})$`, "i");
  const words = { show: look.textContent, hide: look.dataset.hide };
  const PATIENCE = 10000; // milliseconds, after which a submission that got nowhere may be repeated
  let sent = false;

  function display(shown) {
    secret.type = shown ? "text" : "password";
    look.textContent = shown ? words.hide : words.show;
  }

  function doubt() {
    problem.textContent = problem.dataset.shapeProblem;
    secret.setAttribute("aria-invalid", "true");
    anyway.hidden = false;
    secret.focus();
  }

  function wait(button) {
    const label = button.textContent;
    sent = true;
    button.setAttribute("aria-disabled", "true");
    button.textContent = form.dataset.sending;
    setTimeout(() => {
      sent = false;
      button.removeAttribute("aria-disabled");
      button.textContent = label;
    }, PATIENCE);
  }

  look.hidden = false;
  look.addEventListener("click", () => display(secret.type === "password"));

  form.addEventListener("submit", (event) => {
    const button = event.submitter || form.querySelector("[type=submit]");
    if (sent) {
      event.preventDefault();
    } else if (shape && button !== anyway && !shape.test(secret.value.replace(/\s/g, ""))) {
      event.preventDefault();
      doubt();
    } else {
      display(false); // a browser may offer to remember what was typed into a visible field
      wait(button);
    }
  });

  // "Back" may bring this very page from memory: what was typed must be gone, and the server says what is true now.
  window.addEventListener("pagehide", () => { secret.value = ""; });
  window.addEventListener("pageshow", (event) => { if (event.persisted) window.location.reload(); });
})();
