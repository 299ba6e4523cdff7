"""A trained network as a network of integers, every bit of it defined: conversion and a reference executor."""

from apot_lit.integer.conversion import to_integers
from apot_lit.integer.executor import Executor
from apot_lit.integer.network import IntegerNetwork
from apot_lit.integer.simulation import Simulation

__all__ = ["Executor", "IntegerNetwork", "Simulation", "to_integers"]
