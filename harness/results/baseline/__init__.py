"""The committed baseline: one whole run, made small enough to be kept with the code, and read back as any run is.

What is kept of a trial is its verdict, a letter, and what was thought of it; of a cell its kernel, what its probes and
experiments found, and why it did not run if it did not.  Texts, times of trials and transcripts are left out.  `lines`
says what is in the file, `keep` writes it, `load` reads it.
"""
