"""Reports on kernels: the list, the difference between two, the first bad one."""
