"""What pyproject.toml cannot say: which C to build, and that one binary serves every Python from the floor on."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext

#: Programs for guests: they stand on system calls alone, so that every platform that runs anything runs them.
PROGRAMS = Path("harness/peers/programs")

# Without a C library there is none for a sanitizer either, whatever CFLAGS ask for.
BARE = ("-ffreestanding", "-fno-stack-protector", "-fcf-protection=none", "-fno-pie", "-fno-sanitize=all")
ALONE = ("-O2", "-Wall", "-Wextra", *BARE)
STATIC = ("-static", "-nostdlib", "-Wl,--build-id=none", "-fno-sanitize=all")


class BuildWithPrograms(build_ext):
    """Builds the programs beside the extensions, as static files without a C library."""

    def build_extensions(self) -> None:
        """Build the extensions, then the programs."""
        super().build_extensions()
        self.mkpath(str(self._built))
        for source in sorted(PROGRAMS.glob("*.c")):
            objects = self.compiler.compile([str(source)], output_dir=self.build_temp, extra_postargs=[*ALONE])
            self.compiler.link_executable(
                objects, source.stem, output_dir=str(self._built), extra_postargs=[*STATIC], target_lang="c"
            )

    def copy_extensions_to_source(self) -> None:
        """Where the checkout is the package, they lie beside their sources."""
        super().copy_extensions_to_source()
        for source in sorted(PROGRAMS.glob("*.c")):
            self.copy_file(str(self._built / source.stem), str(PROGRAMS))

    @property
    def _built(self) -> Path:
        return Path(self.build_lib, "worldswitch", PROGRAMS)


setup(
    cmdclass={"build_ext": BuildWithPrograms},
    cffi_modules=[
        "harness/bench/native/build.py:ffibuilder",
        "reference/core/build.py:ffibuilder",
        "scenarios/raw_ptrace/build.py:ffibuilder",
        "scenarios/guests/build.py:ffibuilder",
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
