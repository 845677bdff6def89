#!/usr/bin/env python3
"""Checks a receipt or an export of a Coherency Ledger: an independent verifier, written from docs/evidence.md alone.

    verify.py receipt FILE --key VKEY [--key VKEY]
    verify.py export FOLDER --key VKEY [--seen CHECKPOINT]

It needs Python 3.9 and the package `cryptography`, and nothing of the ledger: no server, no database, none of its
code. Exit status: 0 everything holds; 1 something does not, and the output says what and, where it can be told, at which
position; 2 the command line is wrong.
"""

import argparse
import base64
import binascii
import hashlib
import json
import os
import re
import sys
import uuid
from datetime import datetime, timedelta, timezone

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MAX_SIZE = 2**53 - 1
MAX_NOTE = 64 * 1024
MAX_COMPACT = 65_535
MAX_STATEMENT = 48_000
MAX_HEADER = 256
MAX_EVENTS = 4096
MAX_KEYS = 1024
MAX_PAYLOAD = 1024 * 1024
OVERHEAD = 12 + 32 + 16
MAX_SYSTEM_PAYLOAD = 16 * 1024
ABSENT = 0xFFFFFFFF
CLOCK_TOLERANCE = timedelta(seconds=60)


class Wrong(Exception):
    """Something does not hold; at a position where that can be told."""

    def __init__(self, what, position=None):
        super().__init__(what if position is None else f"position {position}: {what}")
        self.position = position


def need(holds, what, position=None):
    if not holds:
        raise Wrong(what, position)


# --- Encodings: one text for each value -------------------------------------------------------------------------


def from_base64(text):
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Wrong("not base64") from None
    need(base64.b64encode(raw).decode() == text, "base64 with stray bits")
    return raw


def base64url(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def from_base64url(text):
    need(re.fullmatch(r"[A-Za-z0-9_-]*", text) is not None, "not base64url")
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise Wrong("not base64url") from None
    need(base64url(raw) == text, "base64url with stray bits")
    return raw


def from_decimal(text):
    need(re.fullmatch(r"0|[1-9][0-9]{0,15}", text) is not None, "not a plain decimal number")
    need(int(text) <= MAX_SIZE, "a number beyond 2^53 - 1")
    return int(text)


def from_json(raw):
    """JSON without members given twice, and without what is no JSON (NaN)."""

    def members(pairs):
        need(len({name for name, _ in pairs}) == len(pairs), "a member of an object is given twice")
        return dict(pairs)

    def constant(name):
        raise Wrong(f"{name} is no JSON")

    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        return json.loads(text, object_pairs_hook=members, parse_constant=constant)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise Wrong("not JSON") from None


def has_type(value, kind):
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def exactly(value, names, what):
    need(isinstance(value, dict) and set(value) == set(names), f"{what} has other members than it must")


# --- Ed25519, strictly ------------------------------------------------------------------------------------------

P = 2**255 - 19
# The y coordinates of the points of small order.
SMALL_ORDER = {
    0,
    1,
    P - 1,
    int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
    int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
}


def is_strong_point(raw):
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    return y < P and y not in SMALL_ORDER


def holds_strictly(key, message, signature):
    # The library checks the equation without the cofactor and that the scalar is reduced; points that are not
    # canonical or of small order are left to the caller.
    if len(key) != 32 or len(signature) != 64:
        return False
    if not (is_strong_point(key) and is_strong_point(signature[:32])):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def thumbprint(key):
    members = '{"crv":"Ed25519","kty":"OKP","x":"%s"}' % base64url(key)
    return base64url(hashlib.sha256(members.encode()).digest())


def from_jwk(jwk):
    need(isinstance(jwk, dict) and {"kty", "crv", "x"} <= set(jwk) <= {"kty", "crv", "x", "kid"}, "not a JWK")
    need(jwk["kty"] == "OKP" and jwk["crv"] == "Ed25519" and has_type(jwk["x"], str), "not an Ed25519 JWK")
    key = from_base64url(jwk["x"])
    need(len(key) == 32 and is_strong_point(key), "the JWK's key cannot be used")
    need(jwk.get("kid", thumbprint(key)) == thumbprint(key), "the JWK's kid is not its thumbprint")
    return key


# --- The tree (RFC 9162, SHA-256) -------------------------------------------------------------------------------


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def leaf_hash(data):
    return sha256(b"\x00", data)


def node_hash(left, right):
    return sha256(b"\x01", left, right)


def verify_inclusion(leaf, index, size, proof, root):
    """RFC 9162, 2.1.3.2."""
    if index >= size:
        return False
    node, last, hashed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            hashed = node_hash(sibling, hashed)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            hashed = node_hash(hashed, sibling)
        node >>= 1
        last >>= 1
    return last == 0 and hashed == root


class Tree:
    """The right edge of a growing tree, and the tiles it fills: for each level the hashes of the begun tile."""

    def __init__(self):
        self.size = 0
        self.edge = []  # (height, hash), the highest first
        self.levels = []

    def push(self, leaf):
        """Appends a leaf; gives back the tiles that are complete with it, as (level, index, hashes)."""
        height, hashed = 0, leaf
        while self.edge and self.edge[-1][0] == height:
            hashed = node_hash(self.edge.pop()[1], hashed)
            height += 1
        self.edge.append((height, hashed))
        self.size += 1
        complete, level, carried, count = [], 0, leaf, self.size
        while carried is not None:
            if level == len(self.levels):
                self.levels.append([])
            self.levels[level].append(carried)
            carried = None
            if len(self.levels[level]) == 256:
                count //= 256
                hashes, self.levels[level] = self.levels[level], []
                complete.append((level, count - 1, hashes))
                carried = perfect_root(hashes)
                level += 1
        return complete

    def root(self):
        if not self.edge:
            return sha256(b"")
        hashed = self.edge[-1][1]
        for _, left in reversed(self.edge[:-1]):
            hashed = node_hash(left, hashed)
        return hashed


def perfect_root(hashes):
    while len(hashes) > 1:
        hashes = [node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]


# --- Notes and checkpoints --------------------------------------------------------------------------------------


def is_key_name(name):
    plain = not any(c.isspace() or c == "+" or ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in name)
    return 1 <= len(name.encode()) <= 255 and plain


def key_id(name, algorithm, key):
    return sha256(name.encode(), b"\n", bytes([algorithm]), key)[:4]


class Key:
    """A verifier key of a log: a name and an Ed25519 key."""

    def __init__(self, name, key):
        need(is_key_name(name) and len(key) == 32 and is_strong_point(key), "the key cannot be used")
        self.name, self.key, self.id = name, key, key_id(name, 0x01, key)

    @staticmethod
    def parse(vkey):
        parts = vkey.strip().split("+", 2)
        need(len(parts) == 3, "a verifier key is name+id+key")
        raw = from_base64(parts[2])
        need(len(raw) == 33 and raw[0] == 0x01, "not an Ed25519 verifier key")
        key = Key(parts[0], raw[1:])
        need(parts[1] == key.id.hex(), "the verifier key's id does not belong to its key")
        return key


class Checkpoint:
    def __init__(self, note):
        self.note = note
        need(len(note.encode()) <= MAX_NOTE, "the note is too long")
        need(not any(c != "\n" and (ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0) for c in note), "a control character in the note")
        body, separator, signatures = note.rpartition("\n\n")
        need(separator and signatures.endswith("\n"), "the note has no signature lines")
        self.text = body + "\n"
        lines = body.split("\n")
        need(len(lines) == 3, "a checkpoint is origin, size and root")
        self.origin, self.size, self.root = lines[0], from_decimal(lines[1]), from_base64(lines[2])
        need(is_key_name(self.origin) and len(self.root) == 32, "the checkpoint's origin or root is malformed")
        self.signatures = []
        for line in signatures[:-1].split("\n"):
            parts = line.split(" ")
            need(len(parts) == 3 and parts[0] == "\u2014" and is_key_name(parts[1]), "a signature line is malformed")
            raw = from_base64(parts[2])
            need(len(raw) > 4, "a signature is too short")
            self.signatures.append((parts[1], raw[:4], raw[4:]))
        need(len(self.signatures) <= 100, "too many signatures")

    def signers(self, keys):
        """The known keys that signed. A wrong signature by a known key refuses the note."""
        signed = []
        for name, identity, signature in self.signatures:
            for key in keys:
                if (key.name, key.id) == (name, identity):
                    need(holds_strictly(key.key, self.text.encode(), signature), f"the signature by {name} is wrong")
                    need(key not in signed, "one key signed twice")
                    signed.append(key)
        need(any(key.name == self.origin for key in signed), "the checkpoint is not signed by a key that counts")
        return signed


# --- Events -----------------------------------------------------------------------------------------------------


def is_name(value):
    return has_type(value, str) and re.fullmatch(r"[\x21-\x7e]{1,128}", value) is not None


def is_uuid(value):
    return has_type(value, str) and re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value) is not None


def is_digest(value):
    return has_type(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None


def is_size(value):
    return has_type(value, int) and 0 <= value < 2**64


STATEMENT = {
    "format": lambda v: v == "coherency-event/v1",
    "origin": lambda v: has_type(v, str) and is_key_name(v),
    "event_id": is_uuid,
    "stream_type": is_name,
    "stream_id": is_uuid,
    "sequence": lambda v: has_type(v, int) and 1 <= v <= MAX_SIZE,
    "event_type": is_name,
    "event_version": is_name,
    "subject": lambda v: v is None or is_uuid(v),
    "actor": lambda v: isinstance(v, dict),
    "purpose": is_name,
    "command_id": is_uuid,
    "correlation_id": is_uuid,
    "recorded_at": lambda v: has_type(v, str),
    "payload": lambda v: isinstance(v, dict),
    "media": lambda v: isinstance(v, list) and len(v) <= 128,
    "actor_signature": lambda v: v is None or (has_type(v, str) and len(v.encode()) <= 8192),
}


def read_statement(raw):
    need(len(raw) <= MAX_STATEMENT, "the statement is too long")
    statement = from_json(raw)
    exactly(statement, STATEMENT, "the statement")
    for name, is_valid in STATEMENT.items():
        need(is_valid(statement[name]), f"the statement's {name} is not valid")
    actor, payload = statement["actor"], statement["payload"]
    exactly(actor, ["id", "kind", "role"], "the actor")
    need(is_uuid(actor["id"]) and is_name(actor["kind"]) and is_name(actor["role"]), "the actor is not valid")
    exactly(payload, ["sha256", "size", "encryption", "key_id", "commitment"], "the payload")
    need(is_digest(payload["sha256"]) and is_size(payload["size"]), "the payload's digest or size is not valid")
    sealed = is_uuid(payload["key_id"]) and is_digest(payload["commitment"])
    clear = payload["key_id"] is None and payload["commitment"] is None
    fits = {"A256GCM": sealed, "none": clear}.get(payload["encryption"], False) if has_type(payload["encryption"], str) else False
    need(fits, "the payload's encryption, key and commitment do not fit together")
    for media in statement["media"]:
        exactly(media, ["sha256", "size", "media_type"], "a file")
        need(is_digest(media["sha256"]) and is_size(media["size"]) and is_name(media["media_type"]), "a file is not valid")
    statement["time"] = read_time(statement["recorded_at"])
    return statement


def read_time(text):
    need(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text, re.ASCII) is not None, "the time is not in UTC with six digits")
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    except ValueError:
        raise Wrong("there is no such time") from None


class Event:
    """A compact JWS, taken apart."""

    def __init__(self, compact):
        need(len(compact) <= MAX_COMPACT, "the JWS is too long")
        parts = compact.split(".")
        need(len(parts) == 3, "a compact JWS has three parts")
        self.leaf = leaf_hash(compact.encode())
        self.signed = f"{parts[0]}.{parts[1]}".encode()
        header, raw, self.signature = (from_base64url(part) for part in parts)
        found = re.fullmatch(rb'\{"alg":"EdDSA","kid":"([A-Za-z0-9_-]{43})","typ":"coherency-event\+jws"\}', header)
        need(len(header) <= MAX_HEADER and found is not None, "the header is not that of a signed event")
        need(len(self.signature) == 64, "the signature has not 64 bytes")
        self.kid = found.group(1).decode()
        self.statement = read_statement(raw)

    def verify(self, key):
        need(holds_strictly(key, self.signed, self.signature), "the signature does not hold")


# --- A receipt --------------------------------------------------------------------------------------------------

RECEIPT = ["command_id", "stream_type", "stream_id", "version", "position", "events", "checkpoint", "replayed"]


def verify_receipt(receipt, keys):
    exactly(receipt, RECEIPT, "the receipt")
    need(is_uuid(receipt["command_id"]) and is_uuid(receipt["stream_id"]), "an id of the receipt is none")
    need(has_type(receipt["stream_type"], str) and has_type(receipt["replayed"], bool), "the receipt is malformed")
    need(has_type(receipt["version"], int) and has_type(receipt["checkpoint"], str), "the receipt is malformed")
    need(isinstance(receipt["events"], list) and len(receipt["events"]) <= MAX_EVENTS, "the receipt has no list of events")
    checkpoint = Checkpoint(receipt["checkpoint"])
    checkpoint.signers(keys)
    known = {thumbprint(key.key): key.key for key in keys if key.name == checkpoint.origin}
    last, last_position = None, None
    for event in receipt["events"]:
        exactly(event, ["position", "event_id", "event_type", "jws", "proof"], "an event of the receipt")
        position = event["position"]
        need(has_type(position, int) and 0 <= position < MAX_SIZE, "a position is none")
        need(last_position is None or position == last_position + 1, "the positions are not consecutive", position)
        need(has_type(event["jws"], str) and isinstance(event["proof"], list), "the event is malformed", position)
        try:
            signed = Event(event["jws"])
            proof = [from_base64(hashed) for hashed in event["proof"] if has_type(hashed, str)]
            need(len(proof) == len(event["proof"]) and all(len(hashed) == 32 for hashed in proof), "the proof is malformed")
            held = verify_inclusion(signed.leaf, position, checkpoint.size, proof, checkpoint.root)
            need(held, "the event is not in the log of the checkpoint")
            need(signed.kid in known, f"signed by the key {signed.kid}, which is not trusted here")
            signed.verify(known[signed.kid])
            last = signed.statement
            need(last["origin"] == checkpoint.origin, "the statement is of another log")
            for member in ("event_id", "event_type"):
                need(event[member] == last[member], f"the receipt's {member} is not what was signed")
            need(receipt["command_id"] == last["command_id"], "the receipt's command_id is not what was signed")
        except Wrong as wrong:
            raise wrong if wrong.position is not None else Wrong(str(wrong), position) from None
        last_position = position
    need(receipt["position"] == last_position, "the receipt's position is not that of its last event")
    if last is not None:
        for member in ("stream_type", "stream_id"):
            need(receipt[member] == last[member], f"the receipt's {member} is not what was signed")
        need(receipt["version"] == last["sequence"], "the receipt's version is not what was signed")
    return checkpoint


# --- An export --------------------------------------------------------------------------------------------------


def tile_path(kind, index, width):
    groups = ["%03d" % (index % 1000)]
    while index >= 1000:
        index //= 1000
        groups.insert(0, "x%03d" % (index % 1000))
    path = f"{kind}/" + "/".join(groups)
    return path if width == 256 else f"{path}.p/{width}"


class Keyring:
    """Which key counts at which position, from the log's own events."""

    def __init__(self, origin):
        self.origin = origin
        digest = bytearray(sha256(b"coherency/ledger-stream/v1\n", origin.encode())[:16])
        digest[6] = digest[6] & 0x0F | 0x80
        digest[8] = digest[8] & 0x3F | 0x80
        self.stream_id = str(uuid.UUID(bytes=bytes(digest)))
        self.periods = []  # [key, kid, from, until]

    def active(self, kid, position):
        for key, known, first, until in self.periods:
            if known == kid:
                need(position >= first, f"the key {kid} is active only from position {first}")
                need(until is None or position <= until, f"the key {kid} was retired at position {until}")
                return key
        raise Wrong(f"the key {kid} is not one of this log's")

    def verifiers(self, size):
        return [Key(self.origin, key) for key, _, first, until in self.periods
                if first <= size - 1 and (until is None or size - 1 <= until)]

    def begin(self, statement, payload):
        """Position 0. Its signature is checked with the key it names."""
        need(statement["stream_type"] == "ledger" and statement["sequence"] == 1, "position 0 is not the genesis")
        need(statement["event_type"] == "LedgerCreated", "position 0 is not the genesis")
        body = self.read(statement, payload, ["origin", "format", "jwk"])
        need(body["origin"] == self.origin == statement["origin"], "the genesis is that of another log")
        need(body["format"] == "coherency-ledger/v1", "the log has a format that is not known")
        key = from_jwk(body["jwk"])
        self.periods.append([key, thumbprint(key), 0, None])

    def read(self, statement, payload, members):
        need(statement["stream_id"] == self.stream_id, "the stream's id does not belong to the origin")
        need(statement["event_version"] == "1", "the version of this event is not known")
        need(len(payload) <= MAX_SYSTEM_PAYLOAD, "the payload is too long")
        body = from_json(payload)
        exactly(body, members, "the payload")
        return body

    def apply(self, position, statement, payload):
        """A later event of stream type `ledger`, whose signature holds."""
        need(statement["stream_id"] == self.stream_id, "the stream's id does not belong to the origin")
        need(statement["payload"]["encryption"] == "none", "the payload is not in the clear")
        kind = statement["event_type"]
        need(kind != "LedgerCreated", "a second genesis")
        if kind == "KeyActivated":
            key = from_jwk(self.read(statement, payload, ["jwk"])["jwk"])
            need(all(key != known for known, *_ in self.periods), "the key was activated before")
            need(len(self.periods) < MAX_KEYS, "the log has too many keys")
            self.periods.append([key, thumbprint(key), position + 1, None])
        elif kind == "KeyRetired":
            kid = self.read(statement, payload, ["kid", "reason"])["kid"]
            self.active(kid, position)
            need(sum(until is None for *_, until in self.periods) >= 2, "the last active key cannot be retired")
            for period in self.periods:
                if period[1] == kid:
                    period[3] = position


class Export:
    def __init__(self, folder):
        self.folder = folder
        self.known = set()

    def read(self, path):
        self.known.add(path)
        try:
            with open(os.path.join(self.folder, path), "rb") as file:
                return file.read()
        except OSError:
            raise Wrong(f"{path} cannot be read") from None

    def strangers(self):
        for folder, _, files in os.walk(self.folder):
            for name in files:
                path = os.path.relpath(os.path.join(folder, name), self.folder).replace(os.sep, "/")
                need(path in self.known, f"{path} does not belong to this export")


def records(raw, prefix, count):
    """Records with a length in front; None for a payload that is not there."""
    found, at = [], 0
    for _ in range(count):
        need(at + prefix <= len(raw), "a file ends too early")
        length = int.from_bytes(raw[at : at + prefix], "big")
        at += prefix
        if prefix == 4 and length == ABSENT:
            found.append(None)
            continue
        need(at + length <= len(raw), "a file ends too early")
        found.append(raw[at : at + length])
        at += length
    need(at == len(raw), "a file holds more records than it may")
    return found


class LogVerifier:
    """Takes a log event by event, in order."""

    def __init__(self, origin):
        self.keyring, self.tree = Keyring(origin), Tree()
        self.sequences, self.ids, self.latest = {}, set(), None

    def push(self, compact, payload):
        position = self.tree.size
        try:
            event = Event(compact.decode("ascii"))
            self.check(position, event, payload)
        except UnicodeDecodeError:
            raise Wrong("the entry is not ASCII", position) from None
        except Wrong as wrong:
            raise Wrong(str(wrong), position) from None
        return event, self.tree.push(event.leaf)

    def check(self, position, event, payload):
        statement, said = event.statement, event.statement["payload"]
        need(statement["origin"] == self.keyring.origin, "the statement is of another log")
        need(payload is not None, "the payload is not there")
        need(len(payload) == said["size"], "the payload has another size than was signed")
        need(hashlib.sha256(payload).hexdigest() == said["sha256"], "the payload is not the one that was signed")
        overhead = OVERHEAD if said["encryption"] == "A256GCM" else 0
        need(overhead <= len(payload) <= MAX_PAYLOAD + overhead, "the payload has no possible size")
        if position == 0:
            need(said["encryption"] == "none", "the payload is not in the clear")
            self.keyring.begin(statement, payload)
        event.verify(self.keyring.active(event.kid, position))
        if position > 0 and statement["stream_type"] == "ledger":
            self.keyring.apply(position, statement, payload)
        stream = (statement["stream_type"], statement["stream_id"])
        expected = self.sequences.get(stream, 0) + 1
        need(statement["sequence"] == expected, f"sequence {statement['sequence']} where {expected} must stand")
        self.sequences[stream] = expected
        need(statement["event_id"] not in self.ids, "the event's id stood before")
        self.ids.add(statement["event_id"])
        time = statement["time"]
        need(self.latest is None or time >= self.latest - CLOCK_TOLERANCE, "the time runs backwards by more than 60 seconds")
        self.latest = time if self.latest is None else max(self.latest, time)


def verify_export(folder, trusted, seen):
    export = Export(folder)
    try:
        note = export.read("checkpoint").decode("utf-8")
    except UnicodeDecodeError:
        raise Wrong("the checkpoint is not text") from None
    checkpoint = Checkpoint(note)
    need(checkpoint.origin == trusted.name, "the checkpoint is that of another log")
    need(checkpoint.size > 0, "the log has no genesis")
    pinned = {}
    for path in seen:
        with open(path, encoding="utf-8", newline="") as file:
            earlier = Checkpoint(file.read())
        need(earlier.origin == checkpoint.origin, f"{path} is a checkpoint of another log")
        need(earlier.size <= checkpoint.size, f"the log is shorter than the {earlier.size} events of {path}", checkpoint.size)
        pinned[earlier.size] = earlier
    log = LogVerifier(trusted.name)

    def compare(level, index, hashes):
        path, span = tile_path(f"tile/{level}", index, len(hashes)), 256**level
        stored = export.read(path)
        need(len(stored) == 32 * len(hashes), f"{path} does not hold {len(hashes)} hashes", index * 256 * span)
        for at, hashed in enumerate(hashes):
            need(stored[32 * at : 32 * at + 32] == hashed, f"hash {at} of {path} is wrong", (index * 256 + at) * span)

    for index in range((checkpoint.size + 255) // 256):
        first = index * 256
        width = min(256, checkpoint.size - first)
        try:
            leaves = export.read(tile_path("tile/0", index, width))
            need(len(leaves) == 32 * width, f"tile {index} of level 0 does not hold {width} hashes")
            entries = records(export.read(tile_path("tile/entries", index, width)), 2, width)
            payloads = records(export.read(tile_path("payloads", index, width)), 4, width)
        except Wrong as wrong:
            raise Wrong(str(wrong), first) from None
        for at, (entry, payload) in enumerate(zip(entries, payloads)):
            # The leaf hash kept apart names the position of an entry that was changed, before anything else is said of it.
            need(leaf_hash(entry) == leaves[32 * at : 32 * at + 32], "the entry is not the one whose leaf hash was kept", first + at)
            _, complete = log.push(entry, payload)
            for level, tile, hashes in complete:
                if level > 0:
                    compare(level, tile, hashes)
            if log.tree.size in pinned:
                same = pinned[log.tree.size].root == log.tree.root()
                need(same, "the log is a fork of the one whose checkpoint was seen before", log.tree.size - 1)
    for level, hashes in enumerate(log.tree.levels):
        if hashes and level > 0:
            compare(level, checkpoint.size // 256 ** (level + 1), hashes)
    last = checkpoint.size - 1
    need(log.tree.root() == checkpoint.root, "the entries do not make the root of the checkpoint", last)
    for earlier in [*pinned.values(), checkpoint]:
        signers = earlier.signers(log.keyring.verifiers(earlier.size))
    vouched = log.keyring.periods[0][0] == trusted.key or any(key.key == trusted.key for key in signers)
    need(vouched, "the trusted key is neither the log's first key nor did it sign the checkpoint")
    keys = from_json(export.read("keys.json"))
    exactly(keys, ["keys"], "keys.json")
    need(isinstance(keys["keys"], list), "keys.json holds no list of keys")
    need([from_jwk(jwk) for jwk in keys["keys"]] == [period[0] for period in log.keyring.periods],
         "keys.json does not hold exactly the log's keys")
    export.strangers()
    return checkpoint, len(log.sequences), len(log.keyring.periods)


# --- The command line -------------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description="Checks a receipt or an export of a Coherency Ledger, offline.")
    commands = parser.add_subparsers(dest="command", required=True)
    receipt = commands.add_parser("receipt", help="a receipt, as the server answered it")
    receipt.add_argument("file")
    receipt.add_argument("--key", action="append", required=True, metavar="VKEY", help="a trusted key of the log")
    export = commands.add_parser("export", help="a folder made by `ledger audit export`")
    export.add_argument("folder")
    export.add_argument("--key", required=True, metavar="VKEY", help="the trusted key of the log")
    export.add_argument("--seen", action="append", default=[], metavar="FILE", help="a checkpoint seen before")
    given = parser.parse_args()
    try:
        if given.command == "receipt":
            with open(given.file, "rb") as file:
                read = from_json(file.read())
            checkpoint = verify_receipt(read, [Key.parse(key) for key in given.key])
            for event in read["events"]:
                print(f"position {event['position']}: {event['event_type']}")
            print(f"valid: in the log {checkpoint.origin} of {checkpoint.size} events")
        else:
            checkpoint, streams, keys = verify_export(given.folder, Key.parse(given.key), given.seen)
            print(f"valid: {checkpoint.size} events of {checkpoint.origin} in {streams} streams, {keys} keys")
    except Wrong as wrong:
        print(f"NOT valid: {wrong}")
        return 1
    except OSError as error:
        print(f"NOT valid: {error.strerror}: {error.filename}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
