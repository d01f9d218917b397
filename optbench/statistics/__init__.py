"""Statistics: arrays in, arrays or small records out; nothing here knows of frames or files."""
