/* A Cortex-M without an operating system: what a debugger or an emulator does for it by semihosting, and how much it took. */
#ifndef CORTEX_M_H
#define CORTEX_M_H

#include <stddef.h>
#include <stdint.h>

/* Opens a file of the host, ":tt" being its console; returns a handle, or -1. */
int host_open(const char *name, int is_output);

/* Returns how many bytes were read. */
size_t host_read(int handle, void *bytes, size_t count);

/* Returns whether all bytes were written. */
int host_write(int handle, const void *bytes, size_t count);

/* The command line, cut off at the end of `line`; returns whether there is one. */
int host_arguments(char *line, size_t size);

/* Ends the program. */
_Noreturn void host_exit(int is_failure);

/* Ticks of the processor's timer, which counts the processor's clock up to 2^24. */
uint32_t ticks_now(void);
uint32_t ticks_since(uint32_t before);

/* The most bytes of stack that were in use since the start. */
uint32_t stack_bytes(void);

#endif
