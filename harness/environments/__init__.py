"""Places where a cell can be started: this host, containers, virtual machines."""
