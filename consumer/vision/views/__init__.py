"""Views of an image: what the network is given, and how its results are merged."""
