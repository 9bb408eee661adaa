"""The systems we compare ourselves with, as Debian and PyPI ship them."""
