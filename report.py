"""Makes tables, pictures and one page from result files: ``python report.py results_dir=outputs``."""

from apot_lit.commands import report

if __name__ == "__main__":
    report()
