"""`plate-detect bench`: the whole service under load, measured from outside."""
