"""What pyproject.toml cannot say: which C to build, and that one binary serves every Python from the floor on."""

from setuptools import setup

setup(
    cffi_modules=[
        "harness/bench/native/build.py:ffibuilder",
        "reference/core/build.py:ffibuilder",
        "scenarios/bare/build.py:ffibuilder",
        "scenarios/guests/build.py:ffibuilder",
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
