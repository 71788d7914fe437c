// Keeps the page of `mangum dev` up to date. Without it the page shows the same, when it is loaded again.

const ROOT = "/_mangum";
const MOST_ROWS = 500;
const CONNECTIONS_PAUSE_MS = 500;
const CONNECTIONS_EVERY_MS = 5000;
const NOTE_MS = 4000;

const byId = (id) => document.getElementById(id);
const [main, list, detail, search, connections] = ["main", "rows", "detail", "search", "connections"].map(byId);

const elements = (html) => {
  const template = document.createElement("template");
  template.innerHTML = html; // of this server's own making, escaped
  return [...template.content.children];
};

const fetchText = async (url, options = {}) => {
  const response = await fetch(url, options);
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  return text;
};

let noteTimer;
const tell = (text) => {
  byId("note").textContent = text;
  clearTimeout(noteTimer);
  noteTimer = setTimeout(() => (byId("note").textContent = ""), NOTE_MS);
};

// The list of invocations

const currentId = () => detail?.querySelector("article")?.dataset.id;
const rowOf = (id) => list.querySelector(`[data-id="${CSS.escape(id)}"]`);

const filter = () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of list.children) {
    row.hidden = !words.every((word) => row.dataset.text.includes(word));
    shown += !row.hidden;
  }
  byId("no-match").hidden = shown > 0 || list.children.length === 0;
  byId("nothing-yet").hidden = list.children.length > 0;
  byId("invocations-count").textContent = list.children.length;
};

const markCurrent = () => {
  for (const link of list.querySelectorAll("[aria-current]")) link.removeAttribute("aria-current");
  const id = currentId();
  if (id) rowOf(id)?.firstElementChild.setAttribute("aria-current", "true");
};

const putRow = ({ id, html }) => {
  const [row] = elements(html);
  const old = rowOf(id);
  if (old) {
    const hadFocus = old.contains(document.activeElement);
    old.replaceWith(row);
    if (hadFocus) row.firstElementChild.focus();
  } else {
    row.className = "new";
    list.prepend(row);
    while (list.children.length > MOST_ROWS) list.lastElementChild.remove();
  }
};

let meanwhile; // the news since the list that is on its way was asked for: it may be older than they are
const fetchRows = async () => {
  const news = (meanwhile = []);
  try {
    const fresh = elements(await fetchText(`${ROOT}/rows`));
    if (meanwhile !== news) return; // it was asked for again
    list.replaceChildren(...fresh);
    news.forEach(putRow);
  } finally {
    if (meanwhile === news) meanwhile = undefined;
  }
  filter();
  markCurrent();
};

// The details of one

let wanted; // the address whose details are on their way
const showDetail = async (url, { focus = false } = {}) => {
  wanted = url;
  const html = await fetchText(`${url}/detail`);
  if (wanted !== url) return;
  const id = currentId();
  const open = [...detail.querySelectorAll("details")].map((element) => element.open);
  detail.innerHTML = html;
  main.dataset.view = "detail";
  markCurrent();
  if (id === currentId()) {
    detail.querySelectorAll("details").forEach((element, index) => (element.open = open[index] ?? element.open));
  } else {
    detail.scrollTop = 0;
  }
  if (focus) detail.querySelector("h2").focus();
};

const follow = (link) => {
  history.pushState(null, "", link.pathname);
  showDetail(link.pathname, { focus: true }).catch((error) => tell(error.message));
};

const leaveDetail = () => {
  wanted = undefined;
  main.dataset.view = "list";
};

const isPlain = (event) => event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);

if (list) {
  search.addEventListener("input", filter);
  search.form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.(".rows a, .facts a, a.back");
    if (!link || !isPlain(event)) return;
    if (link.pathname.startsWith(`${ROOT}/invocations/`)) follow(link);
    else if (link.matches(".back")) {
      history.pushState(null, "", ROOT);
      leaveDetail();
    } else return;
    event.preventDefault();
  });
  window.addEventListener("popstate", () => {
    const url = location.pathname;
    if (url === ROOT) leaveDetail();
    else showDetail(url).catch((error) => tell(error.message));
  });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    let row = step && event.target.closest("li")?.[step];
    while (row?.hidden) row = row[step];
    if (!row) return;
    event.preventDefault();
    row.firstElementChild.focus();
  });
}

// The open connections. What is being written in a box stays, whatever comes and goes around it.

const fetchConnections = async () => {
  const fresh = elements(await fetchText(`${ROOT}/connections/list`));
  const old = new Map([...connections.children].map((element) => [element.dataset.id, element]));
  for (const element of fresh) {
    const known = old.get(element.dataset.id);
    if (known) known.querySelector(".facts").replaceWith(element.querySelector(".facts"));
    else connections.append(element);
    old.delete(element.dataset.id);
  }
  for (const element of old.values()) element.remove();
  byId("nobody").hidden = fresh.length > 0;
  byId("connections-count").textContent = fresh.length;
};

let connectionsTimer;
const refreshConnections = () => {
  connectionsTimer ??= setTimeout(async () => {
    await fetchConnections().catch(() => undefined); // the next time may go better
    connectionsTimer = undefined;
  }, CONNECTIONS_PAUSE_MS);
};

if (connections) setInterval(() => document.hidden || refreshConnections(), CONNECTIONS_EVERY_MS);

// Buttons that leave the page where it is

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!("quiet" in form.dataset)) return;
  event.preventDefault();
  if (form.ariaBusy === "true") return; // a button that is disabled would lose the focus
  form.ariaBusy = "true";
  try {
    const body = new URLSearchParams(new FormData(form));
    tell(await fetchText(form.action, { method: "POST", body, headers: { accept: "text/plain" } }));
    form.reset();
  } catch (error) {
    tell(error.message);
  }
  form.ariaBusy = "false";
  if (connections) refreshConnections();
});

// News

const live = byId("live");
const setState = (state, text) => {
  live.hidden = false;
  live.dataset.state = state;
  live.textContent = text;
};

const stream = new EventSource(`${ROOT}/stream`);
stream.addEventListener("open", () => setState("on", "live"));
stream.addEventListener("error", () => setState("off", "disconnected"));
stream.addEventListener("sync", () => {
  if (list) fetchRows().catch((error) => tell(error.message));
  if (connections) refreshConnections();
});
stream.addEventListener("news", (event) => {
  const { rows, connections: open } = JSON.parse(event.data);
  if (byId("connections-count")) byId("connections-count").textContent = open;
  if (connections) refreshConnections();
  if (!list) return;
  rows.forEach(putRow);
  meanwhile?.push(...rows);
  filter();
  markCurrent();
  const id = currentId();
  if (id && main.dataset.view === "detail" && rows.some((row) => row.id === id)) {
    showDetail(`${ROOT}/invocations/${encodeURIComponent(id)}`).catch((error) => tell(error.message));
  }
});

if (byId("note").textContent) tell(byId("note").textContent);
