"""What the routes use: from a multipart request to an accepted task, progress, readiness."""
