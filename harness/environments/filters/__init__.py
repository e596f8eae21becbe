"""Seccomp filters in files: formats, checks, the rules that apply in a container, and the answer to a call."""
