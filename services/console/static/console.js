// What the pages do beside: times in the viewer's zone, copying, following live, keys and focus.
"use strict";

const formatTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

function showTimes(root) {
  for (const each of root.querySelectorAll("time[datetime]")) {
    each.title = each.textContent;
    each.textContent = formatTime.format(new Date(each.dateTime));
  }
}

function enableCopying() {
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const input = document.getElementById(button.dataset.copy);
      input.select();
      await navigator.clipboard.writeText(input.value);
      button.textContent = "Copied";
    });
  }
}

function enableFollowing() {
  const button = document.getElementById("follow");
  const rows = document.getElementById("events");
  if (!button || !rows) return;
  let source = null;
  button.hidden = false;
  button.addEventListener("click", () => {
    if (source) {
      source.close();
      source = null;
      button.textContent = "Follow live";
      return;
    }
    source = new EventSource(`/audit/live?after=${button.dataset.after}`);
    button.textContent = "Stop following";
    source.addEventListener("error", () => {
      if (source.readyState !== EventSource.CLOSED) return; // it connects again by itself
      source = null;
      button.textContent = "Follow live again";
    });
    source.addEventListener("message", (message) => {
      button.dataset.after = message.lastEventId;
      const holder = document.createElement("tbody");
      holder.innerHTML = message.data; // made by the console's own template, which escapes
      showTimes(holder);
      rows.prepend(...holder.children);
    });
  });
}

// Looks again every second while a page says that something goes on.
function refreshProgress() {
  const box = document.getElementById("progress");
  if (!box || !("refresh" in box.dataset)) return;
  setTimeout(async () => {
    const response = await fetch(location.href).catch(() => null);
    if (response?.redirected) location.assign(response.url);
    if (response?.ok) {
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const next = page.getElementById("progress");
      if (next) box.replaceChildren(...next.childNodes);
      if (next && !("refresh" in next.dataset)) delete box.dataset.refresh;
      showTimes(box);
    }
    refreshProgress();
  }, 1000);
}

// A page that is come back to has the focus on the link by which it was left.
function returnFocus() {
  const left = sessionStorage.getItem(`left:${location.pathname}`);
  const from = document.referrer && new URL(document.referrer).pathname;
  if (!left || !from || document.querySelector("main [autofocus]")) return;
  if (from !== left && !from.startsWith(`${left}/`)) return;
  document.querySelector(`main a[href="${left.replaceAll('"', "")}"]`)?.focus();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("main a[href^='/']");
  if (link) sessionStorage.setItem(`left:${location.pathname}`, link.getAttribute("href"));
});

const places = { o: "/", u: "/users", p: "/projects", r: "/organizations", w: "/webhooks", a: "/audit" };
let waitsForPlace = false;
let beforeSearch = null;

// Closes what is open: the search, a detail, a question that was not begun to be answered.
function close(target) {
  if (target.id === "search") {
    (beforeSearch ?? document.getElementById("main")).focus();
    return;
  }
  const detail = target.closest("details[open]");
  if (detail) {
    detail.open = false;
    detail.querySelector("summary").focus();
  } else if (target.closest("input, textarea, select")) {
    target.blur();
  } else {
    document.querySelector("main form.edit a[data-cancel]")?.click();
  }
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") close(event.target);
  const typing = event.target.closest("input, textarea, select");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") {
    event.preventDefault();
    beforeSearch = event.target === document.body ? null : event.target;
    document.getElementById("search")?.focus();
  } else if (waitsForPlace && places[event.key]) {
    location.assign(places[event.key]);
  }
  waitsForPlace = event.key === "g";
});

showTimes(document);
enableCopying();
enableFollowing();
refreshProgress();
returnFocus();
