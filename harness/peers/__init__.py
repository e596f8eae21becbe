"""What others pay for the same: static programs under other tracers and sandboxes, beside the reference.

`programs/` are the programs, which tell themselves how long they took; `peer` says what a peer is and how it is found
or fetched, `known` lists them, `race` runs peer and reference in turn, and `racing` prints what came of it.
"""
