"""`worldswitch doctor`: can a ptrace sandbox run here, where else, at what cost, and what enables the rest."""
