"""The report: one HTML page, complete in itself, made from tables and plots."""
