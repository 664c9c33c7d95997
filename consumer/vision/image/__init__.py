"""Image files: their headers and pixels, and results as WebP."""
