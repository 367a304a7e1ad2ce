"""Commands that receive from cameras or play one: `camera probe`, `simulate rtsp`; `demo` is in `access/begin_cli.py`, `serve` in `access/serve.py`.

What they run is in the modules they import.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from index.camera_cli import camera, credential_options, given_credentials
from vault.console import (
    Session,
    json_option,
    pass_session,
    plain,
    print_json,
    stop_on_signals,
)
from vault.errors import UsageError

if TYPE_CHECKING:
    from ingest.rtsp.handshake import TransportChoice
    from ingest.simulate.run import Simulator

_BITRATE_UNITS = {"k": 1_000, "M": 1_000_000}


def inner_loop() -> str:
    """Which form of the per-packet code runs: `compiled` or `interpreted`."""
    from ingest.rtp.engine import inner_kind

    return inner_kind()


def bitrate(text: str) -> int:
    """`4M`, `512k` or bits a second. Raises UsageError."""
    number, unit = (text[:-1], text[-1:]) if text[-1:] in _BITRATE_UNITS else (text, "")
    try:
        return int(float(number) * _BITRATE_UNITS.get(unit, 1))
    except (ValueError, OverflowError):
        raise UsageError(f"{text[:20]!r} is not a bit rate: write 4M, 512k or bits a second") from None


@camera.command("probe")
@click.argument("url")
@click.option(
    "--transport", type=click.Choice(["auto", "tcp", "udp"]), default="auto", show_default=True, help="How RTP is carried."
)
@click.option("--seconds", type=click.FloatRange(0.5, 120), default=3.0, show_default=True, help="How long to listen.")
@credential_options
@json_option
@pass_session
def probe(
    session: Session, url: str, transport: str, seconds: float, credentials_file: Path | None, ask: bool, from_stdin: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Connect to a camera and tell what it offers and whether it can be recorded.

    Needs no data folder and stores nothing. Exit code 6 when the camera cannot be recorded.
    """
    from index.credentials import address_of, with_credentials
    from ingest.offer import offer
    from ingest.probe import notes
    from ingest.probe import probe as listen
    from ingest.shown import probed_as_json, show_offer, show_probed
    from vault.errors import SourceRefused
    from vault.secrets import split_url

    credentials = given_credentials(credentials_file, ask, from_stdin)
    recording = session.config().recording
    url = address_of(url)
    address = split_url(with_credentials(url, *credentials) if credentials else url)
    offered = None
    if address.url.lower().startswith(("rtsp://", "rtsps://")):
        offered = offer(address, cast("TransportChoice", transport), recording, session.clock)
        if not as_json:
            show_offer(offered)
        if offered.problem:
            raise SourceRefused(offered.problem)
    found = listen(address, transport, recording, session.clock, seconds)
    if as_json:
        print_json(probed_as_json(found, offered) | {"notes": list(notes(found))})
    else:
        show_probed(found)
        for note in notes(found):
            click.echo(plain(note))
    if not found.recordable:
        raise SourceRefused("this camera cannot be recorded as it is")


@click.group()
def simulate() -> None:
    """Cameras that are not there, to try things and to size a machine with."""


@simulate.command("rtsp")
@click.option("--cameras", type=click.IntRange(1, 4096), default=1, show_default=True, help="How many.")
@click.option("--bitrate", "bits", default="4M", show_default=True, help="Of the picture: 4M, 512k.")
@click.option("--port", type=click.IntRange(0, 65535), default=8554, show_default=True, help="TCP port; 0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--codec", type=click.Choice(["h264", "h265"]), default="h264", show_default=True, help="Of the picture.")
@click.option("--audio", type=click.Choice(["none", "aac", "alaw", "ulaw"]), default="none", show_default=True, help="Sound.")
@click.option("--size", default="1920x1080", show_default=True, help="Of the picture.")
@click.option("--fps", type=click.IntRange(1, 120), default=25, show_default=True, help="Pictures a second.")
@click.option(
    "--gop", type=click.IntRange(1, 14400), default=50, show_default=True, help="Pictures from key frame to key frame."
)
@click.option("--udp", is_flag=True, help="Offer UDP only; without it the client chooses.")
@click.option(
    "--auth", type=click.Choice(["none", "basic", "md5", "sha256"]), default="none", show_default=True, help="Ask for it."
)
@click.option(
    "--credentials-file", type=click.Path(path_type=Path, dir_okay=False), help="One line USER:PASSWORD that --auth asks for."
)
@click.option("--misbehave", "faults", multiple=True, metavar="KIND[:OPTION=VALUE,…]", help="Do something wrong; see below.")
@pass_session
def rtsp(
    session: Session, cameras: int, bits: str, port: int, host: str, codec: str, audio: str, size: str, fps: int, gop: int,
    udp: bool, auth: str, credentials_file: Path | None, faults: tuple[str, ...],
) -> None:  # fmt: skip
    """Serve simulated cameras at rtsp://HOST:PORT/cam/1 and on, until stopped.

    They play a loop that is encoded once and then kept in the cache of the user.

    \b
    --misbehave may be given several times, such as
      drop:rate=1%              stall:after=10,for=5,every=60
      jump:by=3600,after=20     close:after=30,cameras=1-3+7
    """
    from ingest.simulate.gate import Scheme
    from ingest.simulate.loop import LoopSpec
    from ingest.simulate.misbehave import parse_misbehaviour
    from ingest.simulate.run import Carriage, SimulatorOptions, run_simulator
    from vault.media import Codec

    width, _, height = size.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise UsageError(f"{size[:20]!r} is not a size: write 1920x1080")
    credentials = given_credentials(credentials_file, ask=False, from_stdin=False)
    if auth != "none" and credentials is None:
        raise UsageError("--auth needs --credentials-file")
    options = SimulatorOptions(
        cameras=cameras,
        spec=LoopSpec(
            codec=Codec(codec), width=int(width), height=int(height), fps=fps, bitrate=bitrate(bits), gop=gop,
            seconds=max(4, -(-gop // fps)), audio=None if audio == "none" else Codec(audio),
        ),
        host=host,
        port=port,
        carriage=Carriage.UDP if udp else Carriage.BOTH,
        auth=None if auth == "none" else Scheme(auth),
        user=credentials[0] if credentials else "",
        password=credentials[1] if credentials else "",
        misbehave=tuple(parse_misbehaviour(text) for text in faults),
    )  # fmt: skip
    with stop_on_signals() as stop:
        run_simulator(options, stop, _say_addresses, _encoding(session))


def _say_addresses(simulator: Simulator) -> None:
    urls = simulator.urls
    for url in urls if len(urls) <= 8 else [urls[0], "…", urls[-1]]:
        click.echo(url)


def _encoding(session: Session) -> Callable[[float], None]:
    """Tells how far the encoding of a loop is, to a terminal."""
    from vault.console import Progress, is_terminal

    line = Progress("encoding", 100, session.clock if is_terminal() else None)
    done = 0

    def tell(part: float) -> None:
        nonlocal done
        now = int(part * 100)
        line.advance(now - done)
        done = now
        if part >= 1:
            line.finish()

    return tell


COMMANDS: tuple[click.Command, ...] = (simulate,)
