// Includes the guests' assembly.
#if defined(__x86_64__)
__asm__(".include \"guests_x86_64.s\"");
#else
#error "no guests for this architecture"
#endif
