"""What the quantisers cost: training steps, the projection, the input pipeline, a whole epoch, evaluation."""
