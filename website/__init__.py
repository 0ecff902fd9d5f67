"""What `make docs` adds to the pages in docs: MkDocs calls hooks.py. No part of the package."""
