"""The benchmarks, one file per subject, each a pyperf script: ``python -m worldswitch.harness.bench.suite.switch``."""
