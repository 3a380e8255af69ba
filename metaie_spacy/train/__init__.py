"""Batches, loss, and the distillation of a corpus into weights."""
