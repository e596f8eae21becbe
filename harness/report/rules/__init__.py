"""Keeping rules right: `worldswitch expect check` reads them, `worldswitch expect update` amends them after a run.

check       what is wrong with files of rules, without any run
rulebook    the files of rules as texts, and which of them speak of a cell
hindsight   a run judged anew, by the rules of today
proposals   the edits after which the rules would have expected what came
texts       edits of a file that leave the rest of it alone, comments too
"""
