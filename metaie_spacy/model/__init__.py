"""Encoders, architectures, and the logits that they give."""
