"""Writes arithmetic units in Verilog, proves and prices them: ``python hardware.py`` (or hardware=full)."""

from apot_lit.commands import hardware

if __name__ == "__main__":
    hardware()
