"""Hundreds of invalid and unusual inputs, each with its expected result."""
