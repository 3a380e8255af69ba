"""Rows reviewed by people on a local web page: the queue, the answers file, the application."""
