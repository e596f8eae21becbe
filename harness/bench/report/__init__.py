"""The report on a run of benchmarks: a page, its pictures, and a text."""
