"""Training: trainer, algorithms, checkpoints, logging, reports."""
