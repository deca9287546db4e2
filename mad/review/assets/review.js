// The review page: shows one image after the other and sends each answer before it shows the next, so that what
// is counted is kept. Text from outside only ever becomes textContent.
"use strict";

const $ = (id) => document.getElementById(id);
const token = document.querySelector("meta[name=token]").content;
const picture = $("picture");
let view = null; // what the server last said
let busy = false; // an answer is on its way
let seen = false; // the picture, or that it does not open, is on the screen
let ahead = []; // pictures that are loading; kept, so that the browser keeps them

const address = (key) => `/image/${key}`;

async function ask(path, method = "GET") {
  let response;
  try {
    response = await fetch(path, { method, headers: { "X-Review-Token": token } });
  } catch {
    throw new Error("The review server does not answer. Start it again with the same command, then reload this page; "
      + "every answer that was counted is kept.");
  }
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

function show(next, said) {
  const before = view?.group?.id;
  view = next;
  const { item, group } = view;
  $("question").hidden = $("stage").hidden = !item;
  $("finished").hidden = Boolean(item);
  meter("overall", view.done, view.total);
  if (group) meter("in-group", group.done, group.size);
  else meter("in-group", 1, 1, "done");
  if (item) {
    $("strong").textContent = group.strong.name;
    $("strong-meaning").textContent = meaning(group.strong);
    $("base").textContent = group.base.name;
    $("base-meaning").textContent = group.base.kind && ` (a kind of ${group.base.kind})`;
    $("name").textContent = $("name").title = item.name;
    const place = `Image ${group.done + 1} of ${group.size}`;
    if (picture.dataset.key !== item.key) {
      seen = false;
      $("broken").hidden = true;
      picture.dataset.key = item.key;
      picture.alt = `${place} in this group, to be judged`;
      picture.src = address(item.key);
    }
    const question = group.id === before ? "" : ` Does this label fit: ${group.strong.name}?`;
    $("said").textContent = `${said}${question} ${place}.`;
  } else {
    $("finished-count").textContent = `You have answered all ${view.total} images.`;
    $("said").textContent = `${said} All images are answered.`;
  }
  ahead = view.ahead.map((key) => Object.assign(new Image(), { src: address(key) }));
  allow();
}

function meaning({ also, kind }) {
  return [also && `also ${also}`, kind && `a kind of ${kind}`].filter(Boolean).join("; ");
}

function meter(id, done, total, text = `${done} of ${total}`) {
  $(id).max = total;
  $(id).value = done;
  $(`${id}-count`).textContent = text;
}

function allow() {
  const ready = Boolean(view?.item) && seen && !busy;
  $("accept").ariaDisabled = $("reject").ariaDisabled = String(!ready);
  $("undo").ariaDisabled = String(!view?.undo || busy);
}

async function send(path, method, said) {
  busy = true;
  allow();
  try {
    const next = await ask(path, method);
    $("problem").hidden = true;
    show(next, said);
  } catch (error) {
    $("problem").textContent = error.message;
    $("problem").hidden = false;
  }
  busy = false;
  allow();
}

const answer = (verb, said) => {
  if (view?.item && seen && !busy) send(`/${verb}/${view.item.key}`, "POST", said);
};
const actions = {
  accept: () => answer("accept", "Accepted."),
  reject: () => answer("reject", "Rejected."),
  undo: () => { if (view?.undo && !busy) send("/undo", "POST", "Last answer taken back."); },
  "show-help": () => $("help").showModal(),
  "show-groups": showGroups,
};
const keys = {
  y: "accept", ArrowRight: "accept", n: "reject", ArrowLeft: "reject", u: "undo", Backspace: "undo",
  "?": "show-help", g: "show-groups",
};

async function showGroups() {
  try {
    const rows = (await ask("/groups")).map((group) => {
      const button = document.createElement("button");
      const name = Object.assign(document.createElement("span"), { textContent: group.name });
      const bar = Object.assign(document.createElement("progress"), { max: group.size, value: group.done });
      const count = Object.assign(document.createElement("span"), {
        className: "count", textContent: `${group.done} of ${group.size}`,
      });
      bar.setAttribute("aria-hidden", "true"); // the count says the same
      button.type = "button";
      button.append(name, bar, count);
      if (group.id === view?.group?.id) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => {
        $("groups").close();
        if (!busy) send(`/state?group=${encodeURIComponent(group.id)}`, "GET", "");
      });
      const row = document.createElement("li");
      row.append(button);
      return row;
    });
    $("group-list").replaceChildren(...rows);
    $("groups").showModal();
    $("group-list").querySelector("[aria-current]")?.focus();
  } catch (error) {
    $("problem").textContent = error.message;
    $("problem").hidden = false;
  }
}

for (const [id, action] of Object.entries(actions)) $(id).addEventListener("click", () => action());
document.addEventListener("keydown", (event) => {
  const action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  // A key held down must not answer what nobody has looked at.
  if (!action || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector("dialog[open]")) return;
  event.preventDefault();
  actions[action]();
});
for (const [event, broken] of [["load", false], ["error", true]]) {
  picture.addEventListener(event, () => {
    $("broken").hidden = !broken;
    picture.style.visibility = broken ? "hidden" : "";
    seen = true;
    allow();
  });
}
send("/state", "GET", "");
