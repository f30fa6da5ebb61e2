"""What may happen and who may say so: pure decisions, no I/O."""
