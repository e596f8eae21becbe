"""The C of benchmarks: what the kernel's part of a switch costs at the least, and the guests that are switched into."""
