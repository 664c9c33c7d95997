"""Seeing and covering plates: bytes and arrays in, arrays and bytes out. No network, no storage."""
