"""Small model where it is good enough, large model where it pays."""
