"""What a release publishes: versions, contents, licences, sizes, the bill of materials."""

import ast
import json
import subprocess
import tarfile
import tomllib
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.utils import canonicalize_name

from schemas.version import VERSION
from tests.acceptance.release.conftest import Built, Installed
from tests.support.release import CLIENT, ReleaseError, build_wheel, check_changelog, write_sbom
from tests.support.tables import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.acceptance, pytest.mark.timeout(300)]

LARGEST_WHEEL = 30_000_000
"""Bytes. Most of them are the networks; an index refuses files of more than 100 MB."""

OWN = ("schemas", "producer", "consumer", "models", "cli", "plate_detect_client")


def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def contents(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel that are not about it."""
    with ZipFile(wheel) as archive:
        return {n: archive.read(n) for n in archive.namelist() if ".dist-info/" not in n}


def tracked_files() -> set[str]:
    """Return the files of the checkout that git has, or will have."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(listed.stdout.splitlines())


def test_both_have_the_version_of_the_program(service_files: Built, client_files: Built) -> None:
    for built, name in ((service_files, "plate_detect"), (client_files, "plate_detect_client")):
        assert metadata(built.wheel)["Version"] == VERSION
        assert built.sdist.name == f"{name}-{VERSION}.tar.gz"
        print(*(f"{path.stat().st_size / 1e6:.2f} MB {path.name}" for path in vars(built).values()))


def test_a_source_distribution_makes_the_wheel_of_the_checkout(
    service_files: Built, client_files: Built, tmp_path: Path
) -> None:
    for project, built in ((ROOT, service_files), (CLIENT, client_files)):
        out = tmp_path / project.name
        out.mkdir()
        assert build_wheel(project, out).read_bytes() == built.wheel.read_bytes()


def test_the_wheel_has_what_runs_and_nothing_else(service_files: Built) -> None:
    assert service_files.wheel.stat().st_size < LARGEST_WHEEL
    there = set(contents(service_files.wheel))
    files = {name.removeprefix("client/") for name in tracked_files()}
    assert there <= files
    left_out = {name for name in files - there if name.startswith(tuple(f"{n}/" for n in OWN))}
    assert left_out
    assert all(name.startswith("models/") for name in left_out), left_out
    assert not [name for name in there if name.startswith(("models/training", "models/corners"))]
    assert {name.partition("/")[0] for name in there} == {*OWN, "static"}


def test_no_module_needs_one_that_is_left_out(service_files: Built) -> None:
    files = contents(service_files.wheel)
    modules = {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in files
        if name.endswith(".py")
    }
    for name, source in files.items():
        if name.endswith(".py"):
            needed = {
                node.module
                for node in ast.walk(ast.parse(source))
                if isinstance(node, ast.ImportFrom) and node.module
            }
            ours = {module for module in needed if module.partition(".")[0] in OWN}
            assert ours <= modules, name


def test_the_source_distribution_has_no_tests_and_no_data(service_files: Built) -> None:
    with tarfile.open(service_files.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "NOTICE", "README.md", "SECURITY.md", "pyproject.toml"} <= names
    assert names - {"PKG-INFO", ".gitignore"} <= tracked_files()
    assert not [name for name in names if name.startswith("tests/")]


def test_the_licences_are_named_and_there(service_files: Built, client_files: Built) -> None:
    service, client = metadata(service_files.wheel), metadata(client_files.wheel)
    assert service["License-Expression"] == "MIT AND Apache-2.0"
    assert client["License-Expression"] == "MIT"
    assert (CLIENT / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    for built, about in ((service_files, service), (client_files, client)):
        with ZipFile(built.wheel) as archive:
            names = archive.namelist()
        for license_file in about.get_all("License-File") or ():
            assert any(name.endswith(f".dist-info/licenses/{license_file}") for name in names)
    vendored = {path.name for path in (ROOT / "producer" / "assets").iterdir() if path.is_dir()}
    assert {
        f"producer/assets/{name}/LICENSE" for name in vendored - {"ui"}
    } <= set(service.get_all("License-File") or ())  # fmt: skip


def test_the_bill_of_materials_lists_what_an_installation_has(
    installed: Installed, tmp_path: Path
) -> None:
    document = json.loads(write_sbom(installed.python, tmp_path).read_text())
    assert document["bomFormat"] == "CycloneDX"
    root = document["metadata"]["component"]
    assert (root["name"], root["version"]) == ("plate-detect", VERSION)
    assert root["licenses"] == [{"acknowledgement": "declared", "expression": "MIT AND Apache-2.0"}]
    components = {canonicalize_name(one["name"]): one for one in document["components"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(pin.split("==") for pin in project["dependencies"])
    # Torch's build for the CPU is version 2.13.0+cpu.
    assert {name: components[name]["version"].partition("+")[0] for name in pins} == pins
    assert not {"pytest", "plate-detect"} & set(components)
    unknown = {name for name, one in components.items() if not one.get("licenses")}
    assert unknown <= {"torchvision"}  # BSD-3-Clause, which its metadata do not say
    agpl = {name for name, one in components.items() if "AGPL" in json.dumps(one.get("licenses"))}
    assert "ultralytics-opencv-headless" in agpl
    assert all(name.startswith("ultralytics-") for name in agpl)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("## Unreleased\n", "no heading"),
        (f"## {VERSION}\n", "no heading"),
        (f"## {VERSION}0 - 2026-01-02\n", "no heading"),
        (f"## {VERSION} - 2026-13-02\n", "is no date"),
    ],
)
def test_a_release_needs_a_dated_changelog(text: str, fault: str) -> None:
    check_changelog(f"# Changelog\n\n## {VERSION} - 2026-01-02\n")
    with pytest.raises(ReleaseError, match=fault):
        check_changelog(text)
