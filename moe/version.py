"""The version, in one place for the library, the command line and exported files."""

__version__ = "0.1.0"
