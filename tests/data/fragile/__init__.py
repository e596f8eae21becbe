"""One scenario, and a worker that may not live to run it."""
