"""What a switch costs at the very least, in C: the limits that benchmarks set a platform beside."""
