"""Checks rules of expected verdicts, and updates them from a run.

check        errors in files of rules, without a run: `worldswitch expect check`
update       the edits as a diff: `worldswitch expect update`
rulebook     the texts of the files of rules, and the rules that apply to a cell
rejudgement  a run judged again by the current rules
proposals    the edits that make the rules expect the verdicts of a run
toml_edits   edits of a file that preserve the rest of its text, with comments
"""
