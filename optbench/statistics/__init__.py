"""Statistics on arrays: no function here uses frames or files."""
