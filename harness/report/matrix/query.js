// The filter's language: terms combined with and (or a space), or, not, and brackets.
//
//     verdict:fail,timeout   kernel<6.12   profile:hardened   id:SG*   is:unexpected   differs:kernel   "any text"

/** Fields of terms.  `cell`, `scenario` or `trial` returns the words to match; a word matches as a whole, unless `part`. */
const FIELDS = {
  verdict: { about: "pass, fail, timeout, crash, unsupported, blocked, error, miss", trial: (run, cell, one) => run.pack.letters[letterOf(cell, one)] },
  kernel: { about: "host, linux-6.12, 6.12; also < <= > >=", cell: (cell) => [cell.kernel, cell.row.version.join(".")] },
  profile: { about: "a profile's name, or none", cell: (cell) => [cell.profile || "none"] },
  engine: { about: "host, docker, oci", cell: (cell) => [cell.name.split(/[:/]/)[0]] },
  platform: { about: "a platform's name", cell: (cell) => [cell.platform] },
  cell: { about: "a cell's whole name", cell: (cell) => [cell.name] },
  id: { about: "a catalogue id: SG01, SG*", scenario: (one) => one.ids.split(" ") },
  family: { about: "a family: signals", scenario: (one) => [one.family] },
  scenario: { about: "a part of a scenario's name", scenario: (one) => [one.name, one.sentence], part: true },
  clause: { about: "a clause of the claim: seed.W2", scenario: (one) => one.clauses.split(" ") },
  reason: { about: "a part of a verdict's reason or texts", text: true },
  is: { about: "unexpected, different, failure, nothing", is: true },
  differs: { about: "kernel, profile, engine, platform: verdicts differ between cells that differ in this alone; profiles that deny tracing altogether are not compared", is: true },
};

/** The values of is: and differs:, as tests of a trial. */
const STATES = {
  "is:unexpected": (run, cell, one) => isUnexpected(cell, one),
  "is:expected": (run, cell, one) => !isUnexpected(cell, one),
  "is:failure": (run, cell, one) => "ftc".includes(letterOf(cell, one)),
  "is:nothing": (run, cell, one) => "em".includes(letterOf(cell, one)),
  "is:different": (run, cell, one) => WAYS.some((way) => run.differing[way][cell.number][one]),
  ...Object.fromEntries(WAYS.map((way) => [`differs:${way}`, (run, cell, one) => !!run.differing[way][cell.number][one]])),
};

class QueryError extends Error {}

const TOKEN = /\s*(?:([()])|"([^"]*)"|(-?)([a-z]+)(:|<=|>=|<|>|=)("[^"]*"|[^\s()]*)|([^\s()"]+))/iy;

/** Returns a test (cell, scenario's number) => boolean; throws QueryError. */
function compile(text, run) {
  const tokens = tokenize(text);
  let next = 0;
  if (!tokens.length) return isPlanned;
  const test = either();
  if (next < tokens.length) throw new QueryError("unmatched )");
  return (cell, scenario) => isPlanned(cell, scenario) && test(cell, scenario);

  function either() {
    const tests = [both()];
    while (word("or")) tests.push(both());
    return tests.length === 1 ? tests[0] : (cell, one) => tests.some((test) => test(cell, one));
  }
  function both() {
    const tests = [single()];
    while (next < tokens.length && tokens[next].bracket !== ")" && !is("or")) {
      word("and");
      tests.push(single());
    }
    return tests.length === 1 ? tests[0] : (cell, one) => tests.every((test) => test(cell, one));
  }
  function single() {
    if (word("not")) return negate(single());
    const token = tokens[next++];
    if (!token) throw new QueryError("a term is missing at the end");
    if (token.bracket === "(") {
      const test = either();
      if (tokens[next++]?.bracket !== ")") throw new QueryError("unmatched (");
      return test;
    }
    if (token.bracket || is("or", token) || is("and", token)) throw new QueryError(`a term is missing before ${token.bracket ?? token.text}`);
    const test = token.field ? term(run, token) : anywhere(run, token.text);
    return token.not ? negate(test) : test;
  }
  function is(name, token = tokens[next]) {
    return token !== undefined && !token.quoted && token.text?.toLowerCase() === name;
  }
  function word(name) {
    return is(name) && ++next > 0;
  }
}

const negate = (test) => (cell, one) => !test(cell, one);

function tokenize(text) {
  const tokens = [];
  TOKEN.lastIndex = 0;
  for (let end = text.trimEnd().length; TOKEN.lastIndex < end; ) {
    const from = TOKEN.lastIndex;
    const found = TOKEN.exec(text);
    if (!found) throw new QueryError(`unmatched ": ${text.slice(from).trim()}`);
    const [, bracket, quoted, not, field, sign, value, plain] = found;
    if (bracket) tokens.push({ bracket });
    else if (quoted !== undefined) tokens.push({ text: quoted, quoted: true });
    else if (field) tokens.push({ field: field.toLowerCase(), sign, value: value.replace(/^"(.*)"$/, "$1"), not: !!not });
    else tokens.push(plain.length > 1 && plain[0] === "-" ? { text: plain.slice(1), not: true, quoted: true } : { text: plain });
  }
  return tokens;
}

function term(run, { field, sign, value }) {
  const meant = FIELDS[field];
  if (!meant) throw new QueryError(`unknown field ${field}; the fields are ${Object.keys(FIELDS).join(", ")}`);
  if (!value) throw new QueryError(`${field}${sign} needs a value: ${meant.about}`);
  if (/[<>]/.test(sign)) return compared(run, field, sign, value);
  const [refused, words] = value[0] === "!" ? [true, value.slice(1)] : [false, value];
  const tests = words.split(",").filter(Boolean).map((one) => single(run, field, meant, one));
  const test = (cell, one) => tests.some((it) => it(cell, one));
  return refused ? negate(test) : test;
}

function single(run, field, meant, value) {
  if (meant.is) {
    const test = STATES[`${field}:${value.toLowerCase()}`];
    if (!test) throw new QueryError(`${field}:${value} is not valid; the values are ${meant.about}`);
    return (cell, one) => test(run, cell, one);
  }
  if (meant.text) return inTexts(run, value);
  const fits = meant.part ? containing(value) : wholly(value);
  if (meant.trial) {
    const verdicts = Object.values(run.pack.letters).filter(fits);
    if (!verdicts.length) throw new QueryError(`unknown verdict ${value}; the verdicts are ${meant.about}`);
    return (cell, one) => verdicts.includes(meant.trial(run, cell, one));
  }
  // A word of the cell or the scenario alone is matched once for each, not once for each trial.
  const answers = (meant.cell ? run.cells.map(meant.cell) : run.scenarios.map(meant.scenario)).map((words) => words.some(fits));
  return meant.cell ? (cell) => answers[cell.number] : (cell, one) => answers[one];
}

function wholly(value) {
  const pattern = value.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*");
  const whole = new RegExp(`^${pattern}$`, "i");
  return (word) => whole.test(word);
}

function containing(value) {
  const part = new RegExp(value.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*"), "i");
  return (word) => part.test(word);
}

function compared(run, field, sign, value) {
  if (field !== "kernel") throw new QueryError(`${field}${sign} is not valid: only kernels can be compared`);
  const wanted = value.match(/(\d+)\.(\d+)/);
  if (!wanted) throw new QueryError(`kernel${sign}${value}: expected a version, as in kernel${sign}6.12`);
  const number = ([major, minor]) => Number(major) * 1000 + Number(minor);
  const bound = number(wanted.slice(1));
  const holds = { "<": (one) => one < bound, "<=": (one) => one <= bound, ">": (one) => one > bound, ">=": (one) => one >= bound }[sign];
  const answers = run.cells.map((cell) => cell.row.version.length > 1 && holds(number(cell.row.version)));
  return (cell) => answers[cell.number];
}

/** Tests whether a trial's texts (reason, detail, transcript, output, command) contain `value`. */
function inTexts(run, value) {
  const fits = containing(value);
  const texts = run.pack.texts.map(fits);
  const whys = run.pack.judgements.map(([, why]) => fits(why));
  return (cell, one) => {
    const note = cell.notes.get(one);
    if (!note) return false;
    return whys[note[1] ?? 0] || note.some((number, place) => place > 1 && place !== 3 && texts[number]);
  };
}

function anywhere(run, value) {
  const fits = containing(value);
  const cells = run.cells.map((cell) => fits(cell.name) || fits(cell.row.release));
  const scenarios = run.scenarios.map((one) => [one.name, one.sentence, one.ids, one.claim, one.clauses].some(fits));
  const texts = inTexts(run, value);
  return (cell, one) => cells[cell.number] || scenarios[one] || texts(cell, one);
}
