/* Start, semihosting, timer and stack of a Cortex-M. */
#include "cortex_m.h"

#define PAINT 0xa5a5a5a5u
#define TIMER_MASK 0xffffffu

extern uint32_t data_begin[], data_end[], data_stored[], bss_begin[], bss_end[], stack_painted[], stack_top[];

int main(void);
void start(void);
static void fault(void);

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    stack_top, start, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0, fault, fault,
};

/* System control: the timer's registers. */
static volatile uint32_t *const timer = (volatile uint32_t *)0xe000e010;

void start(void) {
    /* Volatile, so that no function is called for it, which would need stack itself. */
    volatile uint32_t *begin = stack_painted, *here = (uint32_t *)__builtin_frame_address(0) - 16;
    while (begin < here) *begin++ = PAINT;
    for (uint32_t *to = data_begin, *from = data_stored; to < data_end;) *to++ = *from++;
    for (uint32_t *word = bss_begin; word < bss_end;) *word++ = 0;
    timer[1] = TIMER_MASK; /* reload */
    timer[2] = 0;          /* any write clears */
    timer[0] = 5;          /* on, by the processor's clock */
    host_exit(main());
}

static int host(int operation, const void *arguments) {
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static size_t length_of(const char *text) {
    size_t length = 0;
    while (text[length]) length++;
    return length;
}

int host_open(const char *name, int is_output) {
    const uint32_t arguments[3] = {(uint32_t)name, is_output ? 4 : 1, length_of(name)};
    return host(0x01, arguments);
}

int host_write(int handle, const void *bytes, size_t count) {
    const uint32_t arguments[3] = {(uint32_t)handle, (uint32_t)bytes, count};
    return host(0x05, arguments) == 0;
}

size_t host_read(int handle, void *bytes, size_t count) {
    const uint32_t arguments[3] = {(uint32_t)handle, (uint32_t)bytes, count};
    return count - (size_t)host(0x06, arguments);
}

int host_arguments(char *line, size_t size) {
    const uint32_t arguments[2] = {(uint32_t)line, size};
    return host(0x15, arguments) == 0;
}

_Noreturn void host_exit(int is_failure) {
    host(0x18, (const void *)(is_failure ? 0x20023u : 0x20026u));
    for (;;) {}
}

static void fault(void) { host_exit(1); }

uint32_t ticks_now(void) { return timer[2]; }

uint32_t ticks_since(uint32_t before) { return (before - timer[2]) & TIMER_MASK; }

uint32_t stack_bytes(void) {
    const uint32_t *word = stack_painted;
    while (word < stack_top && *word == PAINT) word++;
    return (uint32_t)(stack_top - word) * 4;
}
