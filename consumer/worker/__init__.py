"""The worker: claims images from the stream, covers them, settles their entries."""
