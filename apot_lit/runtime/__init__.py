"""Networks of integers at the speed of compiled C, from Python."""

from apot_lit.runtime.compiled import Network

__all__ = ["Network"]
