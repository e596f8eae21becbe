"""Facts about the kernel, observed by raw tracing without a platform, a module a family."""
