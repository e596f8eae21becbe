"""Profiles written after what people have: containers, pods, compose files, runtimes' configurations."""
