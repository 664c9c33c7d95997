"""Synthetic plates, cars and streets, drawn from a seed: no photograph is needed."""
