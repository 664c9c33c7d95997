"""Stages of images run where the watchdog sees them."""

import threading

from consumer.health import Health
from consumer.worker.process import STAGE_LIMIT_SECONDS, _thread_pool


def test_a_stage_is_under_the_watchdogs_eyes_from_its_start_to_its_end() -> None:
    health, entered, leave = Health(), threading.Event(), threading.Event()

    def stage(answer: int) -> int:
        entered.set()
        assert leave.wait(5)
        return answer

    with _thread_pool(1, health) as threads:
        running, waiting = threads.submit(stage, 1), threads.submit(stage, answer=2)
        assert entered.wait(5)
        [work] = health.calls
        assert (work.name, work.limit_seconds) == ("stage of an image", STAGE_LIMIT_SECONDS)
        leave.set()
        assert (running.result(5), waiting.result(5)) == (1, 2)
        assert health.calls == []


def test_a_stage_that_fails_is_no_longer_under_way() -> None:
    health = Health()
    with _thread_pool(1, health) as threads:
        assert isinstance(threads.submit(lambda: 1 / 0).exception(5), ZeroDivisionError)
    assert health.calls == []
