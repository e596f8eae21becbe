"""Facts about a fictitious kernel."""
