"""Image data sets for problems: by name through torchvision and scikit-learn, or from a folder.

Nothing here imports torch, torchvision, scikit-learn or Pillow before images are asked for.
"""
