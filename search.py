"""Searches bits of layers, or any options: ``python search.py model=resnet10 experiment=fast search.trials=50``."""

from apot_lit.commands import search

if __name__ == "__main__":
    search()
