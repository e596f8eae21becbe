"""Kernels other than this machine's: each booted in QEMU from the image's own files, with the cells run inside."""
