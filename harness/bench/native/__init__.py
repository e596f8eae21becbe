"""C loops that make the kernel calls of a switch and nothing else, and the guests of benchmarks."""
