"""A search over bits of layers and other options: accuracy in validation against cost."""
