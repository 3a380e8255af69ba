"""Links: what is asked of spans that were found, and what becomes of it."""
