"""From a multipart request to an accepted task, or to nothing at all."""
