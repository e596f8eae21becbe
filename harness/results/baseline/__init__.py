"""The committed baseline: one complete run in a compact file, read back like any other run.

It has the verdict of each trial as a letter, and its judgement; the kernel, probes and facts of each cell, and its
problem.  Texts, times and transcripts of trials are left out.  `file_format` declares the lines of the file, `write`
writes it, `read` reads it.
"""
