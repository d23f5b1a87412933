"use strict";
// The reader of traces. What models wrote comes into the page by textContent alone.
(async () => {
  const $ = (id) => document.getElementById(id);
  const BACKTRACKING = "backtracking", YOU = "your labels", TRUTH = "the truth", TALL = 4000;
  // What one does not see, or what turns round what follows; but for a choice between two looks.
  const ODD = /(?![\t\n\ufe0e\ufe0f])[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u, EVERY = new RegExp(ODD, "gu");

  const packed = $("data").textContent;
  const bytes = Uint8Array.from(atob(packed), (one) => one.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const { states, traces } = JSON.parse(await new Response(stream).text());
  const turning = states.indexOf(BACKTRACKING);
  const chars = new Map(); // of a trace: its characters, as labels count them
  const charsOf = (trace) => chars.get(trace) ?? chars.set(trace, Array.from(trace.text)).get(trace);
  const kinds = [...new Set(traces.flatMap((trace) => trace.sentences.map((one) => one[3])))].filter(Boolean);
  const view = { trace: null, listed: [], at: -1, labels: false };

  const number = (one) => `U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  const plain = (text) => text.replace(EVERY, number);
  const make = (tag, text = "", name = "") => {
    const found = document.createElement(tag);
    if (text) found.textContent = plain(text);
    if (name) found.className = name;
    return found;
  };
  const fill = (select, options, chosen) => {
    select.replaceChildren(...options.map(([value, text]) => {
      const one = make("option", text);
      one.value = value;
      return one;
    }));
    if (options.some(([value]) => value === chosen)) select.value = chosen;
  };

  if (!traces.length) {
    $("reader").replaceChildren(make("p", "There is no trace to read.", "none"));
    document.documentElement.dataset.ready = "yes";
    return;
  }

  // --- own labels -------------------------------------------------------------------------------
  const KEPT = `labels/${packed.length}/${packed.slice(-24)}`;
  const mine = new Map(), undone = [];
  const ofMine = (trace) => mine.get(trace.id) ?? mine.set(trace.id, new Map()).get(trace.id);
  const keep = () => {
    const rows = [...mine].map(([id, its]) => [id, [...its]]);
    try { localStorage.setItem(KEPT, JSON.stringify(rows)); } catch { /* a browser that keeps nothing */ }
    tellDone();
  };
  const tellDone = () => {
    const its = ofMine(view.trace).size, all = [...mine.values()].reduce((sum, one) => sum + one.size, 0);
    $("done").textContent = `${its} of ${view.trace.sentences.length} sentences here, ${all} in all.`;
  };
  const recall = () => {
    try {
      for (const [id, its] of JSON.parse(localStorage.getItem(KEPT) ?? "[]")) mine.set(id, new Map(its));
    } catch { /* nothing that can be read was kept */ }
  };
  const give = (state) => {
    if (!view.labels || view.at < 0) return;
    const its = ofMine(view.trace), before = its.get(view.at);
    undone.push([view.trace, view.at, before]);
    if (state < 0) its.delete(view.at); else its.set(view.at, state);
    keep();
    paint(view.at);
    go(Math.min(view.at + (state < 0 ? 0 : 1), view.trace.sentences.length - 1));
  };
  const undo = () => {
    const last = undone.pop();
    if (!last) return;
    const [trace, at, before] = last;
    if (before === undefined) ofMine(trace).delete(at); else ofMine(trace).set(at, before);
    if (trace !== view.trace) show(trace);
    keep();
    paint(at);
    go(at);
  };
  const lines = () => {
    const annotator = $("annotator").value.trim() || "human";
    return traces.flatMap((trace) => [...ofMine(trace)].sort(([a], [b]) => a - b).map(([index, state]) => {
      const [start, end] = trace.sentences[index];
      return JSON.stringify({ trace_id: trace.id, start, end, state: states[state], annotator });
    }));
  };
  const save = () => {
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([lines().map((one) => `${one}\n`).join("")]));
    link.download = "labels.jsonl";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const load = async (file) => {
    const place = new Map(traces.flatMap((trace) => trace.sentences.map(
      ([start, end], index) => [JSON.stringify([trace.id, start, end]), [trace, index]])));
    let found = 0, lost = 0;
    for (const line of (await file.text()).split("\n")) {
      if (!line.trim()) continue;
      let row = {};
      try { row = JSON.parse(line) ?? {}; } catch { /* counted below */ }
      const at = place.get(JSON.stringify([row.trace_id, row.start, row.end]));
      const state = states.indexOf(row.state);
      if (at && state >= 0) { ofMine(at[0]).set(at[1], state); found += 1; } else lost += 1;
    }
    keep();
    repaint();
    $("done").textContent += ` ${found} were read${lost ? `, ${lost} lines are of no sentence here` : ""}.`;
  };

  // --- which traces -----------------------------------------------------------------------------
  const disputes = (states_) => {
    const said = states_.filter((one) => one >= 0).map((one) => one === turning);
    return said.includes(true) && said.includes(false);
  };
  const WITH = {
    "": ["anything", () => true],
    ...Object.fromEntries(states.map((name, state) =>
      [name, [name, (trace) => trace.sentences.some((one) => one[2].includes(state))]])),
    none: ["no backtracking", (trace) => !trace.sentences.some((one) => one[2].includes(turning))],
    disputed: ["labellers who disagree on it", (trace) => trace.sentences.some((one) => disputes(one[2]))],
    labelled: ["labels of yours", (trace) => ofMine(trace).size > 0],
  };
  const list = () => {
    const words = $("find").value.toLowerCase(), [fact, ...rest] = $("only").value.split("=");
    const value = rest.join("=");
    view.listed = traces.filter((trace) =>
      (!fact || trace.facts[fact] === value) && WITH[$("with").value][1](trace) &&
      (!words || [trace.id, trace.problem, trace.text].some((one) => one.toLowerCase().includes(words))));
    $("count").textContent = `${view.listed.length} of ${traces.length} traces`;
    $("traces").replaceChildren(...view.listed.map((trace) => {
      const item = make("li"), button = make("button", trace.id);
      button.type = "button";
      button.append(make("small", Object.values(trace.facts).slice(0, 2).join(", ").slice(0, 90)));
      button.addEventListener("click", () => show(trace));
      item.append(button);
      return item;
    }));
    if (view.listed.length && !view.listed.includes(view.trace)) show(view.listed[0]);
    else mark();
  };
  const mark = () => {
    const all = $("traces"), isIn = all.contains(document.activeElement);
    [...all.children].forEach((item, index) => {
      const isIt = view.listed[index] === view.trace, button = item.firstChild;
      button.setAttribute("aria-current", isIt);
      button.tabIndex = isIt ? 0 : -1; // one stop of Tab, whatever their number
      if (!isIt) return;
      const own = item.getBoundingClientRect(), its = all.getBoundingClientRect(); // the page itself stays where it is
      all.scrollTop += Math.min(0, own.top - its.top) + Math.max(0, own.bottom - its.bottom);
      if (isIn) button.focus({ preventScroll: true });
    });
  };
  const step = (by) => {
    const at = view.listed.indexOf(view.trace) + by;
    if (view.listed[at]) show(view.listed[at]);
  };

  // --- one trace --------------------------------------------------------------------------------
  const show = (trace) => {
    view.trace = trace;
    view.at = -1;
    const { labellers, shades } = trace;
    $("name").textContent = plain(trace.id);
    $("problem").replaceChildren();
    put($("problem"), trace.problem);
    $("facts").replaceChildren(...Object.entries(trace.facts).map(([name, value]) => {
      const row = make("div");
      row.append(make("dt", name), put(make("dd"), value));
      return row;
    }));
    fill($("labeller"), [...labellers.map((one, i) => [String(i), one]), [TRUTH, TRUTH], [YOU, YOU]]
      .filter(([value]) => value !== TRUTH || trace.sentences.some((one) => one[3])), $("labeller").value);
    fill($("shade"), [["", "nothing"], ...shades.map(([name], i) => [String(i), name])], $("shade").value);
    const like = traces.filter((one) => one !== trace && trace.problem && one.problem === trace.problem);
    fill($("beside"), [["", "nothing"], ...like.map((one) => [one.id, one.id])], $("beside").value);
    repaint();
    mark();
    tellDone();
  };
  const repaint = () => {
    const { at } = view;
    draw($("text"), view.trace, Number($("labeller").value));
    const other = traces.find((one) => one.id === $("beside").value);
    $("other").hidden = !other;
    if (other) draw($("other"), other, other.labellers.indexOf(view.trace.labellers[$("labeller").value]));
    legend();
    if (at >= 0) go(at);
  };
  const stateOf = (trace, index) => {
    const by = $("labeller").value;
    return by === YOU ? ofMine(trace).get(index) ?? -1 : trace.sentences[index][2][by] ?? -1;
  };
  const legend = () => {
    const isTrue = $("labeller").value === TRUTH, names = isTrue ? kinds : states;
    const counts = names.map(() => 0);
    view.trace.sentences.forEach(([, , , kind], index) => {
      counts[isTrue ? kinds.indexOf(kind) : stateOf(view.trace, index)] += 1;
    });
    const wider = view.trace.wider[$("labeller").value];
    $("legend").replaceChildren(...names.map((name, index) => {
      const item = make("li"), isKey = view.labels && !isTrue;
      const one = make(isKey ? "button" : "span", isKey ? `${index + 1} ${name}` : name, `s${index % states.length}`);
      if (isKey) one.addEventListener("click", () => give(index));
      item.append(one, ` ${counts[index]}`);
      return item;
    }), ...(view.trace.sentences.some((one) => disputes(one[2])) ? [make("li", "labellers disagree", "disputed")] : []),
    ...(wider ? [make("li", `backtracking here is ${wider}`)] : []));
  };

  /** Text with every mark that one does not see, or that turns what follows round, as its number. */
  const put = (element, text) => {
    if (!ODD.test(text)) { element.append(text); return element; }
    let seen = "";
    for (const one of text) {
      if (!ODD.test(one)) { seen += one; continue; }
      if (seen) element.append(seen);
      seen = "";
      element.append(make("span", number(one), "odd"));
    }
    if (seen) element.append(seen);
    return element;
  };
  const draw = (article, trace, labeller) => {
    const all = charsOf(trace), [, values] = trace.shades[$("shade").value] ?? [];
    const most = values ? Math.max(1e-9, ...values.map((one) => Math.abs(one ?? 0))) : 1;
    const between = (start, end) => all.slice(start, end).join("");
    const blocks = [make("div", "", "block")];
    let at = 0, token = 0, tall = 0;
    const write = (element, start, end) => {
      if (!values) { put(element, between(start, end)); return; }
      while (token < trace.ends.length && trace.ends[token] <= start) token += 1;
      for (let from = start; from < end;) {
        const to = Math.min(trace.ends[token] ?? end, end), value = values[token];
        const piece = put(make("span", "", value > 0 ? "up" : value < 0 ? "down" : ""), between(from, to));
        if (value) piece.style.setProperty("--much", `${Math.round(80 * Math.abs(value) / most)}%`);
        piece.dataset.token = token;
        element.append(piece);
        if (to === trace.ends[token]) token += 1;
        from = to;
      }
    };
    trace.sentences.forEach(([start, end], index) => {
      if (start > at) write(blocks.at(-1), at, start);
      const gap = between(at, start);
      if (tall > 3 * TALL || (tall > TALL && gap.includes("\n"))) { blocks.push(make("div", "", "block")); tall = 0; }
      const sentence = make("span", "", "sentence");
      sentence.dataset.index = index;
      let last = end; // white space behind a sentence is shown as no part of it
      while (last > start && !all[last - 1].trim()) last -= 1;
      write(sentence, start, last);
      blocks.at(-1).append(sentence);
      if (last < end) write(blocks.at(-1), last, end);
      tall += end - at;
      at = end;
    });
    if (at < all.length) write(blocks.at(-1), at, all.length);
    article.replaceChildren(...(article.id === "other" ? [make("h3", trace.id)] : []), ...blocks);
    article.trace = trace;
    for (const one of article.querySelectorAll(".sentence")) colour(article, one, labeller);
  };
  const colour = (article, element, labeller) => {
    const { trace } = article, index = Number(element.dataset.index), by = $("labeller").value;
    const state = article.id === "text" ? stateOf(trace, index) : trace.sentences[index][2][labeller] ?? -1;
    const kind = by === TRUTH ? trace.sentences[index][3] : null;
    const number = kind ? kinds.indexOf(kind) % states.length : state;
    element.className = `sentence${number >= 0 ? ` state s${number}` : ""}` +
      (disputes(trace.sentences[index][2]) ? " disputed" : "");
  };
  const paint = (index) => {
    const element = $("text").querySelector(`[data-index="${index}"]`);
    if (element) colour($("text"), element, Number($("labeller").value));
    legend();
  };
  const tell = (article, index, token) => {
    const { trace } = article, [, , said, kind] = trace.sentences[index] ?? [0, 0, []];
    const parts = said.map((one, i) => `${trace.labellers[i]}: ${states[one] ?? "silent"}`);
    const last = token ?? trace.ends.findIndex((end) => end >= trace.sentences[index]?.[1]);
    const own = ofMine(trace).get(index);
    if (own !== undefined) parts.push(`you: ${states[own]}`);
    if (kind) parts.push(`true kind: ${kind}`);
    for (const [name, values] of trace.shades) {
      if (typeof values[last] === "number") parts.push(`${name}${token ? "" : ", at its end"}: ${values[last]}`);
    }
    $("hover").textContent = `Sentence ${index + 1} of ${trace.sentences.length}. ${plain(parts.join("; "))}`;
  };
  const centre = (element) => {
    const text = $("text"), own = element.getBoundingClientRect(), its = text.getBoundingClientRect();
    text.scrollTop += own.top - its.top - Math.max(0, its.height - own.height) / 2;
  };
  const go = (index) => {
    $("text").querySelector(".current")?.classList.remove("current");
    const element = $("text").querySelector(`[data-index="${index}"]`);
    if (!element) return;
    view.at = index;
    element.classList.add("current");
    $("text").scrollIntoView({ block: "nearest" });
    centre(element);
    requestAnimationFrame(() => centre(element)); // what was not laid out yet has its true height now
    tell($("text"), index);
  };
  const jump = (by) => {
    const n = view.trace.sentences.length;
    for (let at = view.at + by; at >= 0 && at < n; at += by) {
      if (stateOf(view.trace, at) === turning) { go(at); return; }
    }
    $("hover").textContent = "No further backtracking by this labeller.";
  };
  const toggle = (name) => {
    const now = name === "mode" ? (view.labels = !view.labels) : $("keys").hidden;
    if (name === "mode") {
      $("mode").setAttribute("aria-pressed", now);
      $("labelling").hidden = !now;
      if (now) $("labeller").value = YOU;
      repaint();
      if (now && view.at < 0) go(0);
    } else {
      $("keys").hidden = !now;
      $("help").setAttribute("aria-expanded", now);
    }
  };
  const theme = () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    const now = document.documentElement.dataset.theme ?? dark;
    document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
  };

  // --- who listens ------------------------------------------------------------------------------
  const KEYS = {
    j: () => go(Math.min(view.at + 1, view.trace.sentences.length - 1)), k: () => go(Math.max(view.at - 1, 0)),
    b: () => jump(1), B: () => jump(-1), n: () => step(1), p: () => step(-1), l: () => toggle("mode"), t: theme,
    "?": () => toggle("help"), u: () => view.labels && undo(), s: () => view.labels && save(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { $("text").focus(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    if (view.labels && /^[0-9]$/.test(event.key) && Number(event.key) <= states.length) give(Number(event.key) - 1);
    else if (/^Arrow(Up|Down)$/.test(event.key) && $("traces").contains(event.target)) step(event.key === "ArrowUp" ? -1 : 1);
    else if (Object.hasOwn(KEYS, event.key)) KEYS[event.key]();
    else return;
    event.preventDefault();
  });
  const tokenAt = (event) => event.target.closest("[data-token]")?.dataset.token;
  for (const article of [$("text"), $("other")]) {
    article.addEventListener("mouseover", (event) => {
      const sentence = event.target.closest(".sentence");
      if (sentence) tell(article, Number(sentence.dataset.index), tokenAt(event));
    });
  }
  $("text").addEventListener("click", (event) => {
    const sentence = event.target.closest(".sentence");
    if (!sentence) return;
    go(Number(sentence.dataset.index));
    tell($("text"), view.at, tokenAt(event));
  });
  for (const id of ["labeller", "shade", "beside"]) $(id).addEventListener("change", repaint);
  for (const id of ["only", "with"]) $(id).addEventListener("change", list);
  let waiting;
  $("find").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(list, 150); });
  $("load").addEventListener("change", (event) => event.target.files[0] && load(event.target.files[0]));
  for (const [id, act] of Object.entries({
    back: () => jump(-1), on: () => jump(1), mode: () => toggle("mode"), help: () => toggle("help"), theme, undo, save,
  })) $(id).addEventListener("click", act);

  const facts = [...new Set(traces.flatMap((trace) => ["outcome", "model", "arm"].filter((one) => trace.facts[one])
    .map((one) => `${one}=${trace.facts[one]}`)))].sort();
  fill($("only"), [["", "all"], ...facts.map((one) => [one, one.replace("=", ": ")])]);
  fill($("with"), Object.entries(WITH).map(([value, [text]]) => [value, text]));
  recall();
  show(traces[0]);
  list();
  document.documentElement.dataset.ready = "yes";
})();
