"""What others pay for the same: static programs under other tracers and sandboxes, beside the reference.

    programs/   the programs, which tell themselves how long they took
    peer        what a peer is: how it is found or fetched, and the command that runs a program under it
    known       the peers
    race        peer and reference in turn, many times; and what came of it
"""
