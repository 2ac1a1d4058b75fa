"""The command line: results on stdout, progress on stderr, one file for each group of commands."""
