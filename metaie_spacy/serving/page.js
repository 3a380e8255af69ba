
"use strict";
// Texts and labels are strangers': they go into the page by textContent alone.
const at = id => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
};
const MODE = document.body.dataset.mode;
const TOKEN = new URLSearchParams(location.hash.slice(1)).get("token") || "";

const say = (message, isBad = false) => {
  at("said").textContent = message;
  at("said").classList.toggle("bad", isBad);
};

const api = async (path, body) => {
  const key = MODE === "review" ? TOKEN : at("try-key").value;
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Error("The command does not answer. Start it again, and open the address that it prints.");
  }
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(value.error ? value.error.message : `The command answered with ${answer.status}.`);
  return value;
};

// --- places: rows count code points, JavaScript counts UTF-16 units ---

class Places {
  constructor(text) {
    const units = [0];
    for (const letter of text) units.push(units[units.length - 1] + letter.length);
    this.text = text;
    this.units = units;
    this.size = units.length - 1;
  }
  slice(start, end) { return this.text.slice(this.units[start], this.units[end]); }
  point(unit) {  // the code point at a unit
    let low = 0, high = this.size;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.units[middle] <= unit) low = middle; else high = middle - 1;
    }
    return low;
  }
}

// --- drawing spans: bars below the words, each with its label where it begins, as displaCy's span view ---

const TOP = 24, STEP = 18;  // pixels: from the top of a line to the first bar, and from bar to bar
const hues = new Map();
const hueOf = label => {
  if (!hues.has(label)) hues.set(label, Math.round(hues.size * 137.508 + 210) % 360);
  return hues.get(label);
};

const levels = spans => {
  const ends = [];
  return spans.map(span => {
    const room = Math.ceil((span.label.length + (span.score == null ? 2 : 6)) * 0.78) + 1;
    let level = ends.findIndex(end => end <= span.start);
    if (level < 0) level = ends.length;
    ends[level] = Math.max(span.end, span.start + Math.min(room, 44));
    return level;
  });
};

const bar = (span, level) => {
  const colour = span.state === "no" ? "hsl(0 0% 60%)" : `hsl(${hueOf(span.label)} 65% 50%)`;
  const image = span.state === "open"
    ? `repeating-linear-gradient(90deg, ${colour} 0 6px, transparent 6px 9px)`
    : span.state === "no" ? `repeating-linear-gradient(90deg, ${colour} 0 2px, transparent 2px 5px)` : `linear-gradient(${colour}, ${colour})`;
  return { image, place: `0 ${TOP + level * STEP}px`, size: "100% 3px" };
};

// spans: in order of start, longest first, each with start, end, label and perhaps score, state. picked: places to mark.
const draw = (node, places, spans, { chosen = -1, picked = [], onTag = null } = {}) => {
  const level = levels(spans);
  const borders = new Set([0, places.size]);
  for (const span of spans) borders.add(span.start).add(span.end);
  for (const place of picked) borders.add(place[0]).add(place[1]);
  const cuts = [...borders].sort((a, b) => a - b);
  const parts = [];
  let active = [], next = 0;
  for (let i = 0; i + 1 < cuts.length; i++) {
    const [start, end] = [cuts[i], cuts[i + 1]];
    active = active.filter(k => spans[k].end > start);
    const opening = [];
    while (next < spans.length && spans[next].start <= start) { active.push(next); opening.push(next++); }
    const isPicked = picked.some(place => place[0] <= start && end <= place[1]);
    const words = active.length ? places.slice(start, end).match(/\S+|\s+/g) : [places.slice(start, end)];
    let unit = places.units[start];
    for (const [n, word] of words.entries()) {
      let into = parts;
      if (active.length) {
        if (/^\S{1,40}$/.test(word)) {  // no line may end between a word and what hangs below it
          const glue = make("span", { className: "glue" });
          parts.push(glue);
          into = { push: node => glue.append(node) };
        }
        const strut = make("span", { className: "strut" });
        strut.style.height = `${TOP + STEP * (Math.max(...active.map(k => level[k])) + 1)}px`;
        for (const k of n ? [] : opening) {
          const span = spans[k];
          const told = span.score == null ? span.label : `${span.label} ${span.score.toFixed(2)}`;
          const tag = make("span", { className: `tag ${span.state || ""}`, textContent: told, title: span.label });
          if (k === chosen) tag.classList.add("chosen");
          tag.style.top = `${TOP + 3 + level[k] * STEP}px`;
          tag.style.setProperty("--hue", hueOf(span.label));
          tag.dataset.span = k;
          if (onTag) tag.onclick = event => { event.stopPropagation(); onTag(k); };
          strut.append(tag);
        }
        into.push(strut);
      }
      const piece = make("span", { className: isPicked ? "piece picked" : "piece", textContent: word });
      piece.dataset.unit = unit;
      unit += word.length;
      if (active.length) {
        const bars = active.map(k => bar(spans[k], level[k]));
        if (active.includes(chosen)) {
          const colour = `hsl(${hueOf(spans[chosen].label)} 70% 50% / .33)`;
          bars.push({ image: `linear-gradient(${colour}, ${colour})`, place: "0 0", size: `100% ${TOP - 1}px` });
        }
        piece.style.backgroundImage = bars.map(one => one.image).join(", ");
        piece.style.backgroundPosition = bars.map(one => one.place).join(", ");
        piece.style.backgroundSize = bars.map(one => one.size).join(", ");
        piece.style.backgroundRepeat = "no-repeat";
        piece.style.paddingBottom = `${STEP * (Math.max(...active.map(k => level[k])) + 1)}px`;
      }
      into.push(piece);
    }
  }
  node.replaceChildren(...parts);
  // A tag that would be cut off at the edge moves inwards; all are measured before one is moved.
  const edge = node.getBoundingClientRect();
  const moved = [...node.querySelectorAll(".tag")].map(tag => {
    const { left, right } = tag.getBoundingClientRect();
    return [tag, right > edge.right - 4 ? edge.right - 4 - right : left < edge.left + 4 ? edge.left + 4 - left : 0];
  });
  for (const [tag, by] of moved) if (by) tag.style.transform = `translateX(${Math.round(by)}px)`;
};

const bodyOf = id => at(id).tBodies[0];
const fill = (id, rows) => {
  bodyOf(id).replaceChildren(...rows.map(cells => make("tr", {}, ...cells.map(cell => make("td", { textContent: cell })))));
  at(id).hidden = !rows.length;
};
const inOrder = spans => spans.sort((a, b) => a.start - b.start || b.end - a.end || (a.label < b.label ? -1 : a.label > b.label ? 1 : 0));
const rate = value => value == null ? "" : value.toFixed(2);

// --- the tabs ---

const TABS = ["review", "try", "agreement", "keys"];
const open = tab => {
  for (const one of TABS) {
    at(one).hidden = one !== tab;
    at(`tab-${one}`).setAttribute("aria-pressed", one === tab);
  }
  if (tab === "agreement") showAgreement();
};
const isOpen = tab => !at(tab).hidden;
for (const tab of TABS) at(`tab-${tab}`).onclick = event => { open(tab); event.target.blur(); };

// --- review ---

let state = null;  // what the command said of the queue
let row = null;  // the entry that is open
let past = [];  // what it was before each change
let busy = false;
let question = null;  // {then}: what the input below the text is for
let linking = null;  // number of the head of a link that is being made
const browser = (() => {
  const name = crypto.randomUUID();
  try {
    const isReload = performance.getEntriesByType("navigation")[0]?.type === "reload";  // a copy of a tab is another one
    const known = (isReload && sessionStorage.getItem("browser")) || name;
    sessionStorage.setItem("browser", known);
    return known;
  } catch { return name; }
})();

const shown = () => ({
  label: at("by-label").value, slice: at("by-slice").value, teacher: at("by-teacher").value, why: at("by-why").value,
  state: at("by-state").value,
});

const busily = async work => {
  if (busy) return;
  busy = true;
  at("review").setAttribute("aria-busy", "true");
  try { await work(); } catch (error) { say(error.message, true); } finally {
    busy = false;
    at("review").setAttribute("aria-busy", "false");
  }
};

const options = (id, name, found) => {
  const node = at(id), before = node.value;
  node.replaceChildren(make("option", { value: "", textContent: "all" }),
    ...found.slice(0, 500).map(([value, n]) => make("option", { value, textContent: `${value} (${n})` })));
  node.value = found.some(([value]) => value === before) ? before : "";
  node.parentElement.hidden = found.length < (name === "why" || name === "label" ? 1 : 2);
};

const loadState = async () => {
  state = await api("review/state");
  for (const name of ["label", "slice", "teacher", "why"]) options(`by-${name}`, name, state.choices[name]);
  for (const label of state.labels) hueOf(label);
  at("who").textContent = `${state.reviewer} · ${state.name}`;
  at("tab-agreement").hidden = state.reviewers.length < 2;
  at("no-model").hidden = state.models.length > 0;
  at("try-form").hidden = !state.models.length;
  if (!state.is_ordered) setTimeout(() => loadState().catch(() => {}), 2000);
};

const showProgress = progress => {
  const { total, done, left, own, skipped, by, open: others } = progress;
  at("bar").max = total || 1;
  at("bar").value = done;
  const told = [`${done} of ${total} done`, `${left} left for you`, `${own} by you`];
  if (skipped) told.push(`${skipped} skipped`);
  for (const name of state.reviewers) {
    if (name !== state.reviewer) told.push(`${name}: ${by[name] || 0}${others[name] ? ", has one open" : ""}`);
  }
  if (!state.is_ordered) told.push("the order of doubt is being made …");
  at("counts").textContent = told.join(" · ");
};

const show = ({ entry, progress }) => {
  showProgress(progress);
  row = entry && { ...entry, places: new Places(entry.text), chosen: -1, picked: null, began: performance.now() };
  past = [];
  linking = null;
  closeQuestion();
  at("row").hidden = !row;
  at("nothing").hidden = !!row;
  if (!row) { showNothing(progress); return; }
  inOrder(row.spans);
  row.links.sort((a, b) => !a.tail - !b.tail);  // questions without an answer come last
  row.complete = new Set(row.complete);
  row.words = row.words ? pairs(row.words) : wordsOf(row.places);
  choose(nextOpen(-1));
  at("text").scrollTop = 0;
  say(row.answer ? `You ${row.answer === "skip" ? `skipped this: ${row.reason}` : "have answered this"}.` : "");
};
const wordsOf = places => {  // while the command loads its own
  const found = [];
  for (const { 0: word, index } of places.text.matchAll(/[\p{L}\p{N}\p{M}_]+|\S/gu)) found.push([places.point(index), places.point(index + word.length)]);
  return found;
};
let waiting = 0;  // the timer that looks again where others have all that is left
const pairs = flat => flat.reduce((found, value, i) => (i % 2 ? found[found.length - 1].push(value) : found.push([value]), found), []);

const showNothing = progress => {
  const others = Object.keys(progress.open);
  const node = at("nothing");
  const again = make("button", { textContent: "Look again", onclick: () => busily(next) });
  const all = make("button", { textContent: "Show all", onclick: () => {
    for (const name of ["label", "slice", "teacher", "why"]) at(`by-${name}`).value = "";
    at("by-state").value = "open";
    busily(next);
  } });
  if (at("by-state").value !== "open" || !progress.total) {
    node.replaceChildren(make("p", { textContent: "No row passes these filters." }), all);
  } else if (progress.left) {
    const who = others.length ? others.join(" and ") : "another window of yours";
    node.replaceChildren(make("p", { textContent: `What is left, ${who} has open. It comes here by itself when it is free, two minutes after a window was closed.` }), again);
    clearTimeout(waiting);
    waiting = setTimeout(() => { if (!row) busily(next); }, 3000);
  } else {
    node.replaceChildren(
      make("p", { textContent: `There is nothing left for you: ${progress.done} of ${progress.total} rows are done. The answers are in the file` }),
      make("code", { textContent: state.answers }),
      make("p", { textContent: "which curate takes beside the rows; review --export writes those that stand as rows." }), again, all);
  }
};

const next = async () => show(await api("review/next", { browser, shown: shown(), after: row && row.number }));

// Items that can be chosen: spans, then links.
const size = () => row.spans.length + row.links.length;
const item = k => k < 0 ? null : k < row.spans.length ? row.spans[k] : row.links[k - row.spans.length];
const isLink = k => k >= row.spans.length;
const nextOpen = after => {
  for (let n = 1; n <= size(); n++) {
    const k = (after + n + size()) % size();
    if (item(k).state === "open") return k;
  }
  return -1;
};
const choose = k => {
  row.chosen = k;
  if (k >= 0) row.picked = null;
  paint();
  const tag = k >= 0 && (isLink(k) ? bodyOf("links").rows[k - row.spans.length] : at("text").querySelector(`[data-span="${k}"]`));
  if (tag) tag.scrollIntoView({ block: "nearest" });
};

// What was asked for is looked for in every row, and comes first, so that its numbers are the same in all.
const labelsOf = () => [...new Set([...state.given, ...row.labels, ...row.spans.map(span => span.label)])];
const offered = () => [...new Set([...labelsOf(), ...state.labels])];

const paint = () => {
  const link = row.chosen >= 0 && isLink(row.chosen) ? item(row.chosen) : null;
  const picked = row.picked ? [row.picked] : link ? [link.head, link.tail].filter(Boolean) : [];
  draw(at("text"), row.places, row.spans, { chosen: link ? -1 : row.chosen, picked, onTag: k => choose(k) });
  paintAbout();
  paintChosen();
  paintPalette();
  paintLinks();
};

const paintAbout = () => {
  const told = [make("span", { textContent: `row ${row.id}` })];
  if (row.teachers.length) told.push(make("span", { textContent: `by ${row.teachers.join(", ")}` }));
  if (row.wanted > 1) told.push(make("span", { textContent: "answered by two of you" }));
  for (const reason of row.reasons) {
    const { place, label, note } = reason;
    const words = place ? `“${row.places.slice(...place).slice(0, 60)}”` : "";
    const text = [`${reason.why}:`, words, label ? `as ${label}` : "", note ? `(${note})` : ""].filter(Boolean).join(" ").replace(/:$/, "");
    told.push(make("button", { className: "why", textContent: text, onclick: event => {
      const k = row.spans.findIndex(span => place && span.start === place[0] && span.end === place[1] && (!label || span.label === label));
      if (k >= 0) choose(k); else if (place) { row.picked = place; choose(-1); }
      event.target.blur();
    } }));
  }
  at("about").replaceChildren(...told);
};

const NAMES = { open: "not decided", yes: "accepted", no: "rejected" };
const paintChosen = () => {
  const one = item(row.chosen);
  let told = "";
  if (linking !== null) told = `Link from “${row.places.slice(row.spans[linking].start, row.spans[linking].end)}”: choose its tail, a span or words${row.picked ? ` (“${row.places.slice(...row.picked)}”)` : ""}, then Enter.`;
  else if (row.picked) told = `Selected: “${row.places.slice(...row.picked)}”. A number or L gives it a label.`;
  else if (one && !isLink(row.chosen)) {
    const by = one.by ? `, given by ${one.by.join(", ")} alone` : "";
    told = `${one.label}: “${row.places.slice(one.start, one.end)}”, ${NAMES[one.state]}${one.score == null ? "" : `, score ${one.score.toFixed(2)}`}${by}`;
  } else if (!one && !row.spans.length) told = "No spans yet: drag over words, or W and the arrows, then give them a label.";
  at("chosen").textContent = told;
};

const paintPalette = () => {
  const own = labelsOf();
  const count = new Map();
  for (const span of row.spans) if (span.state !== "no") count.set(span.label, (count.get(span.label) || 0) + 1);
  at("palette").replaceChildren(...offered().slice(0, Math.max(9, own.length)).map((label, i) => {
    const chip = make("span", { className: "label" });
    chip.style.setProperty("--hue", hueOf(label));
    const n = count.get(label) || 0;
    const use = make("button", { title: "Give this label", onclick: event => { event.currentTarget.blur(); give(label); } });
    if (i < 9) use.append(make("kbd", { textContent: i + 1 }), " ");
    use.append(n ? `${label} ${n}` : label);
    chip.append(use);
    chip.classList.toggle("absent", !n);
    if (own.includes(label) || row.complete.has(label)) {
      const whole = row.complete.has(label);
      const told = whole ? (n ? "complete" : "complete: none") : n ? "complete?" : "none?";
      const mark = make("button", { className: "whole", textContent: told, onclick: event => { event.currentTarget.blur(); change(() => toggleComplete(label)); } });
      mark.setAttribute("aria-pressed", whole);
      chip.append(mark);
    }
    return chip;
  }));
};

const paintLinks = () => {
  const words = place => place ? row.places.slice(...place) : "no answer";
  bodyOf("links").replaceChildren(...row.links.map((link, i) => {
    const k = row.spans.length + i;
    const cells = [make("td", { className: link.state, textContent: { open: "?", yes: "✓", no: "✕" }[link.state] })];
    for (const text of [words(link.head), link.label, words(link.tail)]) cells.push(make("td", { textContent: text }));
    const button = (text, title, work) => make("button", { className: "small", textContent: text, title, onclick: event => { event.stopPropagation(); choose(k); work(); } });
    cells.push(make("td", {}, button("✓", "Accept", () => decide("yes")), " ", button("✕", "Reject", () => decide("no"))));
    const line = make("tr", { onclick: () => choose(k) }, ...cells);
    line.classList.toggle("chosen", k === row.chosen);
    return line;
  }));
  at("links").hidden = !row.links.length;
};

// --- changes, each of which can be undone ---

const snapshot = () => JSON.stringify({ spans: row.spans, links: row.links, complete: [...row.complete], labels: row.labels });
const change = work => {
  const before = snapshot();
  work();
  inOrder(row.spans);
  if (snapshot() !== before) past.push([before, row.chosen]);
  paint();
};

const decide = (verdict, andNext = true) => {
  const one = item(row.chosen);
  if (!one) { say("Choose a span or a link first: ↓ or a click."); return; }
  change(() => {
    one.state = verdict;
    if (verdict === "no" && !isLink(row.chosen)) dropLinksOf(one);
  });
  if (andNext) choose(nextOpen(row.chosen) < 0 ? row.chosen : nextOpen(row.chosen));
};

const same = (place, span) => place && place[0] === span.start && place[1] === span.end;
const dropLinksOf = span => {
  if (row.spans.some(other => other !== span && other.state !== "no" && other.start === span.start && other.end === span.end)) return;
  for (const link of row.links) {
    if (link.state === "open" && (same(link.head, span) || same(link.tail, span))) link.state = "no";
  }
};

const wasOf = span => span.was || (span.isNew ? undefined : [span.start, span.end, span.label]);
const moveTo = (span, start, end) => {
  if (start >= end || start < 0 || end > row.places.size) return;
  if (row.spans.some(other => other !== span && other.start === start && other.end === end && other.label === span.label)) {
    say("There is such a span of this label.");
    return;
  }
  change(() => {
    const alone = !row.spans.some(other => other !== span && other.start === span.start && other.end === span.end);
    if (alone) for (const link of row.links) for (const side of ["head", "tail"]) if (same(link[side], span)) link[side] = [start, end];
    Object.assign(span, { was: wasOf(span), start, end, state: "yes" });
  });
  choose(row.spans.indexOf(span));
};

const give = label => {
  label = label.trim();
  if (!label) return;
  if (row.picked) {
    const [start, end] = row.picked;
    let span = row.spans.find(one => one.start === start && one.end === end && one.label === label);
    change(() => {
      if (span) span.state = "yes";
      else row.spans.push(span = { start, end, label, state: "yes", isNew: true });
      if (!row.labels.includes(label)) row.labels.push(label);
    });
    choose(row.spans.indexOf(span));
    return;
  }
  const one = item(row.chosen);
  if (!one) { say("Select words first, or choose a span: its label becomes this one."); return; }
  if (one.label === label) return;
  if (!isLink(row.chosen) && row.spans.some(other => other.start === one.start && other.end === one.end && other.label === label)) {
    say("There is such a span of this label.");
    return;
  }
  change(() => {
    if (isLink(row.chosen)) Object.assign(one, { label, state: "yes" });
    else {
      Object.assign(one, { was: wasOf(one), label, state: "yes" });
      if (!row.labels.includes(label)) row.labels.push(label);
    }
  });
  choose(isLink(row.chosen) ? row.chosen : row.spans.indexOf(one));
};

// The label of a span at all other places where its words stand as whole words.
const everywhere = () => {
  const span = row.chosen >= 0 && !isLink(row.chosen) ? item(row.chosen) : null;
  if (!span) { say("Choose a span first: E gives its label to the same words elsewhere."); return; }
  const words = row.places.slice(span.start, span.end), found = [];
  const starts = new Set(row.words.map(word => word[0])), ends = new Set(row.words.map(word => word[1]));
  for (let unit = row.places.text.indexOf(words); unit >= 0; unit = row.places.text.indexOf(words, unit + words.length)) {
    const start = row.places.point(unit), end = start + span.end - span.start;
    const isThere = row.spans.some(one => one.label === span.label && one.start < end && start < one.end);
    if (starts.has(start) && ends.has(end) && !isThere) found.push({ start, end, label: span.label, state: "yes", isNew: true });
  }
  change(() => { row.spans.push(...found); if (found.length) span.state = "yes"; });
  choose(row.spans.indexOf(span));
  say(found.length ? `${found.length} more.` : "These words stand nowhere else.");
};

const toggleComplete = label => {
  if (row.complete.has(label)) row.complete.delete(label); else row.complete.add(label);
};

const undo = () => {
  if (!past.length) {
    busily(async () => {
      show(await api("review/undo", { browser, shown: shown() }));
      say("Your last answer is taken back.");
    });
    return;
  }
  const [before, chosen] = past.pop();
  const { complete, ...rest } = JSON.parse(before);
  Object.assign(row, rest, { complete: new Set(complete), picked: null });
  linking = null;
  choose(Math.min(chosen, size() - 1));
};

// --- words ---

const wordAt = point => {
  const k = row.words.findIndex(([, end]) => end > point);
  return k < 0 ? row.words.length - 1 : k;
};
const snapped = (start, end) => {  // whole words that a place touches
  const touched = row.words.filter(([s, e]) => s < end && e > start);
  return touched.length ? [touched[0][0], touched[touched.length - 1][1]] : null;
};
const moveWords = (by, isMore) => {
  if (!row.words.length) return;
  if (!row.picked) { row.picked = [...row.words[0]]; choose(-1); return; }
  const first = wordAt(row.picked[0]), last = Math.max(first, wordAt(row.picked[1] - 1));
  const clip = k => Math.min(row.words.length - 1, Math.max(0, k));
  if (isMore) row.picked = [row.words[first][0], row.words[Math.max(first, clip(last + by))][1]];
  else { const k = clip(by > 0 ? last + 1 : first - 1); row.picked = [...row.words[k]]; }
  choose(-1);
  const piece = at("text").querySelector(".picked");
  if (piece) piece.scrollIntoView({ block: "nearest" });
};
const moveBorder = (span, by, isStart, byCharacter) => {
  let { start, end } = span;
  if (byCharacter) { if (isStart) start += by; else end += by; }
  else if (isStart) {
    const starts = row.words.map(word => word[0]);
    start = by > 0 ? starts.find(s => s > start) ?? start : starts.filter(s => s < start).pop() ?? start;
  } else {
    const ends = row.words.map(word => word[1]);
    end = by > 0 ? ends.find(e => e > end) ?? end : ends.filter(e => e < end).pop() ?? end;
  }
  moveTo(span, start, end);
};

const unitOf = (node, offset) => {  // where a border of the browser's selection is in the text
  const own = node.nodeType === Node.TEXT_NODE ? node.parentElement : node;
  if (own.classList.contains("piece")) return Number(own.dataset.unit) + (node.nodeType === Node.TEXT_NODE ? offset : offset ? own.textContent.length : 0);
  if (own === at("text")) {
    const piece = [...own.childNodes].slice(offset).map(child => child.classList.contains("piece") ? child : child.querySelector(".piece")).find(Boolean);
    return piece ? Number(piece.dataset.unit) : row.places.text.length;
  }
  const after = (own.closest(".glue") || own).querySelector(".piece") || (own.closest(".strut") || own).nextElementSibling;
  return after && after.dataset.unit ? Number(after.dataset.unit) : null;
};

at("text").onmouseup = event => {
  const selection = getSelection();
  if (!row || !selection.rangeCount || event.target.closest(".tag")) return;
  const range = selection.getRangeAt(0);
  if (selection.isCollapsed) {
    const unit = unitOf(range.startContainer, range.startOffset);
    const point = unit === null ? -1 : row.places.point(unit);
    const under = row.spans.map((span, k) => k).filter(k => row.spans[k].start <= point && point <= row.spans[k].end);
    under.sort((a, b) => (row.spans[a].end - row.spans[a].start) - (row.spans[b].end - row.spans[b].start));
    if (event.target.closest(".piece") && under.length) choose(under[(under.indexOf(row.chosen) + 1) % under.length]);
    else { row.picked = null; choose(-1); }
    return;
  }
  if (!at("text").contains(range.startContainer)) return;
  const start = unitOf(range.startContainer, range.startOffset);
  const end = at("text").contains(range.endContainer) ? unitOf(range.endContainer, range.endOffset) : row.places.text.length;
  selection.removeAllRanges();
  if (start === null || end === null || start >= end) return;
  const exact = [row.places.point(start), row.places.point(end)];
  const picked = event.altKey ? exact : snapped(...exact);
  if (!picked) return;
  row.before = row.chosen;  // B moves the borders of what was chosen
  row.picked = picked;
  row.chosen = -1;
  paint();
};

// --- questions that are answered by typing ---

const ask = (label, found, then) => {
  question = then;
  at("ask-label").textContent = label;
  at("ask-options").replaceChildren(...found.slice(0, 1000).map(value => make("option", { value })));
  at("ask-input").value = "";
  at("ask").hidden = false;
  at("ask-input").focus();
};
const closeQuestion = () => {
  question = null;
  at("ask").hidden = true;
  at("ask-input").blur();
};
at("ask-input").onkeydown = event => {
  event.stopPropagation();
  if (event.key === "Escape") closeQuestion();
  if (event.key === "Enter" && at("ask-input").value.trim()) {
    const then = question, value = at("ask-input").value.trim();
    event.preventDefault();
    closeQuestion();
    then(value);
  }
};
const REASONS = ["unclear what is meant", "the text is broken", "none of my business", "too long", "another language"];

// --- saving ---

const reply = body => busily(async () => {
  const seconds = Math.round((performance.now() - row.began) / 100) / 10;
  try {
    show(await api("review/answer", { browser, shown: shown(), entry: row.number, seconds, ...body }));
  } catch (error) {
    throw new Error(`Not saved, and still here. ${error.message}`);
  }
});
const save = isAccepted => {
  if (busy) return;
  if (isAccepted) {
    change(() => {
      for (const one of [...row.spans, ...row.links]) if (one.state === "open") one.state = "yes";
      if (at("all-complete").checked) for (const label of labelsOf()) row.complete.add(label);
    });
  }
  const spans = row.spans.map(({ start, end, label, state, was }) => was ? { start, end, label, state, was } : { start, end, label, state });
  const links = row.links.map(({ head, label, tail, state }) => ({ head, label, tail, state }));
  reply({ decision: { spans, links, complete: [...row.complete] } });
};
const rejectAll = () => change(() => { for (const one of [...row.spans, ...row.links]) if (one.state === "open") one.state = "no"; });
const skip = () => ask("Why is it skipped?", REASONS, reason => reply({ skip: reason.slice(0, 500) }));

const noAnswer = () => {
  const link = row.chosen >= 0 && isLink(row.chosen) ? item(row.chosen) : null;
  if (!link) { say("Choose a link first: N says that its question has no answer."); return; }
  change(() => {
    const others = row.links.filter(one => one.label === link.label && one.head[0] === link.head[0] && one.head[1] === link.head[1]);
    for (const one of others) one.state = "no";
    const none = others.find(one => !one.tail);
    if (none) none.state = "yes"; else row.links.push({ head: link.head, label: link.label, tail: null, state: "yes" });
  });
};
const endLink = () => {
  const head = row.spans[linking];
  const tail = row.picked ? { start: row.picked[0], end: row.picked[1] } : row.chosen >= 0 && !isLink(row.chosen) ? item(row.chosen) : null;
  if (!tail || tail === head) { say("Choose another span as the tail, or drag over words; Esc leaves it."); return; }
  linking = null;
  ask("Name of the link", state.links, label => change(() => {
    const place = [[head.start, head.end], [tail.start, tail.end]];
    const known = row.links.find(one => one.label === label && same(one.head, head) && same(one.tail, tail));
    if (known) known.state = "yes"; else row.links.push({ head: place[0], label, tail: place[1], state: "yes" });
    for (const span of [head, tail]) if (span.state === "open") span.state = "yes";
  }));
};

const askModel = () => busily(async () => {
  if (!state.models.length) throw new Error("No model was loaded: start the command with --model en_metaie_sm.");
  const labels = labelsOf().length ? labelsOf() : state.labels.slice(0, 50);
  if (!labels.length) throw new Error("There is no label to ask: give --labels, or add a span first.");
  say("The model reads …");
  const found = await api("extract", { text: row.text, labels });
  const before = size();
  change(() => {
    for (const { start, end, label, score } of found.spans) {
      if (!row.spans.some(one => one.start === start && one.end === end && one.label === label)) {
        row.spans.push({ start, end, label, score: score ?? undefined, state: "open" });
      }
    }
  });
  say(`The model adds ${size() - before}.`);
  choose(nextOpen(-1));
});

// --- keys ---

const actions = {
  "do-accept": () => save(true), "do-save": () => save(false), "do-reject": rejectAll, "do-skip": skip, "do-undo": undo,
};
for (const [id, work] of Object.entries(actions)) at(id).onclick = event => { event.currentTarget.blur(); if (row) work(); };

const onKey = event => {
  const { key, shiftKey, ctrlKey, metaKey, altKey } = event;
  const word = key.length === 1 ? key.toLowerCase() : key;
  const isArrow = key === "ArrowLeft" || key === "ArrowRight";
  if ((ctrlKey || metaKey) && word === "z") return undo;
  if (metaKey || altKey || (ctrlKey && !isArrow)) return null;
  if (key === "Enter") return linking !== null ? endLink : () => save(!shiftKey);
  if (key === "Escape") return () => { linking = null; row.picked = null; choose(-1); };
  if (isArrow) {
    const by = key === "ArrowRight" ? 1 : -1;
    if (row.chosen < 0) return () => moveWords(by, shiftKey);
    return isLink(row.chosen) ? null : () => moveBorder(item(row.chosen), by, shiftKey, ctrlKey);
  }
  const step = by => () => { if (size()) choose(row.chosen < 0 ? (by > 0 ? 0 : size() - 1) : (row.chosen + by + size()) % size()); };
  if (shiftKey && word === "x") return rejectAll;
  if (shiftKey && word === "c") return () => change(() => {
    const own = labelsOf(), isAll = own.every(label => row.complete.has(label));
    for (const label of own) if (isAll) row.complete.delete(label); else row.complete.add(label);
  });
  if (/^[1-9]$/.test(key)) return () => { const label = offered()[key - 1]; if (label) give(label); };
  return {
    ArrowDown: step(1), j: step(1), ArrowUp: step(-1), k: step(-1),
    a: () => decide("yes"), x: () => decide("no"), s: skip, u: undo, m: askModel, n: noAnswer, e: everywhere,
    l: () => {
      if (row.picked || row.chosen >= 0) ask("Label", row.chosen >= 0 && isLink(row.chosen) ? state.links : offered(), give);
      else say("Select words first, or choose a span.");
    },
    c: () => {
      const one = item(row.chosen);
      if (one && !isLink(row.chosen)) change(() => toggleComplete(one.label));
      else say("Choose a span first: C says that nothing of its label is missing in this text.");
    },
    w: () => {
      const one = row.chosen >= 0 && !isLink(row.chosen) ? item(row.chosen) : null;
      if (row.words.length) { row.picked = [...row.words[one ? wordAt(one.start) : 0]]; choose(-1); }
    },
    b: () => {
      const one = row.picked && row.before >= 0 && row.before < row.spans.length ? row.spans[row.before] : null;
      if (one) moveTo(one, ...row.picked); else say("Choose a span, drag over words, then B.");
    },
    g: () => {
      if (row.chosen >= 0 && !isLink(row.chosen)) { linking = row.chosen; paint(); } else say("Choose the span that the link starts at.");
    },
  }[word] || null;
};

document.addEventListener("keydown", event => {
  const { target, key } = event;
  if (target.closest("input:not([type=checkbox]), select, textarea")) {
    if (key === "Escape") target.blur();
    return;
  }
  if (key === "?") { open(isOpen("keys") ? (MODE === "review" ? "review" : "try") : "keys"); return; }
  if (!isOpen("review") || !row || busy) return;
  if (event.repeat && key === "Enter") return;  // a row that nobody has seen is not accepted
  if (target.closest("button, input") && (key === "Enter" || key === " ")) return;
  const work = onKey(event);
  if (work) { event.preventDefault(); say(""); work(); }
});

for (const name of ["label", "slice", "teacher", "why", "state"]) {
  at(`by-${name}`).onchange = event => {
    event.target.blur();
    busily(next);
  };
}
at("all-complete").onchange = event => {
  event.target.blur();
  try { localStorage.setItem("all-complete", at("all-complete").checked ? "1" : ""); } catch { /* it is not kept */ }
};
setInterval(() => {
  if (row && MODE === "review") api("review/keep", { browser, entry: row.number }).then(({ kept }) => {
    if (!kept) say("You were away for long, and somebody else has this row now. Your answer is kept too.", true);
  }, () => {});
}, 30000);

// --- agreement ---

const showAgreement = async () => {
  try {
    const found = await api("review/agreement");
    at("agreement-said").textContent = found.texts
      ? `${found.texts} texts were answered by several of you. Compared are labels that all of them answered, at places that none leaves open.`
      : "No text was answered by two of you yet. Start the review with --overlap 0.2, so that both get a fifth of the rows.";
    fill("agreement-pairs", found.pairs.map(one => [one.teachers.join(" and "), one.texts, rate(one.f), `${rate(one.f_low)} to ${rate(one.f_high)}`]));
    fill("agreement-labels", found.labels.map(one => [one.label, one.texts, rate(one.f), rate(one.alpha)]));
    fill("agreement-differ", found.differ.map(([id, value]) => [id, rate(value)]));
  } catch (error) { say(error.message, true); }
};

// --- try ---

let own = false;  // whether the schema was edited by hand
const schemaOf = () => {
  const split = (text, sign) => text.split(sign).map(part => part.trim()).filter(Boolean);
  const labels = split(at("try-labels").value, ",");
  const links = {};
  for (const line of split(at("try-links").value, "\n")) {
    const [name, rest = ""] = line.split(/:(.*)/s);
    const [head, query, tail] = split(rest, ",");
    if (!head || !query) throw new Error(`The link “${line}” must be written: name: head, question, tail.`);
    links[name.trim()] = tail ? { head, query, tail } : { head, query };
  }
  const threshold = Number(at("try-threshold").value);
  const schema = { labels: Object.fromEntries(labels.map(label => [label, label])) };
  if (Object.keys(links).length) schema.links = links;
  if (threshold) schema.threshold = threshold;
  return schema;
};
const showSchema = () => {
  own = false;
  at("try-least").value = Number(at("try-threshold").value) || "as the model says";
  try { at("try-schema").value = JSON.stringify(schemaOf(), null, 2); say(""); } catch (error) { say(error.message, true); }
};
let running = 0;
const extract = async () => {
  const text = at("try-text").value, mine = ++running;
  const written = at("try-schema").value.trim();
  say("…");
  try {
    let schema = written;
    if (written.startsWith("{")) {
      try { schema = JSON.parse(written); } catch (error) { throw new Error(`The schema is no JSON: ${error.message}.`); }
    }
    if (!text.trim()) throw new Error("Give a text first.");
    if (!written) throw new Error("Give labels, or a schema.");
    const body = { text, schema };
    if (own && Number(at("try-threshold").value)) body.threshold = Number(at("try-threshold").value);
    const found = await api("extract", body);
    if (mine !== running) return;
    showFound(text, found);
  } catch (error) {
    if (mine === running) say(error.message, true);
  }
};
const showFound = (text, found) => {
  const places = new Places(text);
  Object.assign(at("try-out"), { hidden: false, className: "shown" });
  draw(at("try-out"), places, inOrder(found.spans.filter(span => !span.answer).map(span => ({ ...span, score: span.score ?? undefined }))));
  fill("try-spans", found.spans.map(span => {
    const more = Object.entries(span.attributes || {}).map(([name, one]) => `${name}: ${one.option}`);
    return [span.text, [span.label, ...more].join("; "), rate(span.score)];
  }));
  fill("try-links-out", (found.links || []).map(link => [found.spans[link.head].text, link.label, found.spans[link.tail].text, rate(link.score)]));
  const told = found.spans.length ? `${found.spans.length} found` : "Nothing found: ask other labels, or move the least score.";
  say(found.asked ? `${told} (asked were only: ${found.asked.join(", ")})` : told);
};
for (const id of ["try-labels", "try-links"]) at(id).oninput = showSchema;
at("try-schema").oninput = () => { own = true; };
let later = 0;
at("try-threshold").oninput = () => {
  if (own) at("try-least").value = Number(at("try-threshold").value) || "as the model says"; else showSchema();
  clearTimeout(later);
  if (!at("try-out").hidden && at("try-out").childElementCount) later = setTimeout(extract, 150);
};
at("try-go").onclick = extract;
at("try").onkeydown = event => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) extract(); };
at("try-copy").onclick = async () => {
  at("try-schema").select();
  try { await navigator.clipboard.writeText(at("try-schema").value); say("The schema is copied."); } catch { say("The schema is selected: Ctrl C copies it."); }
};

// --- start ---

showSchema();
at("text").className = "shown";
at("try-out").hidden = true;
at("no-model").textContent = "No model was loaded. Start the review with --model en_metaie_sm to try labels here.";
at("try-key-row").hidden = MODE === "review";
if (MODE === "review") {
  document.title = "Review";
  try { at("all-complete").checked = localStorage.getItem("all-complete") === "1"; } catch { /* it is not kept */ }
  open("review");
  if (TOKEN) busily(async () => { await loadState(); await next(); });
  else say("The address lacks its token. Open the address as the command printed it.", true);
} else {
  for (const tab of TABS) at(`tab-${tab}`).hidden = true;
  open("try");
}
