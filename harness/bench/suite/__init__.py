"""The benchmarks, one file a subject, each a pyperf script: ``python -m worldswitch.harness.bench.suite.switch``."""
