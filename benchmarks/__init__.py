"""What this project measures, and with what.

lib: what several scripts share. quality: what is found, and by which starting points. serving: how fast, how exact and
how robust the packaged model is. project: the way from texts to a model. results: what was measured. report.py: tables.

Every script is run from the repository, `python benchmarks/quality/quality.py ...`, puts the repository first on the
path by its own place, and imports the rest by full names (`benchmarks.lib.provenance`); so do processes that it starts.
"""
