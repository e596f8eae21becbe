"""Everything one can run here: `nox -l` is the menu, `nox` runs what needs no container engine.

What follows ``--`` goes to the tool a session runs: ``nox -s scenarios -- --profile hardened -k interrupt``.
"""

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "typing", "tests"]

#: Every C compiler the core must pass without a warning.
COMPILERS = ("gcc", "clang")
#: What `sanitizers` runs: the ends of threads, interrupts, deaths, the pool, injected calls.  A trial takes a second.
SANITIZED = ("TT01", "TT02", "IN01", "LC03", "PO01", "IJ04", "FT01")
SANITIZERS = {
    "asan": "-fsanitize=address,undefined -fno-sanitize-recover=undefined",
    "tsan": "-fsanitize=thread",
}

#: What `soak` repeats: storms, ends of threads, deaths, leaks, lost stops, chaos.  Each has a deadline of its own, the
#: longest an hour; on two CPUs all together end within two hours, and the readers within seven more.
SOAK = ("SG12", "TT01", "TT06", "TT11", "K76", "LC03", "LC08", "IN06", "IJ07", "PO08", "CH*")

#: How many inputs each reader of a file gets in `soak`, and within how many seconds.
FUZZ = {"WORLDSWITCH_FUZZ": "100000", "WORLDSWITCH_FUZZ_SECONDS": "1800"}

#: Every file of C that is ours: what cffi generates is not.
SOURCES = (
    "reference/core",
    "scenarios/raw_ptrace",
    "scenarios/guests",
    "harness/bench/native",
    "harness/peers/programs",
)

WARNINGS = "-Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-field-initializers"


def install(session: nox.Session, *more: str, extras: str = "") -> None:
    """Build the C parts in place, and install the checkout as the package."""
    session.install("-e", f".[{extras}]" if extras else ".", *more)
    # From the checkout, `import harness` would work too and make a second copy of `worldswitch.harness`.
    session.env["PYTHONSAFEPATH"] = "1"


def require(session: nox.Session, tools: dict[str, str]) -> None:
    """Fail, naming the Debian packages, unless all of these programs are installed."""
    if missing := [package for tool, package in tools.items() if shutil.which(tool) is None]:
        session.error(f"programs are missing: install the packages {' '.join(missing)} (apt-get install)")


def analyze(session: nox.Session) -> None:
    """Have gcc and clang-tidy (`.clang-tidy`) look for what goes wrong only when the program runs."""
    sources = [str(path) for folder in SOURCES for path in sorted(Path(folder).glob("*.c")) if path.name[0] != "_"]
    python = session.run("python", "-c", "import sysconfig; print(sysconfig.get_path('include'))", silent=True)
    flags = ("-std=gnu17", "-O2", "-Ireference/core", "-isystem", str(python).strip())
    assembler = ("-Wa,-I,reference/core", "-Wa,-I,scenarios/guests")
    for source in sources:
        command = ("gcc", "-fanalyzer", *WARNINGS.split(), *flags, *assembler, "-c", source, "-o", "/dev/null")
        session.run(*command, external=True)
    session.run("clang-tidy", "--quiet", *sources, "--", *flags, external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """Test our own parts: the decoders, the judge, the runner, the command line."""
    install(session, extras="bench,tests")
    # The tests of a file share what its fixtures make: an image, a virtual machine.
    session.run("python", "-m", "pytest", "-n", "auto", "--dist", "loadfile", *session.posargs)


@nox.session
def scenarios(session: nox.Session) -> None:
    """Put the reference platform through the scenarios, on this machine and in containers (`worldswitch run`)."""
    install(session)
    session.run("worldswitch", "run", *session.posargs)


@nox.session
def matrix(session: nox.Session) -> None:
    """Put the reference through the scenarios in containers on many kernels, with -- --quick on three."""
    install(session)
    session.run("worldswitch", "matrix", *session.posargs)


@nox.session
def parity(session: nox.Session) -> None:
    """Compare an engine's containers with those of a plain runtime, under all profiles, in all scenarios; as root."""
    install(session, extras="bench,tests")
    session.env["WORLDSWITCH_PARITY"] = "all"
    session.run("python", "-m", "pytest", "tests/system/test_oci_parity.py", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Check that each known-bad platform is caught by the scenarios that must catch it (`worldswitch mutants`)."""
    install(session)
    session.run("worldswitch", "mutants", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Repeat for long what fails rarely: storms, ends of threads, deaths, leaks, lost stops, chaos; fuzz readers."""
    install(session, extras="bench,tests")
    ids = (word for one in SOAK for word in ("--id", one))
    session.run("worldswitch", "run", "--engine", "host", "--repeat", "soak", *ids, *session.posargs)
    fuzzed = ("tests/system/test_fuzzed_readers.py", "tests/report/export/test_hostile_texts.py")
    session.run("python", "-m", "pytest", "-q", *fuzzed, env=FUZZ)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure what a world switch costs, within 25 minutes; with -- --quick within 3 (`worldswitch bench`)."""
    install(session, extras="bench")
    session.run("worldswitch", "bench", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build/html, warnings as errors; with -- --external check outside links too."""
    install(session, extras="docs")
    for builder in ("html", "linkcheck") if "--external" in session.posargs else ("html",):
        session.run("sphinx-build", "-W", "--keep-going", "-n", "-q", "-b", builder, "docs", f"docs/_build/{builder}")


@nox.session
def filters(session: nox.Session) -> None:
    """Compare 200 random filters with what the kernel and containers do under them; needs root and runc."""
    install(session)
    session.install("hypothesis")
    tests = ("tests/system/test_random_filters.py", "tests/environments/simulation/test_filter_simulator.py")
    session.run("pytest", "-s", *(session.posargs or tests), env={"WORLDSWITCH_FILTERS": "200"})


@nox.session
def mutation(session: nox.Session) -> None:
    """Change the judging code in every way mutmut knows, and check that our own tests notice."""
    dependencies = nox.project.load_toml("pyproject.toml")["project"]
    # Without the package itself: what is tested is a copy that is changed.
    session.install("setuptools>=77", "mutmut>=3.8", "hypothesis", *dependencies["dependencies"])
    session.run("python", "tests/system/mutation", str(Path(session.create_tmp(), "work")), *session.posargs)


@nox.session
def bite(session: nox.Session) -> None:
    """Change the reference in every small way, and check that scenarios or tests notice; takes hours, and resumes."""
    install(session, extras="tests")
    session.env["PYTHONPATH"] = "tests/system"
    session.run("python", "-m", "bite", str(Path(session.create_tmp(), "work")), *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install("ruff")
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check", "--diff")


@nox.session
def typing(session: nox.Session) -> None:
    """Check the types."""
    install(session, "mypy", "types-cffi", "types-docker", "types-PyYAML", "types-setuptools", extras="bench")
    link = Path(session.create_tmp(), "worldswitch")
    link.unlink(missing_ok=True)
    link.symlink_to(Path.cwd())  # mypy follows no import hook, but a link of the right name
    parts = ("harness", "reference", "scenarios")
    with session.chdir(link.parent):
        session.run(
            *("mypy", "--config-file", "worldswitch/pyproject.toml", *session.posargs),
            *(argument for part in parts for argument in ("-p", f"worldswitch.{part}")),
        )


@nox.session
def build(session: nox.Session) -> None:
    """Compile the C parts with gcc and clang and analyze them, warnings as errors; build the wheel into dist/."""
    require(session, {"gcc": "gcc", "clang": "clang", "clang-tidy": "clang-tidy"})
    session.install("setuptools>=77", "cffi>=2")
    analyze(session)
    for compiler in COMPILERS:
        target = Path(session.create_tmp(), compiler)
        session.run(
            *("python", "setup.py", "--quiet", "build_ext", "--force"),
            *("--build-lib", str(target), "--build-temp", str(target)),
            env={"CC": compiler, "CFLAGS": WARNINGS},
        )
    session.run("python", "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "dist", ".")


def sanitized(session: nox.Session, name: str, *runtimes: str) -> dict[str, str]:
    """Build a copy of the checkout with a sanitizer; the environment in which Python imports that copy."""
    root = Path(session.create_tmp(), name)
    copy = root / "worldswitch"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(".", copy, ignore=shutil.ignore_patterns(".*", "build", "dist", "*.so", "results"))
    flags = SANITIZERS[name]
    with session.chdir(copy):
        session.run(
            *("python", "setup.py", "--quiet", "build_ext", "--inplace"),
            env={"CFLAGS": f"{flags} -fno-omit-frame-pointer -g -O1", "LDFLAGS": flags},
        )
    found = [session.run("gcc", f"-print-file-name={one}", silent=True, external=True) for one in runtimes]
    return {
        "PYTHONPATH": f"{root}:tests/support",
        "PYTHONMALLOC": "malloc",
        "LD_PRELOAD": " ".join(str(path).strip() for path in found),
        # Python's faulthandler has an alternate stack of its own, which AddressSanitizer would unmap.
        # Tests that have calls fail preload a library of their own before its.
        "ASAN_OPTIONS": "detect_leaks=0:use_sigaltstack=0:verify_asan_link_order=0:abort_on_error=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TSAN_OPTIONS": "die_after_fork=0",
    }


@nox.session
def sanitizers(session: nox.Session) -> None:
    """Run the C parts under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer, within 2 minutes."""
    require(session, {"gcc": "gcc"})
    install(session, extras="bench,tests")
    memory = sanitized(session, "asan", "libasan.so", "libubsan.so")
    ids = (word for one in SANITIZED for word in ("--id", one))
    results = str(Path(session.create_tmp(), "results"))
    session.run(
        *("worldswitch", "run", "--engine", "host", "--repeat", "quick", "--results", results, *ids), env=memory
    )
    session.run("python", "-m", "pytest", "-q", "tests/reference/test_core.py", env=memory)
    session.run("python", "tests/system/racing_threads.py", env=sanitized(session, "tsan", "libtsan.so"))
