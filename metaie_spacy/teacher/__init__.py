"""The large language model that annotates."""
