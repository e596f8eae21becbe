"""One process that runs every scenario where it is started, a trial a process, and reports in frames on its stdout."""
