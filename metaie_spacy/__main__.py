"""`python -m metaie_spacy`, the same as the command `metaie`."""

from .cli.app import main

if __name__ == "__main__":
    main()
