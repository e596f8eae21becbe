"""Commands and options that spread a run over many machines."""
