// The guests live in an assembly file of their own; this only has it assembled.
#if defined(__x86_64__)
__asm__(".include \"guests_x86_64.s\"");
#else
#error "no guests for this architecture"
#endif
