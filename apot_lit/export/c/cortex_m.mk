# Builds a program for Cortex-M3 and newer; `make run IMAGES=file` runs it in an emulated board, over raw images.
CROSS ?= arm-none-eabi-
CPU ?= cortex-m3
CFLAGS ?= -Os
BOARD ?= mps2-an385
QEMU ?= qemu-system-arm
SOURCES := main.c network.c apot_micro.c cortex_m.c
OPTIONS := -std=c11 -mcpu=$(CPU) -mthumb -ffunction-sections -fdata-sections
LINK := --specs=nano.specs -nostartfiles -Wl,--gc-sections -T cortex_m.ld

network.elf: $(SOURCES) $(wildcard *.h) cortex_m.ld
	$(CROSS)gcc $(OPTIONS) $(CFLAGS) $(LINK) $(SOURCES) -o $@

.PHONY: run size check clean
run: network.elf
	$(QEMU) -M $(BOARD) -nographic -icount shift=0 -semihosting-config enable=on,target=native,arg=$(IMAGES) -kernel $<

size: network.elf
	$(CROSS)size $<

check:
	sha256sum -c SHA256SUMS

clean:
	rm -f network.elf
