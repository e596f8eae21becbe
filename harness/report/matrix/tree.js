// The rows of the table: the unfolded kernels, families and scenarios that match the filter.

/** The axes by level, for each order. */
const ORDERS = { kernel: ["kernel", "family", "scenario"], scenario: ["family", "scenario", "kernel"] };

/** A filter that leaves at most this number of rows unfolds all of them. */
const FEW = 60;

/** For each cell, a flag for each scenario: 1 if the trial matches. */
function match(run, test) {
  return run.cells.map((cell) => Uint8Array.from(run.scenarios, (_, one) => test(cell, one)));
}

/** The unfolded nodes in reading order; each has {key, level, axis, label, rows, scenarios}. */
function tree(run, order, matches, folds) {
  const nodes = [];
  const axes = ORDERS[order];
  const all = run.scenarios.map((one) => one.number);
  const few = folds.filtered && leaves() <= FEW;
  visit(0, "", run.rows, all);
  return nodes;

  function visit(level, parent, rows, scenarios) {
    for (const [label, title, sameRows, sameScenarios, thing] of parts(run, axes[level], rows, scenarios)) {
      if (!some(run, matches, sameRows, sameScenarios)) continue;
      const key = `${parent}/${label}`;
      const leaf = level === axes.length - 1;
      const open = !leaf && (folds.open.has(key) || (few && !folds.closed.has(key)));
      nodes.push({ key, level, axis: axes[level], label, title, thing, rows: sameRows, scenarios: sameScenarios, leaf, open });
      if (open) visit(level + 1, key, sameRows, sameScenarios);
    }
  }
  function leaves() {
    let count = 0;
    for (const row of run.rows) for (const one of all) if (count <= FEW && some(run, matches, [row], [one])) count++;
    return count;
  }
}

function parts(run, axis, rows, scenarios) {
  if (axis === "kernel") return rows.map((row) => [row.name, row.release, [row], scenarios, row]);
  if (axis === "scenario") return scenarios.map((one) => { const it = run.scenarios[one]; return [it.sentence, it.claim, rows, [one], it]; });
  return run.families.map((family) => [family.name, "", rows, family.scenarios.map((one) => one.number), family]);
}

function some(run, matches, rows, scenarios) {
  return rows.some((row) => run.at[row.number].some((cell) => cell && scenarios.some((one) => matches[cell.number][one])));
}

/** The number of trials by letter in a node and a column; capitals are unexpected verdicts. */
function count(run, node, column, matches) {
  const counts = {};
  for (const row of node.rows) {
    const cell = run.at[row.number][column.number];
    if (cell) for (const one of node.scenarios) if (matches[cell.number][one]) counts[cell.verdicts[one]] = (counts[cell.verdicts[one]] ?? 0) + 1;
  }
  return counts;
}
