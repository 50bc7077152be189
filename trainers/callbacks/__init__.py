"""Callbacks of `Model.fit`, one idea a file."""
