"use strict";
// Copies what stands beside a button. Without it everything can be selected and copied by hand.
(() => {
  const status = document.getElementById("status");
  const byEvent = (text) => {
    const carrier = document.body.appendChild(document.createElement("textarea"));
    carrier.value = text;
    carrier.select();
    try {
      return document.execCommand("copy");
    } finally {
      carrier.remove();
    }
  };
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch (refused) {
      return byEvent(text); // plain http: there browsers have no clipboard object
    }
  };
  document.querySelectorAll("[data-copy]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const done = await copy(button.dataset.copy);
      status.textContent = done ? "Copied." : "Your browser does not let this page copy: select the text instead.";
    });
  });
})();
