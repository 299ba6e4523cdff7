"""Training with Lightning: the module, its optimizer, its callbacks, the fit and the test at its end."""
