"""Limits that follow from others."""

import pytest

from producer.settings import ProducerSettings


def test_request_limit_lets_the_other_two_be_used_up() -> None:
    settings = ProducerSettings(_env_file=None, max_files_per_request=3, max_file_size_bytes=1000)
    assert 3000 < settings.max_request_bytes < 3000 + 2 * 1024 * 1024


@pytest.mark.parametrize("given", [1, 500])
def test_request_limit_can_be_set(given: int) -> None:
    settings = ProducerSettings(_env_file=None, max_request_size_mb=given)
    assert settings.max_request_bytes == given * 1024 * 1024


def test_each_setting_is_described() -> None:
    assert all(field.description for field in ProducerSettings.model_fields.values())
