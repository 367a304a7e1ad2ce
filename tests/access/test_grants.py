"""Nobody reads footage without a Grant, and nobody makes one for a person but the decision. Types hold the first as far as they reach;
here the code is walked for every way around them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.test_house import shown, source_files
from vault.grant import Grant, Refusal, system_grant
from vault.ids import CameraNumber
from vault.timebase import Interval

READERS = {
    "open_source", "open_for_repair", "open_segment", "growing", "parts", "still_at", "cut_clip", "decode_apart", "SourcePool", "Intake",
}  # fmt: skip
"""Whoever calls one of these reads footage."""

MAKERS = {
    "vault/grant.py": "it defines what the engine's own parts hold",
    "access/authorize.py": "the decision",
}

SYSTEM = {
    "index/growing.py": {"timeline"},
    "index/check_objects.py": {"check"},
    "index/rebuild.py": {"rebuild"},
    "index/rebuild_scan.py": {"rebuild"},
    "index/repair_look.py": {"repair"},
    "index/repair_run.py": {"repair"},
    "ingest/adopter.py": {"adopt"},
    "ingest/uploader.py": {"upload"},
}
"""Who reads footage whoever looks, and hands it to no person."""

STORE_OPENERS = {
    "vault/store/segments.py": "the one way to a stored segment",
    "vault/store/bound.py": "its own marker, and what it passes on",
    "index/registry.py": "documents",
    "index/rebuild_registry.py": "documents",
    "index/rebuild_manifests.py": "manifests",
    "index/ledger_anchor.py": "checkpoints",
    "retention/tally.py": "figures",
}
"""Who opens objects of a store by their key, and which."""

PATHS = {
    "vault/spool.py": "it is the spool",
    "ingest/uploader.py": "gives the file to the store, which takes it whole",
    "ingest/adopter.py": "closes what a crash left open",
    "index/repair_look.py": "asks whether it is there",
    "index/repair_run.py": "asks whether it is there",
    "retention/deleter.py": "syncs its folder",
}
"""Who asks where a segment's file is in the spool, and what for."""

FILES = {
    "vault/spool.py": "a segment of the spool, with a Grant",
    "vault/store/local.py": "an object, and a file that is put",
    "vault/store/memory.py": "a file that is put",
    "vault/store/s3.py": "a file that is put",
    "vault/segment/recover.py": "a file that it is given to close",
}
"""Who opens a local file as a source of bytes."""

_STORES = {"store", "_store", "waiting", "_waiting"}
_OURS = {"holder", "camera", "until_us", "authority"}
"""Fields that only a Grant has."""


def name_of(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield name_of(node.func), node


def takes_grant(function: ast.FunctionDef) -> bool:
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return any(isinstance(one.annotation, ast.Name) and one.annotation.id == "Grant" for one in arguments)


def holds_grant(owner: ast.ClassDef) -> bool:
    """A class that is made with one."""
    made = any(isinstance(item, ast.FunctionDef) and item.name == "__init__" and takes_grant(item) for item in owner.body)
    fields = any(
        isinstance(item, ast.AnnAssign) and isinstance(item.annotation, ast.Name) and item.annotation.id == "Grant"
        for item in owner.body
    )
    return made or fields


def readers_without(tree: ast.Module) -> Iterator[str]:
    """Functions that read footage and have no Grant: no parameter, none of their object, none of a visit, no system grant."""

    def walk(node: ast.AST, has: bool, where: str) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                yield from walk(child, has or holds_grant(child), child.name)
            elif isinstance(child, ast.FunctionDef):
                own = has or takes_grant(child) or any(
                    isinstance(item, ast.Attribute) and item.attr == "grants" for item in ast.walk(child)
                )  # fmt: skip
                yield from walk(child, own, f"{where}.{child.name}".lstrip("."))
            else:
                reads = isinstance(child, ast.Call) and name_of(child.func) in READERS and not has
                if reads and not any(name == "system_grant" for name, _ in calls(child)):
                    yield f"{where}: {ast.unparse(child)}"
                yield from walk(child, has, where)

    yield from walk(tree, False, "")


def makes_grants(tree: ast.AST) -> Iterator[int]:
    for name, call in calls(tree):
        copies = name == "replace" and {item.arg for item in call.keywords} & _OURS and "grant" in ast.unparse(call.args[0])
        if name == "Grant" or copies or (name == "__new__" and "Grant" in ast.unparse(call)):
            yield call.lineno


def opens_store(tree: ast.AST) -> bool:
    return any(
        name == "open" and isinstance(call.func, ast.Attribute) and name_of(call.func.value) in _STORES
        for name, call in calls(tree)
    )


TREES = {shown(path): ast.parse(path.read_text()) for path in source_files()}


def test_every_function_that_reads_footage_has_a_grant() -> None:
    found = {where: list(readers_without(tree)) for where, tree in TREES.items()}
    assert not {where: names for where, names in found.items() if names and where not in SYSTEM}


def defined(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Readers of footage that are defined here, and whether each takes a Grant."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in READERS:
            yield node.name, takes_grant(node)
        elif isinstance(node, ast.ClassDef) and node.name in READERS:
            yield node.name, holds_grant(node)


def test_every_reader_of_footage_that_we_define_takes_a_grant() -> None:
    found = {f"{where}: {name}": takes for where, tree in TREES.items() for name, takes in defined(tree)}
    assert len(found) >= len(READERS) - 1
    assert all(found.values()), found


def test_a_person_s_grant_is_made_by_the_decision_alone() -> None:
    makers = {where for where, tree in TREES.items() if any(makes_grants(tree))}
    assert makers == set(MAKERS)


def test_the_engine_s_own_grants_are_those_listed() -> None:
    found: dict[str, set[str]] = {}
    for where, tree in TREES.items():
        for name, call in calls(tree):
            if name == "system_grant":
                (part,) = call.args
                assert isinstance(part, ast.Constant), f"{where}:{call.lineno}: say its name"
                found.setdefault(where, set()).add(str(part.value))
    assert found == SYSTEM


@pytest.mark.parametrize(
    ("allowed", "does"),
    [
        (STORE_OPENERS, opens_store),
        (PATHS, lambda tree: any(name == "path_of" for name, _ in calls(tree))),
        (FILES, lambda tree: any(name == "FileSource" for name, _ in calls(tree))),
    ],
    ids=["objects of the store", "paths of the spool", "files"],
)
def test_ways_around_are_taken_only_where_it_is_no_footage_or_nobody_sees_it(allowed, does) -> None:  # type: ignore[no-untyped-def]
    found = {where for where, tree in TREES.items() if does(tree)}
    assert found <= set(allowed), found - set(allowed)


@pytest.mark.parametrize(
    ("code", "finds"),
    [
        ("def look(spool):\n spool.open_source(key)", True),
        ("def look(pool):\n with SourcePool(spool, store, made()) as pool:\n  pass", True),
        ("class Look:\n def go(self):\n  return self.footage.parts(a, b, c)", True),
        ("def look(spool, grant: Grant):\n spool.open_source(key, grant)", False),
        ("def look(spool, grant: Grant):\n def inner():\n  spool.open_source(key, grant)", False),
        ("class Look:\n grant: Grant\n def go(self):\n  return parts(self.grant, b, c)", False),
        ("def look(visit):\n return decode_apart(movie, form, visit.grants[7])", False),
        ("def check(spool):\n spool.open_source(key, system_grant('check'))", False),
    ],
)
def test_the_search_finds_readers_without_a_grant(code: str, finds: bool) -> None:
    assert bool(list(readers_without(ast.parse(code)))) == finds


@pytest.mark.parametrize(
    "code", ["Grant('x', Action.VIEW, None, EVER, None, ())", "replace(grant, camera=None)", "object.__new__(Grant)"]
)
def test_the_search_finds_each_way_to_make_a_grant(code: str) -> None:
    assert list(makes_grants(ast.parse(code)))


def test_a_grant_says_no_to_another_camera_and_to_what_is_outside_its_window() -> None:
    grant = Grant("9901-1", system_grant("x").action, CameraNumber(7), Interval(100, 200), None, ())
    grant.check(CameraNumber(7), Interval(100, 200))
    grant.check_segment(CameraNumber(7), Interval(50, 101))
    for wrong in (
        lambda: grant.check(CameraNumber(8), Interval(100, 200)),
        lambda: grant.check(CameraNumber(7), Interval(99, 200)),
        lambda: grant.check(CameraNumber(7), Interval(100, 201)),
        lambda: grant.check_segment(CameraNumber(7), Interval(50, 100)),
        lambda: grant.check_segment(CameraNumber(7), Interval(200, 201)),
        lambda: grant.check_camera(CameraNumber(8)),
    ):
        with pytest.raises(Refusal):
            wrong()
