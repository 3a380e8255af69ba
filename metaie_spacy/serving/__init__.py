"""A server of the component over HTTP: what it takes, the queue, the worker, and the application."""
