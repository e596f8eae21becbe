"""Static programs under other tracers and sandboxes, compared with the reference.

programs/      the programs; each prints how long its own work took
peer           what a peer is, and how its program is found or fetched
peer_list      every peer
race           runs a peer and the reference in turn
race_report    `worldswitch bench --peers`: runs the race and prints the results
"""
