"""How good answers are, and what their scores mean."""
