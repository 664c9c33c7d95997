"""The producer's Prometheus metrics: base units, bounded labels, a registry of their own."""

import time

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from schemas.tasks import TaskStatus  # noqa: F401
