// The page: connects the filter, the table and the panel, and stores their state in the address.

function start() {
  const run = unpack(JSON.parse(document.getElementById("pack").textContent));
  const by = (id) => document.getElementById(id);
  const folds = { open: new Set(), closed: new Set(), filtered: false };
  const state = { order: "kernel", query: "", cell: "", scenario: "" };
  const grid = new Grid(run, by("grid"), { open: opened, fold });
  const panel = new Panel(run, by("panel"), () => go({ cell: "", scenario: "" }, () => grid.focus(false)));

  for (const button of document.querySelectorAll("[data-query]")) button.addEventListener("click", () => ask(button.dataset.query));
  for (const input of document.querySelectorAll("[name=order]")) input.addEventListener("change", () => go({ order: input.value }));
  by("query").addEventListener("input", debounced(() => go({ query: by("query").value }), 120));
  by("filter").addEventListener("submit", (event) => { event.preventDefault(); grid.focus(true); });
  by("unfold").addEventListener("click", () => unfold());
  by("fold").addEventListener("click", () => { folds.open.clear(); for (const node of grid.nodes) folds.closed.add(node.key); draw(); });
  by("fields").append(...Object.entries(FIELDS).flatMap(([name, field]) => [el("dt", {}, `${name}:`), el("dd", {}, field.about)]));
  addEventListener("hashchange", follow);
  addEventListener("keydown", key);
  document.documentElement.classList.add("scripted");
  follow();

  function follow() {
    const stored = new URLSearchParams(location.hash.slice(1));
    state.order = stored.get("order") in ORDERS ? stored.get("order") : state.order;
    if (stored.has("query") || !stored.has("cell")) state.query = stored.get("query") ?? "";
    state.cell = stored.get("cell") ?? "";
    state.scenario = stored.get("scenario") ?? "";
    if (by("query").value !== state.query) by("query").value = state.query;
    draw();
    look();
  }

  /** Changes the state, and the address with it. */
  function go(change, then = () => {}) {
    Object.assign(state, change);
    const stored = Object.entries(state).filter(([name, value]) => value && !(name === "order" && value === "kernel"));
    const hash = new URLSearchParams(stored).toString();
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
    if ("query" in change) folds.closed.clear(); // folds belong to the previous query
    if ("order" in change || "query" in change) draw();
    if ("cell" in change) look();
    if (state.cell) grid.reveal();
    then();
  }

  function ask(query) {
    by("query").value = query;
    go({ query });
  }

  function draw() {
    document.querySelectorAll("[name=order]").forEach((input) => { input.checked = input.value === state.order; });
    let test;
    try {
      test = compile(state.query, run);
    } catch (problem) {
      if (!(problem instanceof QueryError)) throw problem;
      by("answer").textContent = problem.message;
      by("answer").className = "wrong";
      return;
    }
    folds.filtered = state.query.trim() !== "";
    const matches = match(run, test);
    const nodes = tree(run, state.order, matches, folds);
    grid.show(nodes, matches, state.order === "kernel" ? "kernel" : "family");
    answer(matches);
  }

  function answer(matches) {
    let trials = 0;
    const cells = matches.filter((flags) => { const sum = flags.reduce((one, other) => one + other, 0); trials += sum; return sum; }).length;
    const matching = run.scenarios.filter((_, one) => matches.some((flags) => flags[one]));
    const scenarios = new Set(matching.map((one) => one.name.replace(/\[.*/, ""))).size; // without parameters
    by("answer").className = "dim";
    by("answer").dataset.query = state.query; // printed, since the filter is not
    by("answer").textContent = trials ? `${trials} trials of ${scenarios} scenarios in ${cells} cells` : "no trial matches";
  }

  function fold(node) {
    folds.open[node.open ? "delete" : "add"](node.key);
    folds.closed[node.open ? "add" : "delete"](node.key);
    draw();
  }

  /** Unfolds one more level. */
  function unfold() {
    folds.closed.clear();
    const shallow = Math.min(...grid.nodes.filter((node) => !node.leaf && !node.open).map((node) => node.level));
    for (const node of grid.nodes) if (node.level === shallow) folds.open.add(node.key);
    draw();
  }

  function opened(node, column) {
    const cells = node.rows.map((row) => column ? run.at[row.number][column.number] : run.at[row.number].find(Boolean)).filter(Boolean);
    const scenario = node.scenarios.length === 1 ? run.scenarios[node.scenarios[0]].name : "";
    if (scenario && cells.length) go({ cell: (cells.find((cell) => isUnexpected(cell, node.scenarios[0])) ?? cells[0]).name, scenario });
    else if (cells.length === 1 && node.axis === "kernel") go({ cell: cells[0].name, scenario: "" });
    else if (!node.leaf) fold(node);
  }

  function look() {
    const cell = run.cells.find((one) => one.name === state.cell);
    const scenario = run.scenarios.find((one) => one.name === state.scenario);
    if (cell && scenario && isPlanned(cell, scenario.number)) panel.trial(cell, scenario.number);
    else if (cell) panel.cell(cell);
    else panel.close();
  }

  function key(event) {
    const writing = event.target.closest("input, textarea");
    if (event.key === "Escape") {
      if (panel.isOpen) panel.close();
      else if (writing) ask("");
    } else if (event.key === "/" && !writing) {
      event.preventDefault();
      by("query").focus();
      by("query").select();
    }
  }
}

function debounced(work, milliseconds) {
  let timer;
  return () => { clearTimeout(timer); timer = setTimeout(work, milliseconds); };
}

start();
