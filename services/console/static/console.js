// What the pages do beside: times in the viewer's zone, copying, following live, and keys.
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
    source.addEventListener("message", (message) => {
      button.dataset.after = message.lastEventId;
      const holder = document.createElement("tbody");
      holder.innerHTML = message.data; // made by the console's own template, which escapes
      showTimes(holder);
      rows.prepend(...holder.children);
    });
  });
}

const places = { o: "/", u: "/users", p: "/projects", r: "/organizations", w: "/webhooks", a: "/audit" };
let waitsForPlace = false;

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  if (event.key === "Escape" && typing) typing.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") {
    event.preventDefault();
    document.getElementById("search")?.focus();
  } else if (waitsForPlace && places[event.key]) {
    location.assign(places[event.key]);
  }
  waitsForPlace = event.key === "g";
});

showTimes(document);
enableCopying();
enableFollowing();
