"""Every experiment that the command line, the app and the lessons offer, one a file.

Each is a function from frozen settings to records; nothing above this floor computes.
"""
