"""Stored results that new ones are compared with: the shipped reference, or the user's own results."""
