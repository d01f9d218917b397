"""Data sets for problems: images from torchvision, scikit-learn or a folder, and texts.

Nothing here imports torch, torchvision, scikit-learn or Pillow before data are loaded.
"""
