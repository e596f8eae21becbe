"""A request becomes outcomes: cells are started, collected, judged and kept."""
