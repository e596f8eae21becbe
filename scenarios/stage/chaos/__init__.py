"""Chaos: schedules of strikes, the guests they fall on, and the search for a short schedule that fails."""
