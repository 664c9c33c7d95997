"""The service's description of itself: OpenAPI, Swagger UI, ReDoc."""
