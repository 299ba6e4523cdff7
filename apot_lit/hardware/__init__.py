"""Arithmetic units in Verilog: what a multiplication of two quantisers' codes takes, proved and priced."""
