"""Short readable facts by which a run that goes on knows its data, tokenizer and template again."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmtune.data.files import Stream
from mmtune.data.sources import OpenedSource
from mmtune.encoding.chat_format import ChatFormat
from mmtune.encoding.store import TokenStore
from mmtune.training.tracking import write_json
from mmtune.workflows.dataset import Opened, hashes_by_source
from mmtune.workflows.terminal import reading_bar

_SHOWN = 12
_PIECE_BYTES = 1 << 22


def fingerprints(
    opened: Opened, fmt: ChatFormat, store: TokenStore | None, notes: Path
) -> dict[str, str]:
    """What a training run is made of, each thing by its name; equal where training is on the same.

        {"source alpaca": "22,061 samples, 3,211,004 tokens, sha256 ab12...",
         "tokenizer": "32,000 tokens, sha256 cd34...", "chat template": "own, sha256 ef56..."}

    A mixture is known by its law and its templates. `store` is the whole training set; where it is
    None (streaming) a mixture's cards are known by their examples, and sources by their files.
    These are read whole to be hashed, once: `notes`, a JSON file, keeps the hashes of files whose
    size and time of change stay as they are.
    """
    if store is None:
        sources = _by_files(opened, notes)
    else:
        sources = _by_samples(store)
    sources |= _of_mixture(opened, whole=store is not None)
    return sources | {"tokenizer": _tokenizer(fmt), "chat template": _template(fmt)}


def differences(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What changed between two `fingerprints`, one line each, in the order of `then`."""
    names = dict.fromkeys([*then, *now])
    return [
        _difference(name, then.get(name), now.get(name))
        for name in names
        if then.get(name) != now.get(name)
    ]


def _difference(name: str, then: str | None, now: str | None) -> str:
    if then is None:
        return f"{name}: was not there when the run began; now {now}"
    if now is None:
        return f"{name}: {then} when the run began; is not there now"
    return f"{name}: {then} when the run began; now {now}"


def _by_samples(store: TokenStore) -> dict[str, str]:
    found = {}
    for number, (name, digest) in enumerate(hashes_by_source(store).items()):
        mine = store.source_numbers == number
        tokens = int(store.lengths[mine].sum())
        samples = int(np.count_nonzero(mine))
        found[f"source {name}"] = f"{samples:,} samples, {tokens:,} tokens, sha256 {_short(digest)}"
    return found


def _of_mixture(opened: Opened, *, whole: bool) -> dict[str, str]:
    """Without its cards where the whole training set is known, which their rows are part of."""
    facts = opened.mixture.facts() if opened.mixture else {}
    return {name: fact for name, fact in facts.items() if not (whole and name.startswith("card "))}


def _by_files(opened: Opened, notes: Path) -> dict[str, str]:
    known = _read(notes)
    found = {source.name: _files(source, known) for source in opened.train}
    notes.parent.mkdir(parents=True, exist_ok=True)
    write_json(notes, known)
    return {f"source {name}": fact for name, fact in found.items()}


def _files(source: OpenedSource, known: dict[str, Any]) -> str:
    """`rows.jsonl, 12,345 bytes, sha256 ab12...`, or how many files there are and all their
    bytes; a set of the hub or the pocket has a name only."""
    streams = source.streams
    if any(stream.path is None for stream in streams):
        return ", ".join(stream.label for stream in streams)
    names = streams[0].label if len(streams) == 1 else f"{len(streams)} files"
    digest = hashlib.sha256()
    for stream in streams:
        digest.update(f"{stream.label}\0{_content(stream, known)}\0".encode())
    size = sum(stream.fingerprint()[1] for stream in streams)
    return f"{names}, {size:,} bytes, sha256 {_short(digest.hexdigest())}"


def _content(stream: Stream, known: dict[str, Any]) -> str:
    """sha256 of a stream's file, read anew where its size or its time of change is another."""
    assert stream.path is not None
    _, size, changed_ns = stream.fingerprint()
    key = str(stream.path.absolute())
    if key not in known or known[key][:2] != [size, changed_ns]:
        known[key] = [size, changed_ns, _sha256(stream.path, size)]
    return str(known[key][2])


def _sha256(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file, reading_bar(path.name, size) as bar:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
            bar.update(len(piece))
    return digest.hexdigest()


def _read(notes: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(notes.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found


def _tokenizer(fmt: ChatFormat) -> str:
    """Of all that makes text into ids: not of padding and truncation, which calls leave behind
    in a fast tokenizer, and which come before its added tokens."""
    backend = fmt.tokenizer.backend_tokenizer
    _, start, rest = backend.to_str().partition('"added_tokens"')
    return f"{backend.get_vocab_size():,} tokens, sha256 {_short_of(start + rest)}"


def _template(fmt: ChatFormat) -> str:
    return f"{fmt.kind}, sha256 {_short_of(str(fmt.tokenizer.chat_template))}"


def _short_of(text: str) -> str:
    return _short(hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest())


def _short(digest: str) -> str:
    return digest[:_SHOWN]
