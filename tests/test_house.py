"""The rules of the house that no linter knows: sizes, who may import what, who reads a clock, what no file may name."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("vault", "index", "ingest", "retention", "access")
NAMES = (*PACKAGES, "streamvault")
MAX_LINES = 400

# One module holds each engine; libav stands in few. What stands in no table is free of engines.
ENGINES = {
    "lmdb": {"index/environment.py"},
    "apscheduler": {"retention/schedule.py"},
    "minio": {"vault/store/s3client.py"},
    "cryptography": {"vault/secrets.py", "vault/signing/ed25519.py", "access/package/cipher.py"},
    "pkcs11": {"vault/signing/token.py"},
    "segno": {"vault/signing/qr.py"},
    "prometheus_client": {"ingest/metrics.py"},
    "pyarrow": {"retention/parquet.py"},
    "matplotlib": {"retention/chart.py"},
    "jinja2": {"retention/printed.py"},
    "av": {"access/decode.py", "ingest/libavchild.py", "ingest/simulate/encode.py"},
}

# `vault/clock.py` reads the clocks. Whoever else does says here why.
CLOCK_READERS = {
    "vault/clock.py": "it is the clock",
}
_CLOCKS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "clock_gettime", "gmtime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}


def tracked() -> list[Path]:
    """Every file of the project, as git knows it; a file not yet added counts too."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=False
    )
    if listing.returncode:
        pytest.fail("these tests read git's list of files: run them in a clone")
    return sorted(path for name in listing.stdout.decode().split("\0") if name and (path := ROOT / name).is_file())


def python_files() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py"]


def source_files() -> list[Path]:
    return [path for path in python_files() if path.relative_to(ROOT).parts[0] in (*PACKAGES, "streamvault.py")]


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(tree: ast.AST) -> Iterator[str]:
    """Top names of whatever a module imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def test_no_python_file_is_longer_than_400_lines() -> None:
    long = {shown(path): count for path in python_files() if (count := len(path.read_text().splitlines())) > MAX_LINES}
    assert not long


def test_every_module_opens_with_what_it_is() -> None:
    assert not [shown(path) for path in python_files() if not ast.get_docstring(ast.parse(path.read_text()))]


def test_a_packages_init_holds_one_docstring_only() -> None:
    inits = [path for path in python_files() if path.name == "__init__.py"]
    assert {path.relative_to(ROOT).parts[0] for path in inits} == set(PACKAGES)
    assert not [shown(path) for path in inits if len(ast.parse(path.read_text()).body) != 1]


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for path in source_files()} - {ROOT}
    assert not [shown(folder) for folder in folders if not (folder / "__init__.py").is_file()]


def test_engines_are_imported_only_where_they_are_wrapped() -> None:
    found: dict[str, set[str]] = {engine: set() for engine in ENGINES}
    for path in source_files():
        for name in set(imports(ast.parse(path.read_text()))) & set(ENGINES):
            found[name].add(shown(path))
    assert not {engine: paths - ENGINES[engine] for engine, paths in found.items() if paths - ENGINES[engine]}


def test_names_are_imported_from_the_module_that_defines_them() -> None:
    bare = []
    for path in source_files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                bare += [f"{shown(path)}: import {alias.name}" for alias in node.names if alias.name in PACKAGES]
            elif isinstance(node, ast.ImportFrom) and node.module in PACKAGES:
                # `from ingest import x` is fine for a submodule, and for nothing else, since __init__ is empty.
                bare += [
                    f"{shown(path)}: from {node.module} import {alias.name}"
                    for alias in node.names
                    if not (ROOT / node.module / f"{alias.name}.py").exists() and not (ROOT / node.module / alias.name).is_dir()
                ]
    assert not bare


def clock_reads(tree: ast.AST) -> Iterator[int]:
    """Lines that read a clock: `time.time()`, `datetime.now()`, `from time import monotonic`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            if node.attr in _CLOCKS.get(owner, ()):
                yield node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (node.lineno for alias in node.names if alias.name in _CLOCKS["time"])


def test_the_clock_is_read_in_one_module() -> None:
    readers = {shown(path) for path in source_files() if any(clock_reads(ast.parse(path.read_text())))}
    assert readers == set(CLOCK_READERS)


@pytest.mark.parametrize(
    "line",
    ["import time\ntime.time()", "import datetime\ndatetime.datetime.now()", "from time import monotonic_ns", "date.today()"],
)
def test_the_search_for_clock_reads_finds_each_way_to_read_one(line: str) -> None:
    assert list(clock_reads(ast.parse(line)))


def test_no_file_names_a_package_registry_or_a_path_of_one_machine() -> None:
    # Put together here, or this file would find itself.
    hosts = [
        "pypi" + ".org",
        "pythonhosted" + ".org",
        "crates" + ".io",
        "npmjs" + ".org",
        "proxy.golang" + ".org",
        "deb.debian" + ".org",
    ]
    pattern = re.compile(
        "|".join(
            [*map(re.escape, hosts), "/simp" + "le/", r"https?://\S+\.whl", "(?<![\\w.])/(?:wor" + "k|far" + "m|roo" + "t)/"]
        )
    )
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{shown(path)}:{number}" for number, line in enumerate(text.splitlines(), 1) if pattern.search(line)]
    assert not found


def test_no_work_is_left_for_later_in_the_code() -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error", "XX" + "X")
    left = []
    for path in python_files():
        with path.open("rb") as file:
            left += [
                f"{shown(path)}:{token.start[0]}: {token.string}"
                for token in tokenize.tokenize(file.readline)
                if token.type in (tokenize.COMMENT, tokenize.NAME) and any(mark in token.string for mark in marks)
            ]
    assert not left


def test_only_the_command_line_is_above_the_packages() -> None:
    """import-linter holds the order of the packages; the module at the top is not a package and is held here."""
    below = [path for path in source_files() if path.name != "streamvault.py"]
    assert not [shown(path) for path in below if "streamvault" in set(imports(ast.parse(path.read_text())))]


def test_no_import_name_of_ours_is_claimed_by_another_distribution() -> None:
    claimed = importlib.metadata.packages_distributions()
    others = {name: [dist for dist in claimed.get(name, []) if dist != "streamvault"] for name in NAMES}
    assert not {name: dists for name, dists in others.items() if dists}


def test_every_name_of_ours_is_imported_from_this_tree() -> None:
    code = f"import {', '.join(NAMES)}; print(*[m.__file__ for m in ({', '.join(NAMES)})], sep='\\n')"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {Path(line).resolve() for line in run.stdout.split()} == {
        *(ROOT / name / "__init__.py" for name in PACKAGES),
        ROOT / "streamvault.py",
    }


def test_the_lock_file_holds_every_dependency_with_hashes_and_names_no_host() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"], *groups["build"], *groups["dev"]]
    for name, lines in (("constraints.txt", wanted), ("constraints-fuzz.txt", groups["fuzz"])):
        text = (ROOT / name).read_text()
        entries = re.findall(r"^([a-z0-9-]+)==\S+((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", text, re.MULTILINE)
        assert {re.split(r"[^A-Za-z0-9-]", line)[0].lower() for line in lines} <= {entry[0] for entry in entries}
        assert not re.search("://|--index|--find-links|--trusted", text)
        # Each pinned version carries at least one hash.
        assert len(entries) == text.count("==")


def test_the_tests_mirror_the_packages() -> None:
    """A folder of tests has no `__init__.py`, and each test module lies under the package it is about."""
    tests = [path.relative_to(ROOT / "tests") for path in python_files() if (ROOT / "tests") in path.parents]
    assert not [path for path in tests if path.name == "__init__.py"]
    places = {path.parts[0] for path in tests if path.name.startswith("test_") and len(path.parts) > 1}
    assert places <= {*PACKAGES, "benchmarks", "faults", "fuzz"}
