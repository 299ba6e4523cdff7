"""Many trainings that can be stopped and started again at any time."""
