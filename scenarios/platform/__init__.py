"""The contract's specification: what every ptrace platform must do, a module a behaviour family."""
