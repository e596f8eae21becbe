// The panel: one trial with all its texts, or one cell with its machine.

const FOLDED = 8; // more trials with one reason are folded

class Panel {
  constructor(run, frame, closed) {
    Object.assign(this, { run, frame, closed });
  }

  get isOpen() {
    return !this.frame.hidden;
  }

  show(...content) {
    const close = el("button.close", { type: "button", title: "close (Esc)", "aria-label": "close", onclick: () => this.close() }, "×");
    this.frame.replaceChildren(close, ...content.flat().filter(Boolean));
    this.frame.hidden = false;
    document.body.classList.add("opened");
    this.frame.scrollTop = 0;
    for (const events of this.frame.querySelectorAll(".events")) events.scrollTop = events.scrollHeight; // show the last events
    close.focus({ preventScroll: true });
  }

  close() {
    if (!this.isOpen) return;
    this.frame.hidden = true;
    document.body.classList.remove("opened");
    this.closed();
  }

  trial(cell, number) {
    const trial = trialOf(this.run, cell, number);
    const letter = cell.verdicts[number];
    this.show(
      el("h2", {}, sign(this.run, letter), ` ${trial.scenario.sentence}`),
      el("p.dim", {}, `${trial.scenario.ids} · ${trial.scenario.family} · in `, el("a", { href: `#${new URLSearchParams({ cell: cell.name })}` }, cell.name)),
      el("p.claim", {}, trial.scenario.claim),
      facts([
        ["verdict", trial.verdict + (trial.unexpected ? ", unexpected" : ", as expected") + (trial.seconds ? ` (${trial.seconds} s)` : "")],
        ["predicted from the filter", trial.predicted],
        ["expected", trial.wanted],
        ["reason for that", trial.why],
        ["rule", trial.rule],
        ["evidence", trial.evidence],
        ["reason", trial.reason],
        ["clauses", trial.scenario.clauses],
      ]),
      command(trial.again),
      this.elsewhere(cell, number),
      block("Assertion", trial.detail),
      block("Transcript", trial.transcript),
      ...this.diagnosis(trial.diagnosis),
      block("Output", trial.output),
      block("The cell's log", cell.log),
      ...this.kernel(cell),
    );
  }

  /** The same scenario, in every cell. */
  elsewhere(here, number) {
    const rows = this.run.rows.map((row) => el("tr", {}, el("th", { scope: "row" }, row.name), ...this.run.columns.map((column) => {
      const cell = this.run.at[row.number][column.number];
      if (!cell || !isPlanned(cell, number)) return el("td");
      const link = el("a", { href: hashOf(cell, this.run.scenarios[number]), title: cell.name }, sign(this.run, cell.verdicts[number]));
      return el(`td${cell === here ? ".here" : ""}`, {}, link);
    })));
    const heads = this.run.columns.map((column) => el("th.turned", { scope: "col" }, column.label));
    return this.run.cells.length < 2 ? null : section("All cells", el("div.scroll", {}, el("table.small", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "kernel"), ...heads)), el("tbody", {}, ...rows))));
  }

  diagnosis(packed) {
    if (!packed) return [];
    const [moment, events, forgotten, processes] = packed;
    const text = this.run.text;
    const lines = events.map(([seconds, tracer, tid, request, result, status, siginfo, registers]) =>
      el("tr", {}, ...[seconds.toFixed(6), tracer, tid, text(request), text(result), [text(status), text(siginfo), text(registers)].filter(Boolean).join(" · ")].map((one) => el("td", {}, String(one)))));
    const heads = ["seconds", "tracer", "tracee", "request", "result", "more"].map((name) => el("th", { scope: "col" }, name));
    const table = el("table", {}, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...lines));
    return [
      lines.length ? section(`The last ${lines.length} ptrace events${forgotten ? `, after ${forgotten} others` : ""}`, el("div.events", {}, table)) : null,
      processes.length ? section(`Processes${text(moment) ? ` ${text(moment)}` : ""}`, ...processes.map(([name, threads, maps]) =>
        el("details", { open: true }, el("summary", {}, text(name)), ...threads.map((one) => el("pre", {}, text(one))), text(maps) ? el("details", {}, el("summary", {}, "its memory"), el("pre", {}, text(maps))) : ""))) : null,
    ];
  }

  cell(cell) {
    const { run } = this;
    const counts = {};
    for (const letter of cell.verdicts) if (letter !== "-") counts[letter] = (counts[letter] ?? 0) + 1;
    const { machine } = cell;
    this.show(
      el("h2", {}, cell.name),
      el("p", {}, ...["p", ...SHOWN].filter((letter) => counts[letter]).map((letter) => sign(run, letter, counts[letter])), el("span.dim", {}, ` in ${cell.seconds} s`)),
      cell.agreement ? el("p", {}, cell.agreement) : null,
      cell.problem ? el("p.wrong", {}, cell.problem) : null,
      cell.remedy ? el("p", {}, `What to do: ${cell.remedy}`) : null,
      block("Log", cell.log),
      ...this.kernel(cell),
      ...this.trials(cell),
      section("Machine", facts([
        ["kernel", machine.release], ["machine", machine.machine], ["processor", machine.cpu && `${machine.cpus} × ${machine.cpu}`],
        ["behaviour", machine.behaviour], ["observed", machine.facts_from], ["python", machine.python],
        ...Object.entries(machine.environment ?? {}).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]),
        ...Object.entries(machine.versions ?? {}),
      ])),
      this.seen("Probes", run.pack.probes, cell, (other) => other.machine.probes, ([state, detail]) => [run.text(state), run.text(detail)]),
      this.seen("Kernel behaviour", run.pack.facts, cell, (other) => other.machine.facts, (fact) => [run.text(fact)]),
    );
  }

  /** The log of the kernel that was booted for the cell. */
  kernel(cell) {
    const complaints = (cell.complaints ?? []).map(([meaning, line]) => el("li", {}, el("b.wrong", {}, meaning), el("br"), el("code", {}, line)));
    return [
      complaints.length ? section("Warnings and faults of the kernel", el("ul", {}, ...complaints)) : null,
      cell.kernel_log ? el("details", {}, el("summary", {}, "The kernel's log"), el("pre", {}, this.run.text(cell.kernel_log))) : null,
    ];
  }

  /** The trials that did not pass, by reason; a reason that many trials share is told once, and its trials folded. */
  trials(cell) {
    const notable = this.run.scenarios.filter((one) => isPlanned(cell, one.number) && cell.verdicts[one.number] !== "p");
    const groups = groupBy(notable, (one) => `${cell.verdicts[one.number]}\n${trialOf(this.run, cell, one.number).reason}`);
    const order = ([one]) => SHOWN.indexOf(cell.verdicts[one.number]);
    const sorted = [...groups.values()].sort((one, other) => order(one) - order(other) || other.length - one.length);
    return sorted.length ? [section(`Did not pass: ${notable.length}`, ...sorted.map((group) => this.group(cell, group)))] : [];
  }

  group(cell, group) {
    const { reason, why } = trialOf(this.run, cell, group[0].number);
    const lines = group.map((one) => el("tr", {}, el("td", {}, one.ids.split(" ")[0]), el("td", {}, el("a", { href: hashOf(cell, one) }, one.sentence))));
    const head = [sign(this.run, cell.verdicts[group[0].number], group.length), ` ${reason}`, why ? el("span.dim", {}, ` (${why})`) : ""];
    return el("details", { open: group.length <= FOLDED }, el("summary.reason", {}, ...head), el("table", {}, el("tbody", {}, ...lines)));
  }

  /** The observations of this cell, with the number of cells that observed something else. */
  seen(title, names, cell, all, words) {
    const here = all(cell);
    if (!names.length || !here?.length) return null;
    const others = this.run.cells.filter((other) => all(other)?.length);
    const lines = names.map((name, number) => {
      const mine = JSON.stringify(here[number]);
      const apart = others.filter((other) => JSON.stringify(all(other)[number]) !== mine).length;
      return el("tr", {}, el("th", { scope: "row" }, name), ...words(here[number]).map((word) => el("td", {}, word)), el("td.dim", {}, apart ? `different in ${apart} of ${others.length} cells` : ""));
    });
    return el("details", {}, el("summary", {}, title), el("table", {}, el("tbody", {}, ...lines)));
  }
}

const hashOf = (cell, scenario) => `#${new URLSearchParams({ cell: cell.name, scenario: scenario.name })}`;

function section(title, ...content) {
  return el("details", { open: true }, el("summary", {}, title), ...content);
}

function block(title, text) {
  return text ? section(title, el("pre", {}, text)) : null;
}

function facts(pairs) {
  const known = pairs.filter(([, value]) => value);
  return el("dl", {}, ...known.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]));
}

function command(text) {
  if (!text) return null;
  const copy = el("button", { type: "button", onclick: async () => { copy.textContent = (await copied(text)) ? "copied" : "cannot copy; select the text"; } }, "copy");
  return el("p.again", {}, el("span", {}, "Again: "), el("code", {}, text), " ", copy);
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // some browsers refuse in a page opened as a file
  }
}
