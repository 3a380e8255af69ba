"""A teacher's answer -> spans of the text."""
