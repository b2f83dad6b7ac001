"use strict";

// The run, as html.rs writes it.
const run = JSON.parse(document.getElementById("data").textContent);
const frames = run.frames.map(([conn, from, to, sent, arrived, bytes, number, messages], index) => ({
  index, conn, from, to, sent, arrived, bytes, number,
  messages: messages.map(([op, mux, side, seq, flags, handler, len]) =>
    ({ op, mux, side, seq, flags, handler, len })),
}));
const END = Math.max(run.end, 1);
// At most so many arrows are drawn; more are thinned out until somebody zooms in.
const MOST_ARROWS = 2500;
const MOST_GAUGES = 12;
const LEFT = 84, RIGHT = 16, TOP = 80, ROW = 9, MOST_ROWS = 8;
// Labels of faults stand above their marks, in rows of this height.
const MARK = 8, LABEL_ROW = 11, MOST_LABEL_ROWS = 3;

const $ = id => document.getElementById(id);
const muxName = (conn, mux, side) => `${conn}/${mux}/${side}`;
const callOfMux = new Map(run.calls.filter(c => c.mux).map(c => [muxName(...c.mux), c]));
const flight = frames.reduce((most, f) => Math.max(most, (f.arrived ?? f.sent) - f.sent), 0);

// What is chosen. It is kept behind the # of the address.
const chosen = { call: "", pair: null, from: 0, to: END, failure: run.failures.length ? 0 : -1 };

function readAddress() {
  const words = new URLSearchParams(location.hash.slice(1));
  const number = (key, usual) => words.has(key) && isFinite(words.get(key)) ? +words.get(key) : usual;
  chosen.call = words.get("call") ?? "";
  const pair = (words.get("pair") ?? "").split("-").map(Number);
  chosen.pair = pair.length === 2 && pair.every(n => n in run.nodes) ? pair : null;
  zoomTo(number("from", 0), number("to", END));
}

function writeAddress() {
  const words = new URLSearchParams();
  if (chosen.call) words.set("call", chosen.call);
  if (chosen.pair) words.set("pair", chosen.pair.join("-"));
  if (chosen.from > 0 || chosen.to < END) {
    words.set("from", Math.round(chosen.from));
    words.set("to", Math.round(chosen.to));
  }
  history.replaceState(null, "", "#" + words);
}

function zoomTo(from, to) {
  const span = Math.min(Math.max(to - from, 1000), END);
  chosen.from = Math.min(Math.max(from, 0), END - span);
  chosen.to = chosen.from + span;
}

function zoomBy(factor, around = (chosen.from + chosen.to) / 2) {
  zoomTo(around - (around - chosen.from) * factor, around + (chosen.to - around) * factor);
}

// ---- what the filters let through ----

const ofPair = (...nodes) => !chosen.pair || nodes.every(node => chosen.pair.includes(node));
const ofNode = node => !chosen.pair || chosen.pair.includes(node);
const ofCall = call => !chosen.call || call.name === chosen.call || call.mux?.[1] === chosen.call;

function ofMessage(frame, message) {
  if (!chosen.call) return true;
  if (message.mux === "0") return false;
  const call = callOfMux.get(muxName(frame.conn, message.mux, message.side));
  return message.mux === chosen.call || call?.name === chosen.call;
}

const passes = frame =>
  ofPair(frame.from, frame.to) && frame.messages.some(message => ofMessage(frame, message));

// ---- texts ----

function time(nanos, span = chosen.to - chosen.from) {
  const digits = span > 2e10 ? 1 : span > 2e9 ? 2 : span > 2e7 ? 4 : span > 2e5 ? 6 : 9;
  return (nanos / 1e9).toFixed(digits) + " s";
}

const exact = nanos => (nanos / 1e9).toFixed(9).replace(/0{1,6}$/, "") + " s";
const length = nanos =>
  nanos >= 1e9 ? `${nanos / 1e9} s` : nanos >= 1e6 ? `${nanos / 1e6} ms` : `${nanos / 1e3} µs`;

function frameText(frame) {
  const fate = frame.arrived === null ? "never arrived" : `arrived ${exact(frame.arrived)}`;
  const lines = frame.messages.map(({ op, mux, side, seq, flags, handler, len }) => {
    const call = callOfMux.get(muxName(frame.conn, mux, side));
    return `${op}` + (mux === "0" ? "" : ` mux ${mux}${call ? ` (${call.name})` : ""} seq ${seq}`)
      + (handler ? ` handler ${handler}` : "") + (flags ? ` ${flags}` : "") + ` len ${len}`;
  });
  return `n${frame.from} → n${frame.to}  c${frame.conn} #${frame.number}  ${frame.bytes} bytes\n`
    + `sent ${exact(frame.sent)}, ${fate}\n` + lines.join("\n");
}

const overText = over => over ? `${over[1]} at ${exact(over[0])}` : "never over";

// ---- drawing ----

function add(parent, kind, attributes, tip, act) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") element.textContent = value;
    else element.setAttribute(key, typeof value === "number" ? Math.round(value * 100) / 100 : value);
  }
  if (tip) element.tip = tip;
  if (act) element.act = act;
  parent.append(element);
  return element;
}

// A text at the right of a line, or at its left where the window ends.
function label(parent, kind, at, y, text, tip) {
  const isLast = at > width - RIGHT - 70;
  return add(parent, "text", { class: kind, x: isLast ? at - 3 : at + 3, y, text, "text-anchor": isLast ? "end" : "start" }, tip);
}

// Puts labels into rows, from `y` upwards, so that none covers another. One for which no row has
// room is left out: what it labels has the same tip.
function shelf(parent, y, most) {
  const rows = Array.from({ length: most }, () => []);
  return (kind, at, text, tip) => {
    const element = label(parent, kind, at, y, text, tip);
    const length = element.getComputedTextLength(), x = +element.getAttribute("x");
    const left = element.getAttribute("text-anchor") === "end" ? x - length : x, right = left + length;
    const row = rows.findIndex(taken => taken.every(([from, to]) => right + 4 < from || to + 4 < left));
    if (row < 0) return element.remove();
    rows[row].push([left, right]);
    element.setAttribute("y", y - row * LABEL_ROW);
  };
}

// Puts each span into the first row that is free when it begins.
function stack(spans) {
  const free = [];
  for (const span of spans.sort((one, other) => one.since - other.since)) {
    let row = free.findIndex(until => until <= span.since);
    if (row < 0) row = free.length < MOST_ROWS ? free.length : MOST_ROWS - 1;
    free[row] = Math.max(free[row] ?? 0, span.over ? span.over[0] : END);
    span.row = row;
  }
  return free.length;
}

// The lanes from top to bottom: calls above the line of a node, handlers under it.
const lanes = [];
let bottom = TOP;
run.nodes.forEach((name, node) => {
  const calls = run.calls.filter(call => call.from === node);
  const handlers = run.handlers.filter(handler => handler.node === node);
  const above = Math.max(stack(calls), 1) * ROW + 12, below = Math.max(stack(handlers), 1) * ROW + 12;
  lanes.push({ name, calls, handlers, top: bottom, y: bottom + above, bottom: bottom + above + below });
  bottom += above + below + 40;
});

let width = 1000;
const x = at => LEFT + (at - chosen.from) / (chosen.to - chosen.from) * (width - LEFT - RIGHT);
const timeAt = px => chosen.from + (px - LEFT) / (width - LEFT - RIGHT) * (chosen.to - chosen.from);
const seen = (since, until) => until >= chosen.from && since <= chosen.to;
// The part of a span that is in the window, never narrower than a pixel and a half.
function box(since, until) {
  const left = Math.max(x(since), LEFT), right = Math.min(x(until), width - RIGHT);
  return { x: left, width: Math.max(right - left, 1.5) };
}

function cause() {
  const failure = run.failures[chosen.failure];
  if (!failure) return null;
  return { call: failure.call, frames: new Set(failure.frames), conns: new Set(failure.conns), faults: new Set(failure.faults) };
}

function drawAxis(chart, height) {
  const span = chosen.to - chosen.from;
  let step = 10 ** Math.floor(Math.log10(span / 4));
  step *= span / step > 20 ? 5 : span / step > 10 ? 2 : 1;
  for (let at = Math.ceil(chosen.from / step) * step; at <= chosen.to; at += step) {
    add(chart, "line", { class: "grid", x1: x(at), x2: x(at), y1: 18, y2: height });
    label(chart, "soft", x(at), 12, time(at, step * 10));
  }
  const put = shelf(chart, 25, 1);
  for (const [at, phase] of run.phases) {
    if (!seen(at, at)) continue;
    const tip = () => `${phase}\nfrom ${exact(at)}`;
    add(chart, "line", { class: "phase", x1: x(at), x2: x(at), y1: 18, y2: height }, tip);
    put("soft", x(at), phase, tip);
  }
}

function drawShades(chart, chain) {
  const shade = (node, since, until, kind, text) => {
    if (!seen(since, until) || !ofNode(node)) return;
    const { top, bottom } = lanes[node];
    add(chart, "rect", { class: `shade ${kind}`, ...box(since, until), y: top, height: bottom - top }, () => text);
  };
  for (const [node, since, until] of run.dead) shade(node, since, until, "dead", `n${node} is dead\n${exact(since)} to ${exact(until)}`);
  const shelves = lanes.map(({ top }) => shelf(chart, top - MARK, MOST_LABEL_ROWS));
  const isFaint = index => chain && !chain.faults.has(index);
  // Those that led to the failure first: they are the ones that need their labels.
  const faults = [...run.faults.entries()].sort(([one], [other]) => !!isFaint(one) - !!isFaint(other) || one - other);
  for (const [index, fault] of faults) {
    const text = `${fault.row}  ${fault.text}\nat ${exact(fault.at)}` + (fault.lasts ? `, lasts ${length(fault.lasts)}` : "");
    const kind = ["pause", "partition"].includes(fault.kind) ? fault.kind : "other";
    for (const node of fault.nodes) {
      if (fault.lasts) shade(node, fault.at, fault.at + fault.lasts, kind, text);
      if (!seen(fault.at, fault.at) || !ofNode(node)) continue;
      const { top, bottom } = lanes[node], left = x(fault.at);
      const faint = isFaint(index) ? " faint" : "";
      add(chart, "line", { class: "fault" + faint, x1: left, x2: left, y1: top, y2: bottom }, () => text);
      add(chart, "path", { class: "faultmark" + faint, d: `M${left - 4} ${top - 6}h8l-4 6z` }, () => text);
      shelves[node]("row" + faint, left, `${fault.row} ${fault.kind}`, () => text);
    }
  }
}

// The frames that overlap the window and pass the filters, thinned out if they are too many.
function visibleFrames(chain) {
  let low = 0, high = frames.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (frames[middle].sent < chosen.from - flight) low = middle + 1; else high = middle;
  }
  const visible = [];
  for (let at = low; at < frames.length && frames[at].sent <= chosen.to; at++) {
    if ((frames[at].arrived ?? frames[at].sent) >= chosen.from && passes(frames[at])) visible.push(frames[at]);
  }
  const every = Math.ceil(visible.length / MOST_ARROWS);
  const kept = visible.filter((frame, at) => at % every === 0 || chain?.frames.has(frame.index));
  $("thinned").textContent = every > 1 ? `${kept.length} of ${visible.length} arrows: zoom in for all` : "";
  return kept;
}

function drawArrow(chart, frame, chain) {
  const message = frame.messages.find(m => m.mux !== "0" && ofMessage(frame, m)) ?? frame.messages[0];
  const isLink = !message || message.mux === "0", isLost = frame.arrived === null;
  const isCause = chain?.frames.has(frame.index);
  const way = lanes[frame.to].y > lanes[frame.from].y ? 1 : -1;
  const x1 = x(frame.sent), y1 = lanes[frame.from].y;
  let x2 = x(frame.arrived ?? frame.sent), y2 = lanes[frame.to].y;
  if (isLost) [x2, y2] = [x1 + 10, y1 + (y2 - y1) * .45];
  const colour = isLink ? "var(--link)" : `hsl(${hue(frame.conn, message)} 62% 50%)`;
  const faint = chain && chain.frames.size && !isCause ? " faint" : "";
  const kinds = `arrow${isLink ? " link" : ""}${isLost ? " lost" : ""}${isCause ? " cause" : ""}${faint}`;
  const tip = () => frameText(frame);
  const act = isLink ? null : () => {
    chosen.call = callOfMux.get(muxName(frame.conn, message.mux, message.side))?.name ?? message.mux;
  };
  add(chart, "line", { class: kinds, x1, y1, x2, y2, style: `stroke:${colour}`, "data-frame": frame.index }, tip, act);
  if (isLost) {
    add(chart, "path", { class: "cross" + faint, d: `M${x2 - 4} ${y2 - 4}l8 8m0 -8l-8 8` }, tip, act);
  } else {
    const angle = Math.atan2(y2 - y1, x2 - x1), size = isCause ? 9 : 6.5;
    const wing = turn => `${x2 - size * Math.cos(angle + turn)} ${y2 - size * Math.sin(angle + turn)}`;
    add(chart, "path", { class: "head" + faint, d: `M${x2} ${y2}L${wing(.4)}L${wing(-.4)}z`, style: `fill:${colour}` }, tip, act);
  }
}

function hue(conn, message) {
  let hash = conn * 31 + message.side * 17;
  for (const digit of message.mux) hash = hash * 33 + digit.charCodeAt(0) | 0;
  return (hash * 137.508 % 360 + 360) % 360;
}

function drawBars(chart, chain) {
  const bar = (span, kind, y, text, isCause) => {
    const until = span.over ? span.over[0] : END;
    if (!seen(span.since, until)) return;
    const bad = !span.over || span.over[1] !== "ok" ? " bad" : "";
    const marks = isCause ? " cause" : chain && chain.call !== null ? " faint" : "";
    const place = box(span.since, until);
    const act = () => { chosen.call = chosen.call === span.name ? "" : span.name; };
    add(chart, "rect", { class: `bar ${kind}${bad}${marks}`, ...place, y, height: ROW - 2, "data-call": span.name }, () => text, act);
    if (place.width > 40) add(chart, "text", { class: "soft", x: place.x + 3, y: y - 1.5, text: span.name, "pointer-events": "none" });
  };
  lanes.forEach(({ calls, handlers, y }) => {
    for (const call of calls) {
      if (!ofCall(call) || !ofPair(call.from, call.to)) continue;
      const mux = call.mux ? `c${call.mux[0]} mux ${call.mux[1]}` : "no mux";
      const text = `call ${call.name}: ${call.route} n${call.from} → n${call.to}, ${mux}\nfrom ${exact(call.since)}: ${overText(call.over)}`;
      bar(call, "call", y - 14 - call.row * ROW, text, chain && call.id === chain.call);
    }
    for (const handler of handlers) {
      const call = run.calls.find(call => call.id === handler.id) ?? handler;
      if (!ofCall(call) || !ofPair(call.from ?? handler.node, handler.node)) continue;
      const text = `handler of ${handler.name} at n${handler.node}\nfrom ${exact(handler.since)}: ${overText(handler.over)}`;
      bar(handler, "handler", y + 8 + handler.row * ROW, text, chain && handler.id === chain.call);
    }
  });
}

// A row for each pair of nodes that had a connection; returns where it ends.
function drawConns(chart, top, chain) {
  const pairs = new Map();
  run.conns.forEach((conn, index) => {
    if (!ofPair(...conn.nodes)) return;
    const name = [...conn.nodes].sort().map(node => `n${node}`).join(" – ");
    if (!pairs.has(name)) pairs.set(name, []);
    pairs.get(name).push([conn, index]);
  });
  for (const [name, conns] of [...pairs].sort()) {
    add(chart, "text", { class: "soft", x: 4, y: top + 10, text: name });
    for (const [conn, index] of conns) {
      if (!seen(conn.since, conn.over)) continue;
      const how = conn.nodes.map((node, end) => `n${node}: ` + (conn.ended[end] ? `${conn.ended[end][1]} at ${exact(conn.ended[end][0])}` : "still there"));
      const text = `connection c${conn.id}, n${conn.nodes[0]} dialled n${conn.nodes[1]}\nmade ${exact(conn.since)}\n${how.join("\n")}`;
      const place = box(conn.since, conn.over), marks = chain?.conns.has(index) ? " cause" : "";
      add(chart, "rect", { class: "conn" + marks, ...place, y: top, height: 12 }, () => text);
      if (place.width > 24) add(chart, "text", { x: place.x + 4, y: top + 10, text: `c${conn.id}`, "pointer-events": "none" });
      for (const end of conn.ended) {
        if (!end || !seen(end[0], end[0])) continue;
        const orderly = end[1] === "broken" ? "" : " orderly";
        add(chart, "line", { class: "connend" + orderly, x1: x(end[0]), x2: x(end[0]), y1: top - 2, y2: top + 14 }, () => text);
      }
    }
    top += 18;
  }
  return top;
}

// The credits of the streams in the window.
function drawGauges(chart, top) {
  const all = run.gauges.map(gauge => ({ ...gauge, call: run.calls.find(call => call.id === gauge.id) }));
  const shown = all.filter(({ call, steps }) => steps.length && ofCall(call) && ofPair(call.from, call.to)
    && seen(call.since, call.over ? call.over[0] : END)).slice(0, MOST_GAUGES);
  for (const { call, capacities, steps } of shown) {
    const most = Math.max(...capacities, 1), until = call.over ? call.over[0] : END;
    const y = credit => top + 24 - Math.max(Math.min(credit, most), -1) / most * 22;
    add(chart, "text", { class: "soft", x: 4, y: top + 12, text: `${call.name} credit` });
    add(chart, "text", { class: "soft", x: 4, y: top + 24, text: `of ${capacities.join(" and ")}` });
    add(chart, "line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: top + 24, y2: top + 24 });
    for (const [side, pick] of [["caller", 1], ["callee", 2]]) {
      let path = "", last = 0;
      for (const step of steps) {
        const left = Math.min(Math.max(x(step[0]), LEFT), width - RIGHT);
        path += path ? `H${left}V${y(step[pick])}` : `M${left} ${y(0)}V${y(step[pick])}`;
        last = step[pick];
      }
      path += `H${Math.max(Math.min(x(Math.max(until, steps.at(-1)[0])), width - RIGHT), LEFT)}`;
      const text = `${call.name}: credits of the ${side}\n${last} at last, capacity ${capacities[pick - 1]}`;
      add(chart, "path", { class: `gauge ${side}`, d: path }, () => text);
    }
    top += 34;
  }
  return top;
}

function drawFailures(chart, height) {
  const put = shelf(chart, 37, 1);
  run.failures.forEach((failure, index) => {
    if (!seen(failure.at, failure.at)) return;
    const text = `${failure.oracle} ${failure.rule}\n${failure.detail}\nat ${exact(failure.at)}`;
    const faint = chosen.failure >= 0 && chosen.failure !== index ? " faint" : "";
    add(chart, "line", { class: "failure" + faint, x1: x(failure.at), x2: x(failure.at), y1: 26, y2: height }, () => text);
    put("oracle" + faint, x(failure.at), failure.oracle, () => text);
  });
}

function draw() {
  const chart = $("chart"), chain = cause();
  width = Math.max(chart.clientWidth || document.body.clientWidth || 1200, 400);
  chart.replaceChildren();
  const back = add(chart, "g", {}), front = add(chart, "g", {});
  lanes.forEach(({ name, y }, node) => {
    add(front, "text", { class: "name", x: 4, y: y - 3, text: `n${node}` }, () => name);
    add(front, "line", { class: "lane", x1: LEFT, x2: width - RIGHT, y1: y, y2: y });
  });
  drawShades(front, chain);
  for (const frame of visibleFrames(chain)) drawArrow(front, frame, chain);
  drawBars(front, chain);
  let height = drawConns(front, bottom, chain);
  height = drawGauges(front, height + 8);
  drawFailures(front, height);
  drawAxis(back, height);
  chart.setAttribute("viewBox", `0 0 ${width} ${height + 6}`);
  chart.style.height = `${height + 6}px`;
  $("window").textContent = `${time(chosen.from)} to ${time(chosen.to)} (${length(Math.round(chosen.to - chosen.from))})`;
  drawOverview();
}

const BUCKETS = 240;
const counts = new Array(BUCKETS).fill(0);
for (const frame of frames) counts[Math.min(Math.floor(frame.sent / END * BUCKETS), BUCKETS - 1)]++;

function drawOverview() {
  const overview = $("overview"), full = overview.clientWidth || width, most = Math.max(...counts, 1);
  overview.replaceChildren();
  overview.setAttribute("viewBox", `0 0 ${full} 44`);
  overview.setAttribute("preserveAspectRatio", "none");
  counts.forEach((count, at) => {
    const high = Math.log1p(count) / Math.log1p(most) * 40;
    if (count) add(overview, "rect", { class: "count", x: at / BUCKETS * full, width: full / BUCKETS - .5, y: 44 - high, height: high });
  });
  const tick = (at, kind) => add(overview, "line", { class: kind, x1: at / END * full, x2: at / END * full, y1: 0, y2: 44 });
  for (const fault of run.faults) tick(fault.at, "fault");
  for (const failure of run.failures) tick(failure.at, "failure");
  const left = chosen.from / END * full, right = chosen.to / END * full;
  add(overview, "rect", { class: "pick", x: left, y: .5, width: Math.max(right - left, 2), height: 43 });
}

// ---- what a person does ----

// What is chosen, in the fields, the list and the address.
function showChosen() {
  $("call").value = chosen.call;
  $("pair").value = chosen.pair ? chosen.pair.join("-") : "";
  document.querySelectorAll("#failures li").forEach((item, index) => item.classList.toggle("chosen", index === chosen.failure));
  writeAddress();
}

let due = false;
function redraw() {
  showChosen();
  if (due) return;
  due = true;
  requestAnimationFrame(() => { due = false; draw(); });
}

function choose(change) {
  change();
  redraw();
}

// Calls `move` with how far the pointer has gone until it is let go, and `click` if it has not gone.
function drag(element, begin) {
  element.addEventListener("pointerdown", down => {
    const { move, click } = begin(down);
    let gone = false;
    const onMove = event => {
      gone ||= Math.abs(event.clientX - down.clientX) > 3;
      if (gone) choose(() => move(event));
    };
    addEventListener("pointermove", onMove);
    addEventListener("pointerup", event => {
      removeEventListener("pointermove", onMove);
      if (!gone) choose(() => click(event));
    }, { once: true });
  });
}

drag($("chart"), down => {
  const { from, to } = chosen, target = down.target;
  const scale = (to - from) / (width - LEFT - RIGHT);
  return {
    move: event => zoomTo(from - (event.clientX - down.clientX) * scale, to - (event.clientX - down.clientX) * scale),
    click: () => target.act?.(),
  };
});

drag($("overview"), down => {
  const { left, width: full } = $("overview").getBoundingClientRect();
  const at = event => (event.clientX - left) / full * END;
  const first = at(down), half = (chosen.to - chosen.from) / 2;
  return {
    move: event => zoomTo(Math.min(first, at(event)), Math.max(first, at(event))),
    click: event => zoomTo(at(event) - half, at(event) + half),
  };
});

$("chart").addEventListener("wheel", event => {
  event.preventDefault();
  const around = timeAt(event.clientX - $("chart").getBoundingClientRect().left);
  const shift = (event.deltaX || (event.shiftKey ? event.deltaY : 0)) / 800 * (chosen.to - chosen.from);
  if (shift) choose(() => zoomTo(chosen.from + shift, chosen.to + shift));
  else choose(() => zoomBy(Math.exp(event.deltaY / 400), around));
}, { passive: false });

$("chart").addEventListener("pointermove", event => {
  const tip = $("tip"), text = event.target.tip?.();
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  const below = event.clientY + 16, over = event.clientY - tip.offsetHeight - 12;
  tip.style.left = `${left}px`;
  tip.style.top = `${below + tip.offsetHeight > innerHeight ? over : below}px`;
});
$("chart").addEventListener("pointerleave", () => { $("tip").hidden = true; });

const acts = {
  w: () => zoomBy(.6), s: () => zoomBy(1 / .6), f: () => zoomTo(0, END),
  a: () => { const by = (chosen.to - chosen.from) / 4; zoomTo(chosen.from - by, chosen.to - by); },
  d: () => { const by = (chosen.to - chosen.from) / 4; zoomTo(chosen.from + by, chosen.to + by); },
  Escape: () => { chosen.call = ""; chosen.pair = null; chosen.failure = -1; },
};
addEventListener("keydown", event => {
  const isText = ["INPUT", "SELECT"].includes(event.target.tagName);
  if (event.key in acts && !(isText && event.key !== "Escape") && !event.ctrlKey && !event.metaKey) choose(acts[event.key]);
});
$("in").onclick = () => choose(acts.w);
$("out").onclick = () => choose(acts.s);
$("fit").onclick = () => choose(acts.f);
$("call").oninput = event => choose(() => { chosen.call = event.target.value.trim(); });
$("pair").onchange = event => choose(() => { chosen.pair = event.target.value ? event.target.value.split("-").map(Number) : null; });
addEventListener("resize", redraw);
addEventListener("hashchange", () => choose(readAddress));

// ---- the first look ----

function option(parent, value, text) {
  parent.append(Object.assign(document.createElement("option"), { value, textContent: text }));
}

option($("pair"), "", "all");
run.nodes.forEach((_, one) => run.nodes.forEach((_, other) => {
  if (one < other) option($("pair"), `${one}-${other}`, `n${one} – n${other}`);
}));
run.calls.forEach(call => option($("names"), call.name, ""));
run.failures.forEach((failure, index) => {
  const item = document.createElement("li"), oracle = document.createElement("b");
  oracle.textContent = failure.oracle;
  item.append(oracle, `${failure.rule}: ${failure.detail} (${exact(failure.at)})`);
  item.onclick = () => choose(() => {
    chosen.failure = chosen.failure === index ? -1 : index;
    const call = run.calls.find(call => call.id === failure.call);
    const since = Math.min(call?.since ?? failure.at - 1e9, failure.at), margin = (failure.at - since) * .1 + 1e6;
    zoomTo(since - margin, failure.at + margin);
  });
  $("failures").append(item);
});
$("script").textContent = run.script;
$("summary").textContent = [
  run.failures.length ? `${run.failures.length} failed` : "nothing failed", `${run.nodes.length} nodes`,
  `${run.calls.length} calls`, `${frames.length} frames`, `${run.conns.length} connections`,
  `${run.faults.length} faults`, `${exact(END)}`,
].join(" · ");
readAddress();
showChosen();
// Not in a frame of its own: who only reads the page once it is loaded finds it drawn.
draw();
