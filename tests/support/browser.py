"""Headless Chromium as a judge of our media: one start a test module, jobs handed to a page by a loopback server.

The page reads the number painted into a picture (`tests.support.numbered`) from its pixels. What is expected belongs to the tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.tools import need

_PAGE = """<!doctype html><meta charset="utf-8"><body><script>
const BITS = 10;
const canvas = document.createElement("canvas");
canvas.width = 160; canvas.height = 96;
const context = canvas.getContext("2d", {willReadFrequently: true});
function numberOf(video) {
  context.drawImage(video, 0, 0, canvas.width, canvas.height);
  const luma = (x, y) => context.getImageData(x, y, 1, 1).data[1] > 128;
  let number = 0;
  for (let bit = 0; bit < BITS; bit++) {
    const x = Math.floor((bit + 0.5) * canvas.width / BITS);
    const on = luma(x, 24);
    if (on === luma(x, 72)) return -1;
    if (on) number += 1 << bit;
  }
  return number;
}
const event = (target, name) => new Promise((good, bad) => {
  target.addEventListener(name, good, {once: true});
  if (target.tagName) target.addEventListener("error", () => bad(new Error(
    name + ": " + (target.error ? target.error.code + " " + target.error.message : "error"))), {once: true});
});
async function settled(promise, ms, what) {
  return Promise.race([promise, new Promise((_, bad) => setTimeout(() => bad(new Error("no " + what)), ms))]);
}
async function play(video, rate) {
  // Every picture that playback presents, with the time the player gives it.
  const seen = [];
  let going = true;
  const note = (_, data) => {
    seen.push([numberOf(video), data.mediaTime]);
    if (going) video.requestVideoFrameCallback(note);
  };
  video.requestVideoFrameCallback(note);
  video.playbackRate = rate;
  const ended = event(video, "ended");
  await video.play();
  await settled(ended, 40000, "end of playback at " + video.currentTime);
  going = false;
  return seen;
}
async function seek(video, times) {
  const seen = [];
  for (const time of times) {
    const presented = new Promise(good => video.requestVideoFrameCallback(good));
    const sought = event(video, "seeked");
    video.currentTime = time;
    await settled(sought, 15000, "seek to " + time);
    await Promise.race([presented, new Promise(good => setTimeout(good, 300))]);
    seen.push(numberOf(video));
  }
  return seen;
}
async function feed(video, job) {
  const media = new MediaSource();
  video.src = URL.createObjectURL(media);
  await event(media, "sourceopen");
  const buffer = media.addSourceBuffer(job.mime);
  for (const url of job.segments) {
    const data = await (await fetch(url)).arrayBuffer();
    buffer.appendBuffer(data);
    await event(buffer, "updateend");
    if (video.error) throw new Error("after " + url + ": " + video.error.message);
  }
  const ranges = [];
  for (let i = 0; i < buffer.buffered.length; i++) ranges.push([buffer.buffered.start(i), buffer.buffered.end(i)]);
  media.endOfStream();
  return ranges;
}
async function run(job) {
  const video = document.createElement("video");
  video.muted = true;
  document.body.append(video);
  const out = {};
  try {
    if (job.segments) out.buffered = await feed(video, job); else video.src = job.url;
    if (video.readyState < 2) await settled(event(video, "loadeddata"), 15000, "first picture");
    out.duration = video.duration;
    out.size = [video.videoWidth, video.videoHeight];
    if (job.seeks) out.sought = await seek(video, job.seeks);
    if (job.rate) {
      if (job.seeks) await seek(video, [0]);
      out.played = await play(video, job.rate);
    }
    out.audio_bytes = video.webkitAudioDecodedByteCount;
  } catch (error) { out.error = String(error); }
  video.removeAttribute("src"); video.load(); video.remove();
  return out;
}
(async () => {
  for (;;) {
    const answer = await fetch("/job");
    if (answer.status !== 200) continue;
    const job = await answer.json();
    await fetch("/result", {method: "POST", body: JSON.stringify(await run(job))});
  }
})();
</script>"""


class Browser:
    """Chromium with the page open. `serve` makes bytes reachable, `run` hands a job to the page and waits for its answer."""

    def __init__(self) -> None:
        self._jobs: queue.Queue[dict[str, Any]] = queue.Queue()
        self._results: queue.Queue[dict[str, Any]] = queue.Queue()
        self._files: dict[str, tuple[bytes, str]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def serve(self, name: str, data: bytes, kind: str = "video/mp4") -> str:
        self._files[f"/{name}"] = (data, kind)
        return f"/{name}"

    def run(self, **job: Any) -> dict[str, Any]:
        self._jobs.put(job)
        return self._results.get(timeout=90)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        browser = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/":
                    return self._send(200, _PAGE.encode(), "text/html")
                if self.path == "/job":
                    try:
                        return self._send(200, json.dumps(browser._jobs.get(timeout=5)).encode(), "application/json")
                    except queue.Empty:
                        return self._send(204, b"", "text/plain")
                if self.path not in browser._files:
                    return self._send(404, b"", "text/plain")
                data, kind = browser._files[self.path]
                asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
                if not asked:
                    return self._send(200, data, kind)
                first, last = int(asked[1]), min(int(asked[2] or len(data) - 1), len(data) - 1)
                return self._send(206, data[first : last + 1], kind, f"bytes {first}-{last}/{len(data)}")

            def do_POST(self) -> None:
                browser._results.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self._send(204, b"", "text/plain")

            def _send(self, status: int, data: bytes, kind: str, content_range: str = "") -> None:
                # The player hangs up as soon as it has what it wants.
                with contextlib.suppress(ConnectionError):
                    self.send_response(status)
                    self.send_header("Content-Type", kind)
                    self.send_header("Accept-Ranges", "bytes")
                    if content_range:
                        self.send_header("Content-Range", content_range)
                    if status != 204:
                        self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextlib.contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """A running browser; it ends with the block. Skips where Chromium is not installed."""
    program = need("chromium")
    browser = Browser()
    options = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync "
        "--disable-component-update --disable-dev-shm-usage --autoplay-policy=no-user-gesture-required --mute-audio "
        f"--user-data-dir={folder}"
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, *options.split(), browser.url],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield browser
        finally:
            # The whole group: the wrapper script, the browser and its helpers.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
            browser.close()


def shown(folder: Path, page: Path, *options: str) -> bytes:
    """What one run of Chromium makes of a local page: its standard output, as with `--dump-dom`."""
    program = need("chromium")
    fixed = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync --disable-dev-shm-usage"
    words = [program, *fixed.split(), f"--user-data-dir={folder}", *options, page.as_uri()]
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60).stdout
