"""Who annotated well, whom the model fails, and when a score is to be believed."""
