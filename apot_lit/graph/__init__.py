"""A torch network in evaluation mode as a list of steps over named values."""
