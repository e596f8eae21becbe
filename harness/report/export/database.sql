-- Runs as tables, for queries.  Examples are in results/README.md.
CREATE TABLE runs (
    run TEXT PRIMARY KEY, started REAL NOT NULL, finished REAL, seed INTEGER NOT NULL, kernel TEXT NOT NULL
);
CREATE TABLE cells (
    run TEXT NOT NULL REFERENCES runs, cell TEXT NOT NULL,
    kernel TEXT NOT NULL,    -- host, linux-6.12
    version TEXT NOT NULL,   -- 6.12, as the cell reports it
    release TEXT NOT NULL, engine TEXT NOT NULL,
    profile TEXT NOT NULL,   -- empty outside containers
    platform TEXT NOT NULL, seconds REAL NOT NULL, behaviour TEXT NOT NULL, problem TEXT NOT NULL,
    PRIMARY KEY (run, cell)
);
CREATE TABLE trials (
    run TEXT NOT NULL, cell TEXT NOT NULL, scenario TEXT NOT NULL, family TEXT NOT NULL, id TEXT NOT NULL,
    verdict TEXT NOT NULL,
    expected INTEGER NOT NULL, -- 1: the verdict was as expected
    wanted TEXT NOT NULL, because TEXT NOT NULL, rule TEXT NOT NULL,
    reason TEXT NOT NULL, detail TEXT NOT NULL, transcript TEXT NOT NULL, claim TEXT NOT NULL, clauses TEXT NOT NULL,
    seconds REAL NOT NULL,
    PRIMARY KEY (run, cell, scenario), FOREIGN KEY (run, cell) REFERENCES cells
);
CREATE TABLE probes (
    run TEXT NOT NULL, cell TEXT NOT NULL, probe TEXT NOT NULL,
    state TEXT NOT NULL,     -- yes, no, denied
    detail TEXT NOT NULL,
    PRIMARY KEY (run, cell, probe), FOREIGN KEY (run, cell) REFERENCES cells
);
CREATE TABLE facts (         -- how the kernel behaves: what each experiment without a platform observed
    run TEXT NOT NULL, cell TEXT NOT NULL, fact TEXT NOT NULL, observed TEXT NOT NULL,
    PRIMARY KEY (run, cell, fact), FOREIGN KEY (run, cell) REFERENCES cells
);
CREATE INDEX trials_by_scenario ON trials (scenario, verdict);
