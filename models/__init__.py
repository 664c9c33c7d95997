"""The detector's checkpoint, how it was made, and how it is measured."""
