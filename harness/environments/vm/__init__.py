"""Other kernels than this machine's, booted in QEMU from the image's files, with cells inside."""
