"use strict";
// Builds the mail's HTML from what stands in the fields, and puts it on the clipboard. It never loads the
// picture itself: the page's policy allows no images at all.
(() => {
  const one = (id) => document.getElementById(id);
  const rows = Array.from(document.querySelectorAll("[data-url]"));
  const source = one("html");
  if (!source) return;
  const pixel = source.dataset.pixel || "";
  const escapes = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;" };
  const escaped = (text) => text.replace(/[&<>"']/g, (character) => escapes[character]);
  const links = () =>
    rows.map((row) => ({ url: row.dataset.url, text: row.querySelector("input").value.trim() || "Link" }));

  const rich = () => {
    const parts = links().map((link) => `<a href="${escaped(link.url)}">${escaped(link.text)}</a>`);
    return parts.join("<br>\n") + (parts.length && pixel ? "\n" : "") + pixel;
  };
  const plain = () => links().map((link) => `${link.text}: ${link.url}`).join("\n");

  const show = () => {
    source.value = rich();
    document.querySelectorAll("#preview .link").forEach((shown, at) => {
      shown.textContent = links()[at].text;
    });
  };

  const say = (text) => {
    one("status").textContent = text;
  };

  // The older way, for pages on plain http: there browsers have no clipboard object.
  const copyByEvent = (text, html) => {
    let filled = false;
    const fill = (event) => {
      event.preventDefault();
      event.stopImmediatePropagation();
      event.clipboardData.setData("text/plain", text);
      if (html) event.clipboardData.setData("text/html", html);
      filled = true;
    };
    const back = document.activeElement;
    const carrier = document.body.appendChild(document.createElement("textarea"));
    carrier.value = text || " "; // Safari copies only where something is selected
    carrier.select();
    document.addEventListener("copy", fill, true);
    try {
      return document.execCommand("copy") && filled;
    } finally {
      document.removeEventListener("copy", fill, true);
      carrier.remove();
      if (back) back.focus();
    }
  };

  const copy = async (text, html) => {
    if (navigator.clipboard && window.ClipboardItem) {
      const kinds = { "text/plain": new Blob([text], { type: "text/plain" }) };
      if (html) kinds["text/html"] = new Blob([html], { type: "text/html" });
      try {
        await navigator.clipboard.write([new ClipboardItem(kinds)]);
        return true;
      } catch (refused) {
        // Not allowed, or not for this kind: the older way may still be.
      }
    }
    return copyByEvent(text, html);
  };

  const offer = (button, what, told) => {
    button.addEventListener("click", async () => {
      const [text, html] = what();
      if (await copy(text, html)) {
        say(told);
        return;
      }
      const shown = source.closest("details");
      shown.open = true;
      source.value = html || text;
      source.focus();
      source.select();
      say("Your browser does not let this page copy. Press Ctrl+C (⌘C) now: the HTML is selected.");
    });
  };

  offer(one("copy"), () => [plain(), rich()], "Copied. Now paste it into your mail.");
  offer(one("copy-html"), () => [rich(), ""], "The HTML is copied. Paste it where your mail takes HTML.");
  rows.forEach((row) => {
    row.querySelector("input").addEventListener("input", show);
    offer(row.querySelector("button"), () => [row.dataset.url, ""], "The tracked link is copied.");
  });
  document.querySelectorAll("time").forEach((time) => {
    const moment = new Date(time.dateTime);
    const sameDay = moment.toDateString() === new Date().toDateString();
    time.textContent = sameDay
      ? moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" })
      : moment.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  });
  show(); // a browser that goes back fills in what was typed before
})();
