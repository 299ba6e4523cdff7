"""MNIST: the embedded files, the splits, and loaders of 8-bit pixels that live on the training device."""
