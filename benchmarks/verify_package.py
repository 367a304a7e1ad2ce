"""Verifying a package beside `sha256sum` of the same bytes, both in one run, the bytes in the page cache.

    python benchmarks/verify_package.py --megabytes 2000

The package is sealed as an export seals it; its media are random bytes. A folder is hashed by as many threads as there are cores,
so `sha256sum` is measured as one process over all files and as one process a core. Nothing of the project is needed to run
`verify.py`, and nothing of it is measured but that.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from access.package.container import Form, deliver
from tests.support.packages import Installation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000, help="of media, half of it in each of two files")
    parser.add_argument("--folder", help="where to put the package  [default: the folder for temporary files]")
    parser.add_argument("--rounds", type=int, default=3)
    call = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=call.folder) as scratch:
        half = os.urandom(1 << 20) * (call.megabytes // 2)
        package = Installation(Path(scratch) / "installation").export(media={7: half, 8: half[: len(half) - 1]})
        del half
        tar = deliver(package, Path(scratch) / "x.tar", Form.TAR).path
        enc = deliver(package, Path(scratch) / "x.tar.enc", Form.ENCRYPTED, "a password of some length").path
        files = sorted(str(path) for path in package.rglob("*") if path.is_file())
        verifier = [sys.executable, "-I", "-S", str(package / "verify.py")]
        runs = {
            "sha256sum, the files": ["sha256sum", *files],
            "sha256sum, one process a core": ["xargs", "-P", str(os.cpu_count()), "-n", "1"],
            "verify.py, the folder": [*verifier, str(package)],
            "sha256sum, the .tar": ["sha256sum", str(tar)],
            "openssl dgst, the .tar": ["openssl", "dgst", "-sha256", str(tar)],
            "verify.py, the .tar": [*verifier, str(tar)],
            "verify.py, encrypted": [*verifier, str(enc)],
        }
        best = {name: min(seconds(call_, files) for _ in range(call.rounds)) for name, call_ in runs.items()}
        size = sum(os.path.getsize(path) for path in files)
        print(f"{size / 1e6:,.0f} MB, {os.cpu_count()} cores, {sys.version.split()[0]}")
        for name, taken in best.items():
            print(f"{name:32} {taken:7.2f} s {size / 1e6 / taken:9,.0f} MB/s")
        print(f"folder: {best['sha256sum, the files'] / best['verify.py, the folder']:.2f} × sha256sum")
        print(
            f"folder: {best['sha256sum, one process a core'] / best['verify.py, the folder']:.2f} × sha256sum, one process a core"
        )
        print(f".tar:   {best['sha256sum, the .tar'] / best['verify.py, the .tar']:.2f} × sha256sum")
        print(f".tar:   {best['openssl dgst, the .tar'] / best['verify.py, the .tar']:.2f} × openssl dgst")
        for name, path in (("folder", package), (".tar", tar)):
            print(f"{name}: peak of its memory {peak_kib(package / 'verify.py', path) / 1024:.0f} MiB")


def peak_kib(verifier: Path, package: Path) -> int:
    """What the process itself says at its end; the kernel's count of children begins with what their parent had."""
    code = (
        "import runpy, sys; sys.argv[:1] = []\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"
    )
    call = [sys.executable, "-I", "-S", "-c", code, str(verifier), str(package)]
    return int(subprocess.run(call, capture_output=True, text=True, check=True).stdout.split()[-1])


def seconds(call: Sequence[str], files: Sequence[str]) -> float:
    environ = {"PATH": os.defpath, "STREAMVAULT_PACKAGE_PASSWORD": "a password of some length"}
    begin = time.perf_counter()
    if call[0] == "xargs":
        text = "\0".join(files).encode()
        run = subprocess.run([*call, "-0", "sha256sum"], input=text, env=environ, stdout=subprocess.DEVNULL, check=False)
    else:
        run = subprocess.run(call, env=environ, stdout=subprocess.DEVNULL, check=False)
    taken = time.perf_counter() - begin
    if run.returncode:
        raise SystemExit(f"{call[0]} ended with {run.returncode}")
    return taken


if __name__ == "__main__":
    main()
