"""How the processes of trials start: a child of this process, or of a fork server that has loaded the platform."""
