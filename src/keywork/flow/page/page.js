"use strict";
{
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const at = (id) => document.getElementById(id);
  const [view, list, search, detail, count] = ["view", "keys", "search", "detail", "count"].map(at);
  const svg = view.querySelector("svg");
  const items = [...list.children];
  const numbers = (text) => (text ? text.split(" ").map(Number) : []);
  const nets = [...svg.querySelectorAll(".net")].map((element) => ({
    element, keys: numbers(element.dataset.keys), parts: numbers(element.dataset.parts),
  }));
  const cards = [...svg.querySelectorAll(".part")];
  const rows = [...svg.querySelectorAll("text[data-key]")];
  let active = -1; // where the keyboard is in the list
  let pinned = -1;
  let shown = items.map((_, key) => key); // what the search leaves over

  // Light: some keys, or what a part has to do with; everything else is dimmed. Without either, all is as usual.
  function light(keys, part = -1) {
    const litKeys = new Set(keys), litCards = new Set(part < 0 ? [] : [part]);
    svg.classList.toggle("dimmed", litKeys.size > 0 || part >= 0);
    for (const key of litKeys) {
      for (const card of [...facts.keys[key].writers, ...facts.keys[key].readers, ...facts.keys[key].before]) litCards.add(card);
    }
    for (const net of nets) {
      const lit = net.keys.some((key) => litKeys.has(key)) || net.parts.includes(part);
      net.element.classList.toggle("lit", lit);
      if (lit) net.parts.forEach((card) => litCards.add(card));
    }
    cards.forEach((card, index) => card.classList.toggle("lit", litCards.has(index)));
    rows.forEach((row) => row.classList.toggle("lit", litKeys.has(Number(row.dataset.key))));
  }

  // What is lit when nothing is pointed at: the pinned key, the one of the keyboard, or what the search has found.
  function rest() {
    const focused = document.activeElement === list || document.activeElement === search ? active : -1;
    if (pinned >= 0) light([pinned]);
    else if (focused >= 0) light([focused]);
    else light(search.value.trim() ? shown : []);
  }

  function element(name, text = "", className = "") {
    const made = document.createElement(name);
    made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function partLine(index, remark = "") {
    const part = facts.parts[index];
    const line = element("div", `${part.name}${remark} (${part.kind})`, part.kind);
    for (const more of [part.description, part.source]) if (more) line.append(element("small", more));
    return line;
  }

  function describe(key) {
    detail.hidden = key < 0;
    detail.replaceChildren();
    if (key < 0) return;
    const fact = facts.keys[key], terms = element("dl");
    const term = (name, ...values) => {
      const value = element("dd");
      value.append(...values);
      terms.append(element("dt", name), value);
    };
    term("shape", fact.shape);
    term("dtype", fact.dtype || "unknown");
    if (fact.domain) term("domain", fact.domain);
    const writers = [...fact.writers.map((part) => partLine(part)), ...fact.before.map((part) => partLine(part, ", step before"))];
    term("written by", ...(writers.length ? writers : ["nobody"]));
    term("read by", ...(fact.readers.length ? fact.readers.map((part) => partLine(part)) : ["nobody"]));
    const title = element("h2");
    const close = element("button", "\u00d7");
    close.type = "button";
    close.setAttribute("aria-label", "Unpin");
    close.addEventListener("click", () => pin(-1));
    title.append(element("code", fact.name), close);
    detail.append(title, terms);
    for (const number of fact.notes) detail.append(element("p", `note: ${facts.notes[number]}`, "note"));
    for (const number of fact.findings) detail.append(element("p", `Finding ${number + 1}: ${facts.findings[number]}`, "mark"));
  }

  function reveal(key) {
    const net = nets.find((candidate) => candidate.keys.includes(key));
    const target = net ? net.element.querySelector(".label") : cards[(facts.keys[key].writers.concat(facts.keys[key].readers))[0]];
    if (!target) return;
    const box = target.getBoundingClientRect(), frame = view.getBoundingClientRect();
    const outside = box.top < frame.top || box.bottom > frame.bottom || box.left < frame.left || box.right > frame.right;
    if (outside) view.scrollBy(box.left + box.width / 2 - frame.left - frame.width / 2, box.top + box.height / 2 - frame.top - frame.height / 2);
  }

  function moveTo(key) {
    if (active >= 0) items[active].classList.remove("active");
    active = key;
    if (key < 0) list.removeAttribute("aria-activedescendant");
    else {
      items[key].classList.add("active");
      const item = items[key]; // the list scrolls, and not the page with it
      list.scrollTop = Math.min(Math.max(list.scrollTop, item.offsetTop + item.offsetHeight - list.clientHeight), item.offsetTop);
      list.setAttribute("aria-activedescendant", items[key].id);
      reveal(key);
    }
    rest();
  }

  function pin(key) {
    if (pinned >= 0) items[pinned].setAttribute("aria-selected", "false");
    pinned = key;
    describe(key); // first, for it takes room from the list
    if (key >= 0) {
      items[key].setAttribute("aria-selected", "true");
      moveTo(key);
    }
    rest();
  }

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = [];
    items.forEach((item, key) => {
      const text = `${item.textContent} ${item.className}`.toLowerCase();
      const hit = words.every((word) => text.includes(word));
      item.hidden = !hit;
      if (hit) shown.push(key);
    });
    count.textContent = words.length ? `${shown.length} of ${items.length} keys` : "";
    if (!shown.includes(active)) moveTo(-1);
    rest();
  }

  function step(by) {
    if (!shown.length) return;
    const place = shown.indexOf(active);
    moveTo(shown[place < 0 ? (by > 0 ? 0 : shown.length - 1) : Math.min(Math.max(place + by, 0), shown.length - 1)]);
  }

  function clear() {
    search.value = "";
    moveTo(-1);
    pin(-1);
    filter();
  }

  search.addEventListener("input", filter);
  for (const field of [list, search]) {
    field.addEventListener("keydown", (event) => {
      const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 };
      if (event.key in steps) step(steps[event.key]);
      else if (field === list && event.key === "Home") moveTo(shown[0] ?? -1);
      else if (field === list && event.key === "End") moveTo(shown.at(-1) ?? -1);
      else if (event.key === "Enter" || (field === list && event.key === " ")) {
        const chosen = active < 0 && field === search && shown.length === 1 ? shown[0] : active;
        if (chosen >= 0) pin(chosen === pinned ? -1 : chosen);
      } else return;
      event.preventDefault();
    });
    field.addEventListener("focus", rest);
    field.addEventListener("blur", rest);
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = document.activeElement === search;
    if (event.key === "Escape") clear();
    else if (event.key === "/" && !typing) search.focus();
    else if (typing || !"+-=0".includes(event.key)) return;
    else if (event.key === "0") fit();
    else zoomBy(event.key === "-" ? 0.8 : 1.25);
    event.preventDefault();
  });
  items.forEach((item, key) => {
    item.addEventListener("mouseenter", () => light([key]));
    item.addEventListener("mouseleave", rest);
    item.addEventListener("click", () => pin(key === pinned ? -1 : key));
  });

  // What of the picture the pointer is on: one key of a label, all keys of a line, or a card.
  function pointedAt(target) {
    const row = target.closest("[data-key]"), net = target.closest(".net"), card = target.closest(".part");
    if (row) return { keys: [Number(row.dataset.key)] };
    if (net) return { keys: numbers(net.dataset.keys) };
    return { keys: [], part: card ? Number(card.dataset.part) : -1 };
  }
  let moved = false;
  svg.addEventListener("pointerover", (event) => {
    const { keys, part = -1 } = pointedAt(event.target);
    if (keys.length || part >= 0) light(keys, part);
    else rest();
  });
  svg.addEventListener("pointerleave", rest);
  svg.addEventListener("click", (event) => {
    const [key = -1] = pointedAt(event.target).keys;
    if (!moved) pin(key === pinned ? -1 : key);
  });

  // Zoom and pan: the picture is as large as it is drawn, and scrolls.
  const [width, height] = [svg.viewBox.baseVal.width, svg.viewBox.baseVal.height];
  let zoom = 1;
  function setZoom(value, x = view.clientWidth / 2, y = view.clientHeight / 2) {
    const before = zoom;
    zoom = Math.min(Math.max(value, 0.1), 4);
    const [left, top] = [(view.scrollLeft + x) * (zoom / before) - x, (view.scrollTop + y) * (zoom / before) - y];
    svg.style.width = `${width * zoom}px`;
    svg.style.height = `${height * zoom}px`;
    view.scrollTo(left, top);
  }
  function zoomBy(factor) { setZoom(zoom * factor); }
  function fit() { setZoom(Math.min(view.clientWidth / width, view.clientHeight / height, 1)); }
  at("zoom-in").addEventListener("click", () => zoomBy(1.25));
  at("zoom-out").addEventListener("click", () => zoomBy(0.8));
  at("zoom-fit").addEventListener("click", fit);
  view.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const frame = view.getBoundingClientRect();
    setZoom(zoom * Math.exp(-event.deltaY / 300), event.clientX - frame.left, event.clientY - frame.top);
  }, { passive: false });
  let from = null;
  view.addEventListener("pointerdown", (event) => {
    moved = false;
    if (event.pointerType === "mouse" && event.button === 0) from = [event.clientX, event.clientY];
  });
  window.addEventListener("pointermove", (event) => {
    if (!from) return;
    const [dx, dy] = [event.clientX - from[0], event.clientY - from[1]];
    if (!moved && Math.hypot(dx, dy) < 4) return;
    moved = true;
    view.classList.add("dragging");
    view.scrollBy(-dx, -dy);
    from = [event.clientX, event.clientY];
  });
  window.addEventListener("pointerup", () => { from = null; view.classList.remove("dragging"); });

  at("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  facts.parts.forEach((part, index) => { if (part.findings.length) cards[index].classList.add("bad"); });
  // As large as fits from left to right, yet never too small to read.
  setZoom(Math.min(1, Math.max(view.clientWidth / width, 0.6)));
  view.scrollTo(Math.max((width * zoom - view.clientWidth) / 2, 0), 0);
}
