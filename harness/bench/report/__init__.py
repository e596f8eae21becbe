"""The report on a run of benchmarks: a page, its figures, and Markdown."""
