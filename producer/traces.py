"""The span of a request about tasks: it continues the trace of the request's `traceparent`."""

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from producer.metrics import method_of, route_of
from schemas import tracing

_PATHS = ("/api/", "/tasks_storage/")


@web.middleware
async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Record a request about tasks; pages and probes are left out."""
    route = route_of(request)
    if not route.startswith(_PATHS):
        return await handler(request)
    method, parent = method_of(request), request.headers.get("traceparent", "")
    attributes = _attributes(request, method, route)
    with tracing.span(
        f"{method} {route}", kind="server", parent=parent, attributes=attributes
    ) as span:
        try:
            response = await handler(request)
        except web.HTTPException as redirect:
            span.set("http.response.status_code", redirect.status)
            raise
        span.set("http.response.status_code", response.status)
        if response.status >= 500:
            span.fail(str(response.status))
        return response


def _attributes(request: web.Request, method: str, route: str) -> tracing.Attributes:
    """Return what the span says. Neither the path, which may name a file, nor the query."""
    attributes: dict[str, tracing.Attribute] = {
        "http.request.method": method if method in hdrs.METH_ALL else "_OTHER",
        "http.route": route,
        "url.scheme": request.scheme,
    }
    if (task_id := request.match_info.get("task_id")) is not None:
        attributes[tracing.TASK_ID] = task_id[:64]
    return attributes
