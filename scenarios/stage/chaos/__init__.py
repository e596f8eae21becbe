"""Chaos: schedules of strikes, the guests under attack, and the search for a short schedule that fails."""
