// The table.  Only visible rows are in the document: a browser is slow with all rows of a matrix.

const HEIGHTS = [42, 27, 27]; // pixels of a row, by level; must match matrix.css
const BEYOND = 600; // pixels drawn above and below the visible part
const ON_PAPER = 3000; // the maximum number of rows printed

const SIGNS = { p: "✓", f: "F", t: "T", c: "C", u: "U", b: "B", e: "E", m: "M" };
const SHOWN = "FTCEMPUBftcemub"; // the order of signs in a sum: unexpected verdicts come first

/** Creates an element: el("td.sign", { title }, child, "text"). */
function el(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const made = document.createElement(tag);
  made.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

/** A verdict as a sign; its shape and letter repeat what its colour shows. */
function sign(run, letter, number = "") {
  const small = letter.toLowerCase();
  const wrong = letter !== small;
  const name = `${run.pack.letters[small]}${wrong ? ", unexpected" : ""}`;
  const shown = wrong && small === "p" ? "P" : SIGNS[small];
  return el(`span.v.${run.pack.letters[small]}${wrong ? ".wrong" : ""}`, { title: number ? `${number} ${name}` : name }, number ? `${number}` : "", el("i", {}, shown));
}

class Grid {
  /** Calls `open(node, column)` for a chosen cell, and `fold(node)` for a row to fold or unfold. */
  constructor(run, frame, { open, fold }) {
    Object.assign(this, { run, frame, open, fold, nodes: [], matches: [], at: [0, -1] });
    this.body = el("tbody");
    this.head = el("thead");
    this.table = el("table.matrix", { role: "treegrid", "aria-label": "kernels and scenarios down, profiles across" }, this.head, this.body);
    frame.replaceChildren(this.table);
    frame.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(frame);
    this.table.addEventListener("keydown", (event) => this.key(event));
    this.table.addEventListener("click", (event) => this.click(event));
    this.table.addEventListener("focusin", (event) => this.remember(event.target));
    addEventListener("beforeprint", () => { this.paper = true; this.draw(true); });
    addEventListener("afterprint", () => { this.paper = false; this.draw(true); });
  }

  /** Shows these nodes, without the columns in which no trial matches. */
  show(nodes, matches, corner) {
    const columns = this.run.columns.filter((column) => this.run.cells.some((cell) => cell.column === column && matches[cell.number].includes(1)));
    Object.assign(this, { nodes, matches, columns });
    const heads = columns.map((column) => el("th", { scope: "col" }, column.label));
    this.head.replaceChildren(el("tr", { role: "row" }, el("th.corner", { scope: "col" }, corner), ...heads));
    this.at[1] = Math.min(this.at[1], columns.length - 1);
    this.tops = [0];
    for (const node of nodes) this.tops.push(this.tops.at(-1) + HEIGHTS[node.level]);
    this.at[0] = Math.min(this.at[0], Math.max(nodes.length - 1, 0));
    this.draw(true);
  }

  draw(anew = false) {
    if (!this.tops) return;
    const [first, last] = this.paper ? [0, Math.min(this.nodes.length, ON_PAPER)] : this.inSight();
    if (!anew && this.first === first && this.last === last) return;
    const focused = this.table.contains(document.activeElement);
    Object.assign(this, { first, last });
    const rest = this.paper ? 0 : this.tops.at(-1) - this.tops[last];
    const rows = this.nodes.slice(first, last).map((node, number) => this.row(node, first + number));
    this.body.replaceChildren(space(this.tops[first]), ...rows, space(rest));
    if (focused) this.focus(false);
    else this.tabbable()?.setAttribute("tabindex", "0");
  }

  inSight() {
    const top = this.frame.scrollTop - BEYOND;
    const bottom = this.frame.scrollTop + this.frame.clientHeight + BEYOND;
    let first = this.nodes.findIndex((_, number) => this.tops[number + 1] > top);
    first = Math.max(first, 0);
    let last = first;
    while (last < this.nodes.length && this.tops[last] < bottom) last++;
    return [first - (first % 2), last];
  }

  row(node, number) {
    const label = el(`th.level${node.level}`, { scope: "row", tabindex: -1, title: node.title || null },
      el("span.fold", { "aria-hidden": "true" }, node.leaf ? "" : node.open ? "▾" : "▸"),
      el("span.name", {}, node.axis === "scenario" ? el("b", {}, node.thing.ids.split(" ")[0]) : "", node.label),
      node.axis === "kernel" && node.level === 0 ? el("small", {}, node.title) : "");
    const cells = this.columns.map((column) => this.cell(node, column));
    return el(`tr.level${node.level}`, {
      role: "row", "data-row": number, "aria-level": node.level + 1, "aria-expanded": node.leaf ? null : String(node.open),
    }, label, ...cells);
  }

  cell(node, column) {
    const counts = count(this.run, node, column, this.matches);
    const letters = [...SHOWN].filter((letter) => counts[letter]);
    if (!letters.length && !counts.p) return el("td.none", { tabindex: -1 });
    const single = node.leaf && node.rows.length === 1;
    const signs = single ? [...letters, ...(counts.p ? ["p"] : [])].map((letter) => sign(this.run, letter)) : letters.map((letter) => sign(this.run, letter, counts[letter]));
    const passed = single ? "" : el("span.passed", {}, counts.p ? `${counts.p}` : "");
    const wrong = letters.some((letter) => letter !== letter.toLowerCase());
    return el(`td${wrong ? ".unexpected" : ""}${letters.length ? "" : ".fine"}`, { tabindex: -1 }, passed, el("span.signs", {}, ...signs));
  }

  click(event) {
    const place = this.place(event.target);
    if (!place) return;
    const [row, column] = place;
    if (column < 0) this.choose(row, column);
    else if (event.target.closest("td:not(.none)")) this.choose(row, column);
  }

  choose(row, column) {
    const node = this.nodes[row];
    if (column >= 0) this.open(node, this.columns[column]);
    else if (node.leaf) this.open(node, null);
    else this.fold(node);
  }

  place(target) {
    const row = target.closest?.("tbody tr[data-row]");
    const cell = target.closest?.("th, td");
    return row && cell ? [Number(row.dataset.row), cell.cellIndex - 1] : null;
  }

  key(event) {
    const [row, column] = this.at;
    const node = this.nodes[row];
    if (!node || event.altKey || event.ctrlKey || event.metaKey) return;
    const page = Math.max(1, Math.floor(this.frame.clientHeight / HEIGHTS[2]) - 2);
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageUp: [-page, 0], PageDown: [page, 0], Home: [-row, 0], End: [this.nodes.length, 0] };
    const folding = column < 0 && !node.leaf && ((event.key === "ArrowRight" && !node.open) || (event.key === "ArrowLeft" && node.open));
    if (event.key === "Enter" || event.key === " ") this.choose(row, column);
    else if (folding) this.fold(node);
    else if (moves[event.key]) this.move(...moves[event.key]);
    else return;
    event.preventDefault();
  }

  move(down, right) {
    const within = (value, low, high) => Math.min(Math.max(value, low), high);
    this.at = [within(this.at[0] + down, 0, this.nodes.length - 1), within(this.at[1] + right, -1, this.columns.length - 1)];
    this.focus(true);
  }

  /** Focuses the current place; if `scroll`, its row is scrolled into view and drawn first. */
  focus(scroll) {
    const [row] = this.at;
    if (scroll) {
      const head = this.table.tHead.offsetHeight;
      const { scrollTop, clientHeight } = this.frame;
      if (this.tops[row] < scrollTop) this.frame.scrollTop = this.tops[row];
      else if (this.tops[row + 1] + head > scrollTop + clientHeight) this.frame.scrollTop = this.tops[row + 1] + head - clientHeight;
      this.draw();
    }
    this.tabbable()?.focus({ preventScroll: !scroll });
  }

  /** Scrolls the current place into view, after the panel has narrowed the table. */
  reveal() {
    this.tabbable()?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  tabbable() {
    const row = this.body.querySelector(`tr[data-row="${this.at[0]}"]`);
    return row?.cells[this.at[1] + 1];
  }

  remember(target) {
    const place = this.place(target);
    if (!place) return;
    this.body.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
    this.at = place;
    target.closest("th, td").setAttribute("tabindex", "0");
  }
}

/** A row without content, in place of rows that are not drawn. */
function space(height) {
  const made = el("tr.space", { "aria-hidden": "true" });
  made.style.height = `${height}px`; // the page's policy allows no style attribute
  return made;
}
