// Unpacks the run into objects; pack.py defines the format.

/** The axes along which cells are compared: cells differ in one, and agree in the others. */
const WAYS = ["kernel", "profile", "engine", "platform"];

function unpack(pack) {
  const rows = pack.rows.map((row, number) => ({ ...row, number }));
  const columns = pack.columns.map((name, number) => ({ name, label: name || "no container", number }));
  const scenarios = pack.scenarios.map(([name, ids, claim, clauses], number) => {
    const [family, sentence = name] = name.split("::");
    return { number, name, ids, claim, clauses, family, sentence: sentence.replaceAll("_", " ") };
  });
  const cells = pack.cells.map((cell, number) => ({
    ...cell, number, row: rows[cell.row], column: columns[cell.column],
    kernel: rows[cell.row].kernel, engine: rows[cell.row].engine, platform: rows[cell.row].platform,
    profile: columns[cell.column].name,
    notes: new Map(cell.notes.map((note) => [note[0], note])),
  }));
  const at = rows.map(() => columns.map(() => null));
  for (const cell of cells) at[cell.row.number][cell.column.number] = cell;
  const text = (number) => pack.texts[number ?? 0];
  const run = { pack, rows, columns, scenarios, cells, at, text };
  run.families = [...new Set(scenarios.map((one) => one.family))].map((name) => ({
    name, scenarios: scenarios.filter((one) => one.family === name),
  }));
  run.differing = Object.fromEntries(WAYS.map((way) => [way, differing(run, way)]));
  return run;
}

/** The verdict's letter in lower case; "-" if not planned. */
const letterOf = (cell, scenario) => cell.verdicts[scenario].toLowerCase();
const isPlanned = (cell, scenario) => cell.verdicts[scenario] !== "-";
const isUnexpected = (cell, scenario) => cell.verdicts[scenario] !== letterOf(cell, scenario) && isPlanned(cell, scenario);

/**
 * For each cell and scenario, 1 if verdicts differ along one axis.  Misses are ignored, and so are the profiles that
 * deny tracing altogether: every scenario differs there, which would hide the others.
 */
function differing(run, way) {
  const compared = run.cells.filter((cell) => way !== "profile" || !cell.denied);
  const groups = Map.groupBy ? Map.groupBy(compared, key) : groupBy(compared, key);
  const found = run.cells.map(() => new Uint8Array(run.scenarios.length));
  for (const cells of groups.values()) {
    for (const scenario of run.scenarios.keys()) {
      const letters = new Set(cells.map((cell) => letterOf(cell, scenario)));
      letters.delete("-");
      letters.delete("m");
      if (letters.size > 1) for (const cell of cells) found[cell.number][scenario] = 1;
    }
  }
  return found;

  function key(cell) {
    return WAYS.filter((other) => other !== way).map((other) => cell[other]).join("\n");
  }
}

function groupBy(things, key) {
  const groups = new Map();
  for (const thing of things) groups.set(key(thing), [...(groups.get(key(thing)) ?? []), thing]);
  return groups;
}

/** One trial with all its texts. */
function trialOf(run, cell, scenario) {
  const [, judgement = 0, reason, seconds = 0, detail, transcript, output, again, diagnosis] =
    cell.notes.get(scenario) ?? [scenario];
  const [wanted, why, rule, evidence] = run.pack.judgements[judgement];
  return {
    cell, scenario: run.scenarios[scenario], verdict: run.pack.letters[letterOf(cell, scenario)],
    unexpected: isUnexpected(cell, scenario), wanted, why, rule, evidence, seconds, diagnosis: diagnosis || null,
    reason: run.text(reason), detail: run.text(detail), transcript: run.text(transcript),
    output: run.text(output), again: run.text(again), predicted: predictionOf(run, cell, scenario),
  };
}

/** The verdict that the cell's filter predicts, with the reason; empty without a prediction. */
function predictionOf(run, cell, scenario) {
  const letter = cell.predicted?.[scenario] ?? "-";
  const because = run.text(cell.because?.[scenario]);
  if (letter === "-") return because && `none: ${because}`;
  return run.pack.letters[letter] + (because && `: ${because}`);
}
