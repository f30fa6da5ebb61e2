"""Which A4PS this is."""

__version__ = "0.1.0"
