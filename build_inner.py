"""Build hook of hatchling: compiles the inner loop with Cython where a C compiler is, and leaves it alone where none is.

`python build_inner.py` builds in place, as an editable install does. STREAMVAULT_PURE=1 compiles nothing, =0 makes a build
without a working compiler an error; unset, such a build yields the wheel `py3-none-any`, which runs the same source interpreted.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
MODULES = ("ingest.rtp.track", "ingest.rtp.video", "ingest.rtp.audio", "ingest.rtp.inner", "ingest.rtp.stretch")
"""Each is `name.py`, typed for C by `name.pxd`. A test holds this equal to `ingest.rtp.engine.COMPILED_MODULES`."""

DIRECTIVES = {
    "language_level": 3,
    # The sources check every bound themselves, since what they read is hostile in either form; the fuzzers run both.
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    # Types come from the .pxd alone; the annotations are mypy's.
    "annotation_typing": False,
}


def compile_modules(work: Path) -> dict[str, Path]:
    """Compiles MODULES below `work`: where each extension belongs in the tree (`ingest/rtp/x….so`), and where it is now.

    Raises whatever setuptools and Cython raise when there is no compiler or when it refuses.
    """
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    here = Path.cwd()
    os.chdir(ROOT)
    try:
        extensions = cythonize(
            [Extension(name, [name.replace(".", "/") + ".py"], extra_compile_args=["-O3", "-g0"]) for name in MODULES],
            build_dir=str(work / "c"),
            include_path=[str(ROOT)],
            compiler_directives=DIRECTIVES,
            quiet=True,
            force=True,
        )
        # Without `packages` setuptools would look for them itself and stumble over several at the top.
        command = build_ext(Distribution({"name": "streamvault-inner", "packages": [], "ext_modules": extensions}))
        command.build_lib, command.build_temp = str(work / "lib"), str(work / "temp")
        command.ensure_finalized()
        command.run()
        return {command.get_ext_filename(name): Path(command.get_ext_fullpath(name)).resolve() for name in MODULES}
    finally:
        os.chdir(here)


def place(built: dict[str, Path]) -> None:
    """Puts the extensions beside their sources; a running process keeps the ones it has mapped."""
    for name, path in built.items():
        target = ROOT / name
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(path, temporary)
        temporary.replace(target)


class CustomBuildHook(BuildHookInterface[Any]):
    """What hatchling calls before it packs a wheel; an sdist needs nothing of this."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        wanted = os.environ.get("STREAMVAULT_PURE", "")
        if self.target_name != "wheel" or wanted == "1":
            return
        self._work = Path(tempfile.mkdtemp(prefix="streamvault-inner-"))
        try:
            built = compile_modules(self._work)
        # Each platform's compiler module has errors of its own; whichever it is, the source runs as it stands.
        except (Exception, SystemExit) as error:
            if wanted == "0":
                raise
            self.app.display_warning(f"the inner loop stays interpreted, since it could not be compiled: {error}")
            return
        if version == "editable":
            place(built)
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"].update({str(path): name for name, path in built.items()})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if work := getattr(self, "_work", None):
            shutil.rmtree(work, ignore_errors=True)


def main() -> int:
    """Builds in place; exit code 1 when that is not possible."""
    with tempfile.TemporaryDirectory(prefix="streamvault-inner-") as work:
        built = compile_modules(Path(work))
        place(built)
    print(*sorted(built), sep="\n")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
