#!/usr/bin/env python3
"""Checks a receipt or an export of a Coherency Ledger: an independent verifier, written from docs/evidence.md alone.

    verify.py receipt FILE --key VKEY [--key VKEY]
    verify.py export FOLDER --key VKEY [--key VKEY] [--seen CHECKPOINT-OR-RECEIPT]
    verify.py plaintext FILE POSITION BLINDING PLAINTEXT --key VKEY
    verify.py vectors FOLDER

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
import shutil
import stat
import sys
import tempfile
import uuid
from datetime import datetime, timedelta, timezone

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MAX_SIZE = 2**53 - 1
MAX_NOTE = 64 * 1024
MAX_SIGNATURES = 100
MAX_COMPACT = 65_535
MAX_STATEMENT = 48_000
MAX_HEADER = 256
MAX_EVENTS = 4096
MAX_RECEIPT = 64 * 1024 * 1024
MAX_PROOF = 64
MAX_KEYS = 1024
MAX_PAYLOAD = 1024 * 1024
OVERHEAD = 12 + 32 + 16
MAX_OWN_PAYLOAD = 16 * 1024
MAX_HOLDS = 256
MAX_DEPTH = 16
MAX_MEMBERS = 64
MAX_KEYS_FILE = 1024 * 1024
ABSENT = 0xFFFFFFFF
CLOCK_TOLERANCE = timedelta(seconds=60)


class Wrong(Exception):
    """Something does not hold: at a position, within a span of positions, or of the whole."""

    def __init__(self, what, position=None, last=None, tile=False):
        super().__init__(what)
        self.what, self.position, self.tile = what, position, tile
        self.last = last if last is not None and position is not None and last > position else None

    def __str__(self):
        if self.position is None:
            return self.what
        if self.last is None:
            return f"position {self.position}: {self.what}"
        return f"positions {self.position} to {self.last}: {self.what}"

    def order(self):
        """What names a position comes first, the lowest first, and a span before what is certain within it."""
        return (self.position is None, self.position or 0, self.last is None, self.tile, self.last or 0)


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
    """JSON as section 1 has it: without what two readers could take differently."""

    def members(pairs):
        need(len(pairs) <= MAX_MEMBERS, "an object has too many members")
        need(len({name for name, _ in pairs}) == len(pairs), "a member of an object is given twice")
        return dict(pairs)

    def refused(text):
        raise Wrong(f"{text[:40]} is not a plain decimal number")

    def check(value, depth):
        if isinstance(value, str):
            need(not any("\ud800" <= c <= "\udfff" for c in value), "half of a surrogate pair")
        elif isinstance(value, (dict, list)):
            need(depth < MAX_DEPTH, "nested too deeply")
            for name in value if isinstance(value, dict) else ():
                check(name, depth + 1)
            for inner in value.values() if isinstance(value, dict) else value:
                check(inner, depth + 1)

    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        value = json.loads(
            text, object_pairs_hook=members, parse_constant=refused, parse_float=refused, parse_int=from_decimal
        )
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise Wrong("not JSON") from None
    check(value, 0)
    return value


def has_type(value, kind):
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def exactly(value, names, what):
    need(isinstance(value, dict) and set(value) == set(names), f"{what} has other members than it must")


# --- Ed25519, strictly ------------------------------------------------------------------------------------------

P = 2**255 - 19
D = -121665 * pow(121666, P - 2, P) % P
# The y coordinates of the points of small order.
SMALL_ORDER = {
    0,
    1,
    P - 1,
    int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
    int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
}


def is_strong(raw):
    """Not of small order, and spelled canonically. Whether there is such a point is another question."""
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    return y < P and y not in SMALL_ORDER


def is_strong_point(raw):
    """A public key: x^2 = (y^2 - 1) / (d y^2 + 1) has a root."""
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    return len(raw) == 32 and is_strong(raw) and pow(square, (P - 1) // 2, P) == 1


def holds_strictly(key, message, signature):
    # The library checks the equation without the cofactor and that the scalar is reduced; points that are not
    # canonical or of small order are left to the caller.
    if len(key) != 32 or len(signature) != 64:
        return False
    if not (is_strong(key) and is_strong(signature[:32])):
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
    need(is_strong_point(key), "the JWK's key cannot be used")
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
    if index >= size or size > MAX_SIZE:
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


def verify_consistency(old, new, proof, old_root, new_root):
    """RFC 9162, 2.1.4.2. Nothing is proved from the empty tree."""
    if not 0 < old <= new <= MAX_SIZE:
        return False
    if old == new:
        return not proof and old_root == new_root
    path = ([old_root] if old & (old - 1) == 0 else []) + proof
    if not path:
        return False
    node, last = old - 1, new - 1
    while node & 1:
        node >>= 1
        last >>= 1
    from_old = from_new = path[0]
    for hashed in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            from_old, from_new = node_hash(hashed, from_old), node_hash(hashed, from_new)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            from_new = node_hash(from_new, hashed)
        node >>= 1
        last >>= 1
    return last == 0 and from_old == old_root and from_new == new_root


class Tree:
    """The right edge of a growing tree."""

    def __init__(self, leaves=()):
        self.size = 0
        self.edge = []  # (height, hash), the highest first
        for leaf in leaves:
            self.push(leaf)

    def push(self, leaf):
        height, hashed = 0, leaf
        while self.edge and self.edge[-1][0] == height:
            hashed = node_hash(self.edge.pop()[1], hashed)
            height += 1
        self.edge.append((height, hashed))
        self.size += 1

    def root(self, right=None):
        """The root; or that of this tree with a smaller one to the right of it, whose root is given."""
        hashed = right
        for _, left in reversed(self.edge):
            hashed = left if hashed is None else node_hash(left, hashed)
        return sha256(b"") if hashed is None else hashed


# --- Notes and checkpoints --------------------------------------------------------------------------------------

SPACES = " \u00a0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(chr(c) for c in range(0x2000, 0x200B))


def is_control(c):
    return ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0


def is_key_name(name):
    plain = not any(c in SPACES or c == "+" or is_control(c) or "\ud800" <= c <= "\udfff" for c in name)
    return plain and 1 <= len(name.encode()) <= 255


def key_id(name, algorithm, key):
    return sha256(name.encode(), b"\n", bytes([algorithm]), key)[:4]


class Key:
    """A verifier key of a log: a name and an Ed25519 key."""

    def __init__(self, name, key):
        need(is_key_name(name) and is_strong_point(key), "the key cannot be used")
        self.name, self.key, self.id = name, key, key_id(name, 0x01, key)

    @staticmethod
    def parse(vkey):
        need(len(vkey) <= 512, "the verifier key is too long")
        parts = vkey.split("+", 2)
        need(len(parts) == 3, "a verifier key is name+id+key")
        raw = from_base64(parts[2])
        need(len(raw) == 33 and raw[0] == 0x01, "not an Ed25519 verifier key")
        key = Key(parts[0], raw[1:])
        need(parts[1] == key.id.hex(), "the verifier key's id does not belong to its key")
        return key


def keys_of(vkeys):
    """Verifier keys, each once."""
    found = {}
    for vkey in vkeys:
        key = Key.parse(vkey)
        found[key.name, key.key] = key
    return list(found.values())


class Checkpoint:
    def __init__(self, raw):
        need(len(raw) <= MAX_NOTE, "the note is too long")
        try:
            note = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise Wrong("the note is not UTF-8") from None
        need(not any(c != "\n" and is_control(c) for c in note), "a control character in the note")
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
            signature = from_base64(parts[2])
            need(len(signature) > 4, "a signature is too short")
            self.signatures.append((parts[1], signature[:4], signature[4:]))
        need(len(self.signatures) <= MAX_SIGNATURES, "too many signatures")

    def signers(self, keys):
        """The known keys that signed. A wrong signature by a known key refuses the note."""
        signed = []
        for name, identity, signature in self.signatures:
            for key in keys:
                if (key.name, key.id) == (name, identity):
                    need(holds_strictly(key.key, self.text.encode(), signature), f"the signature by {name} is wrong")
                    need(key not in signed, "one key signed twice")
                    signed.append(key)
                    break
        need(any(key.name == self.origin for key in signed), "the checkpoint is not signed by a key that counts")
        return signed


# --- Events -----------------------------------------------------------------------------------------------------


def is_name(value):
    return has_type(value, str) and re.fullmatch(r"[\x21-\x7e]{1,128}", value) is not None


def is_uuid(value):
    return has_type(value, str) and re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value) is not None


def is_uuid_v7(value):
    return is_uuid(value) and value[14] == "7" and value[19] in "89ab"


def is_digest(value):
    return has_type(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None


def is_size(value):
    return has_type(value, int) and 0 <= value <= MAX_SIZE


def is_actor_signature(value):
    return value is None or (has_type(value, str) and re.fullmatch(r"[\x21-\x7e]{1,8192}", value) is not None)


def is_rule(value):
    return has_type(value, str) and re.fullmatch(r"[a-z0-9:/-]{1,64}", value) is not None


# The members of the first format; the second has all of them, and more.
STATEMENT = {
    "format": lambda v: v in FORMATS,
    "origin": lambda v: has_type(v, str) and is_key_name(v),
    "event_id": is_uuid_v7,
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
    "actor_signature": is_actor_signature,
}

GROUNDS = {"because": is_rule, "policy": is_digest}

# For each format the members there must be, and those there may be.
FORMATS = {
    "coherency-event/v1": (STATEMENT, {}),
    "coherency-event/v2": ({**STATEMENT, **GROUNDS}, {"client": is_name, "session": is_uuid}),
}


def read_statement(raw):
    need(len(raw) <= MAX_STATEMENT, "the statement is too long")
    statement = from_json(raw)
    need(isinstance(statement, dict), "the statement is not an object")
    version = statement.get("format")
    need(has_type(version, str) and version in FORMATS, "the statement's format is not known")
    required, optional = FORMATS[version]
    exactly({name: value for name, value in statement.items() if name not in optional}, required, "the statement")
    for name, is_valid in {**required, **optional}.items():
        need(name not in statement or is_valid(statement[name]), f"the statement's {name} is not valid")
    actor, payload = statement["actor"], statement["payload"]
    exactly(actor, ["id", "kind", "role"], "the actor")
    need(is_uuid(actor["id"]) and is_name(actor["role"]), "the actor is not valid")
    need(actor["kind"] in ("user", "service", "system"), "the actor's kind is not known")
    exactly(payload, ["sha256", "size", "encryption", "key_id", "commitment"], "the payload")
    need(is_digest(payload["sha256"]) and is_size(payload["size"]), "the payload's digest or size is not valid")
    need(payload["encryption"] in ("A256GCM", "none"), "the payload's encryption is not known")
    if payload["encryption"] == "A256GCM":
        need(is_uuid(payload["key_id"]) and is_digest(payload["commitment"]), "a sealed payload without key or commitment")
        need(statement["subject"] is not None, "a sealed payload about nobody")
    else:
        need(payload["key_id"] is None and payload["commitment"] is None, "a payload in the clear with key or commitment")
        need(statement["subject"] is None, "a payload in the clear about somebody")
    overhead = OVERHEAD if payload["encryption"] == "A256GCM" else 0
    need(overhead <= payload["size"] <= MAX_PAYLOAD + overhead, "not a size a payload can have")
    for media in statement["media"]:
        exactly(media, ["sha256", "size", "media_type"], "a file")
        need(is_digest(media["sha256"]) and is_size(media["size"]) and is_name(media["media_type"]), "a file is not valid")
    statement["time"] = read_time(statement["recorded_at"])
    return statement


def read_time(text):
    form = r"\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d\.\d{6}Z"
    need(re.fullmatch(form, text, re.ASCII) is not None, "the time is not in UTC with six digits")
    try:
        time = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    except ValueError:
        raise Wrong("there is no such time") from None
    need(1970 <= time.year <= 9998, "the year is not between 1970 and 9998")
    return time


def read_header(header):
    found = re.fullmatch(rb'\{"alg":"EdDSA","kid":"([A-Za-z0-9_-]{43})","typ":"coherency-event\+jws"\}', header)
    need(len(header) <= MAX_HEADER and found is not None, "the header is not that of a signed event")
    return found.group(1).decode()


class Event:
    """A compact JWS, taken apart."""

    def __init__(self, compact):
        need(len(compact) <= MAX_COMPACT, "the JWS is too long")
        parts = compact.split(".")
        need(len(parts) == 3, "a compact JWS has three parts")
        header, raw, self.signature = (from_base64url(part) for part in parts)
        self.leaf = leaf_hash(compact.encode())
        self.signed = f"{parts[0]}.{parts[1]}".encode()
        need(len(self.signature) == 64, "the signature has not 64 bytes")
        self.kid = read_header(header)
        self.statement = read_statement(raw)

    def verify(self, key):
        need(holds_strictly(key, self.signed, self.signature), "the signature does not hold")


# --- A receipt, and a proof file --------------------------------------------------------------------------------

RECEIPT = ["command_id", "stream_type", "stream_id", "version", "position", "events", "checkpoint", "replayed"]


def read_receipt(raw):
    need(len(raw) <= MAX_RECEIPT, "the receipt is too long")
    receipt = from_json(raw)
    exactly(receipt, RECEIPT, "the receipt")
    need(is_uuid(receipt["command_id"]) and is_uuid(receipt["stream_id"]), "an id of the receipt is not valid")
    need(has_type(receipt["stream_type"], str) and has_type(receipt["replayed"], bool), "the receipt is malformed")
    need(is_size(receipt["version"]) and has_type(receipt["checkpoint"], str), "the receipt is malformed")
    need(receipt["position"] is None or is_size(receipt["position"]), "the receipt's position is not valid")
    need(isinstance(receipt["events"], list) and len(receipt["events"]) <= MAX_EVENTS, "the receipt has no list of events")
    for event in receipt["events"]:
        exactly(event, ["position", "event_id", "event_type", "jws", "proof"], "an event of the receipt")
        need(is_size(event["position"]) and is_uuid(event["event_id"]), "an event of the receipt is malformed")
        need(has_type(event["event_type"], str) and has_type(event["jws"], str), "an event of the receipt is malformed")
        need(isinstance(event["proof"], list), "an event of the receipt is malformed")
        need(all(has_type(hashed, str) for hashed in event["proof"]), "an event of the receipt is malformed")
    return receipt


def from_hash(text):
    raw = from_base64(text)
    need(len(raw) == 32, "not a hash of 32 bytes")
    return raw


def verify_receipt(receipt, keys):
    """Its checkpoint, and the statements of its events."""
    checkpoint = Checkpoint(receipt["checkpoint"].encode())
    checkpoint.signers(keys)
    known = {thumbprint(key.key): key.key for key in keys if key.name == checkpoint.origin}
    statements, last_position = [], None
    for event in receipt["events"]:
        position = event["position"]
        need(last_position is None or position == last_position + 1, "the positions are not consecutive", position)
        try:
            signed = Event(event["jws"])
            proof = [from_hash(hashed) for hashed in event["proof"]]
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
            raise wrong if wrong.position is not None else Wrong(wrong.what, position) from None
        statements.append(last)
        last_position = position
    need(receipt["position"] == last_position, "the receipt's position is not that of its last event")
    if statements:
        for member in ("stream_type", "stream_id"):
            need(receipt[member] == last[member], f"the receipt's {member} is not what was signed")
        need(receipt["version"] == last["sequence"], "the receipt's version is not what was signed")
    else:
        need(receipt["stream_type"] == "" or is_name(receipt["stream_type"]), "the receipt's stream_type is not valid")
    return checkpoint, statements


def verify_proof(raw, leaf, keys):
    """A C2SP tlog-proof file of one leaf."""
    need(len(raw) <= MAX_NOTE + 128 * 1024, "the proof file is too long")
    try:
        head, separator, note = raw.decode("utf-8").partition("\n\n")
    except UnicodeDecodeError:
        raise Wrong("the proof file is not UTF-8") from None
    need(separator, "the proof file has no checkpoint")
    lines = head.split("\n")
    need(lines.pop(0) == "c2sp.org/tlog-proof@v1", "not a proof file")
    if lines and lines[0].startswith("extra "):
        need(len(from_base64(lines.pop(0)[6:])) <= 64 * 1024, "the extra data is too long")
    need(lines and lines[0].startswith("index "), "the proof file has no index")
    index = from_decimal(lines.pop(0)[6:])
    need(len(lines) <= MAX_PROOF, "the proof has too many hashes")
    proof = [from_hash(line) for line in lines]
    checkpoint = Checkpoint(note.encode())
    checkpoint.signers(keys)
    need(verify_inclusion(leaf, index, checkpoint.size, proof, checkpoint.root), "the leaf is not in the log", index)
    return checkpoint


def verify_plaintext(statement, blinding, plaintext):
    payload = statement["payload"]
    need(payload["encryption"] == "A256GCM", "the payload is in the clear: its digest is in the statement")
    need(len(blinding) == 32, "a blinding has 32 bytes")
    need(len(plaintext) <= MAX_PAYLOAD and payload["size"] == len(plaintext) + OVERHEAD, "the plaintext has another size")
    made = sha256(b"coherency/commitment/v1\n", blinding, plaintext).hex()
    need(made == payload["commitment"], "the plaintext is not the one that was committed to")


# --- The log's own events, and custody --------------------------------------------------------------------------


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
        """The keys that may sign a checkpoint of this size."""
        last = max(size - 1, 0)
        return [Key(self.origin, key) for key, _, first, until in self.periods
                if first <= last and (until is None or last <= until)]

    def begin(self, statement, payload):
        """Position 0. Its signature is checked with the key it names."""
        need(statement["stream_type"] == "ledger" and statement["sequence"] == 1, "position 0 is not the genesis")
        need(statement["event_type"] == "LedgerCreated", "position 0 is not the genesis")
        body = self.read(statement, payload)
        need(body["origin"] == self.origin == statement["origin"], "the genesis is that of another log")
        need(body["format"] == "coherency-ledger/v1", "the log has a format that is not known")
        key = from_jwk(body["jwk"])
        self.periods.append([key, thumbprint(key), 0, None])

    def read(self, statement, payload):
        need(statement["stream_id"] == self.stream_id, "the stream's id does not belong to the origin")
        need(statement["payload"]["encryption"] == "none", "the payload is not in the clear")
        return read_own(statement["event_type"], statement["event_version"], payload)

    def apply(self, position, statement, payload):
        """A later event of stream type `ledger`, whose signature holds."""
        body = self.read(statement, payload)
        kind = statement["event_type"]
        need(kind != "LedgerCreated", "a second genesis")
        if kind == "KeyActivated":
            key = from_jwk(body["jwk"])
            need(all(key != known for known, *_ in self.periods), "the key was activated before")
            need(len(self.periods) < MAX_KEYS, "the log has too many keys")
            self.periods.append([key, thumbprint(key), position + 1, None])
        elif kind == "KeyRetired":
            self.active(body["kid"], position)
            need(sum(until is None for *_, until in self.periods) >= 2, "the last active key cannot be retired")
            for period in self.periods:
                if period[1] == body["kid"]:
                    period[3] = position

    def keys_file(self):
        """The bytes of `keys.json`: there is one spelling."""
        keys = [{"kty": "OKP", "crv": "Ed25519", "x": base64url(key), "kid": kid} for key, kid, *_ in self.periods]
        return json.dumps({"keys": keys}, indent=2).encode() + b"\n"


OWN = {"LedgerCreated": ["origin", "format", "jwk"], "KeyActivated": ["jwk"], "KeyRetired": ["kid", "reason"]}


def read_own(kind, version, payload):
    """The payload of an event of the log's own; None where it says nothing of keys."""
    if kind not in OWN:
        return None
    need(version == "1", "the version of this event is not known")
    need(len(payload) <= MAX_OWN_PAYLOAD, "the payload is too long")
    body = from_json(payload)
    exactly(body, OWN[kind], "the payload")
    if "jwk" in body:
        from_jwk(body["jwk"])
    need(all(has_type(body[name], str) for name in body if name != "jwk"), "a member of the payload is not text")
    if kind == "KeyRetired":
        need(re.fullmatch(r"[\x20-\x7e]{1,256}", body["reason"]) is not None, "the reason is not 1 to 256 printable characters")
    return body


CUSTODY = {
    "HoldPlaced": ["hold_id", "reason", "authority", "case_reference", "at"],
    "HoldReleased": ["hold_id", "reason", "authority", "at"],
    "SubjectErased": ["reason", "authority", "case_reference", "at"],
    "PurgeRecorded": ["stores", "at"],
}


def is_code(value):
    return has_type(value, str) and re.fullmatch(r"[a-z0-9-]{1,64}", value) is not None


def read_custody(kind, version, payload):
    """The payload of an event of custody; None where it says nothing of holds and erasures."""
    if kind not in CUSTODY:
        return None
    need(version == "1", "the version of this event is not known")
    need(len(payload) <= MAX_OWN_PAYLOAD, "the payload is too long")
    outer = from_json(payload)
    exactly(outer, [kind], "the payload")
    body = outer[kind]
    exactly(body, CUSTODY[kind], "the payload")
    need(all(is_code(body[name]) for name in ("reason", "authority") if name in body), "a code is not valid")
    if "hold_id" in body:
        need(is_uuid(body["hold_id"]), "the hold's id is not valid")
    if "case_reference" in body:
        reference = body["case_reference"]
        need(has_type(reference, str) and re.fullmatch(r"[A-Za-z0-9._/-]{1,64}", reference), "the case reference is not valid")
    need(has_type(body["at"], str), "a time is not text")
    found = re.fullmatch(r"(.{19})(\.[0-9]{1,9})?Z", body["at"])
    need(found is not None, "a time is not valid")
    read_time(found.group(1) + ".000000Z")
    if kind == "PurgeRecorded":
        need(isinstance(body["stores"], list) and body["stores"], "a purge names no store")
        for store in body["stores"]:
            exactly(store, ["store", "entries"], "a store")
            need(is_code(store["store"]) and is_size(store["entries"]), "a store is not valid")
        need(len({store["store"] for store in body["stores"]}) == len(body["stores"]), "a store is named twice")
    return body


class Custody:
    """Holds, erasures, and whose key sealed what. Takes the events in order, once their signatures hold."""

    def __init__(self):
        self.records = {}  # subject: [holds, position of the erasure, whether the purge is recorded]
        self.keys, self.subjects = {}, {}

    def apply(self, position, statement, payload):
        subject, key = statement["subject"], statement["payload"]["key_id"]
        if subject is not None:
            account = statement["stream_type"] == "account"
            erased = self.records[subject][1] if subject in self.records else None
            need(account or erased is None, f"the subject was erased at position {erased}")
            need(self.keys.setdefault((account, subject), key) == key, "an earlier payload of the subject has another key")
            need(self.subjects.setdefault(key, subject) == subject, "the key sealed a payload of another subject")
        if statement["stream_type"] != "custody":
            return
        need(statement["payload"]["encryption"] == "none", "an event of custody is sealed")
        body = read_custody(statement["event_type"], statement["event_version"], payload)
        if body is None:
            return
        record = self.records.setdefault(statement["stream_id"], [{}, None, False])
        holds, kind = record[0], statement["event_type"]
        if kind == "HoldPlaced":
            need(record[1] is None, "a hold on a record that was erased before")
            need(len(holds) < MAX_HOLDS, "too many holds on one record")
            need(body["hold_id"] not in holds, "the hold was placed before")
            holds[body["hold_id"]] = True
        elif kind == "HoldReleased":
            need(body["hold_id"] in holds, "the hold was never placed")
            need(holds[body["hold_id"]], "the hold was released before")
            holds[body["hold_id"]] = False
        elif kind == "SubjectErased":
            need(record[1] is None, "the record was erased before")
            record[1] = position
            need(not any(holds.values()), "erased while a hold was in force")
        else:
            need(record[1] is not None, "a purge of a record that was not erased")
            need(not record[2], "the purge was recorded before")
            record[2] = True


# --- An export --------------------------------------------------------------------------------------------------


def tile_path(kind, index, width):
    groups = ["%03d" % (index % 1000)]
    while index >= 1000:
        index //= 1000
        groups.insert(0, "x%03d" % (index % 1000))
    path = f"{kind}/" + "/".join(groups)
    return path if width == 256 else f"{path}.p/{width}"


class Folder:
    """The files of an export: regular files of bounded size, no links, and no others."""

    def __init__(self, folder):
        self.folder = folder
        self.known = set()

    def read(self, path, limit):
        """The file's bytes; None where it is missing, too long, or a link or the like."""
        self.known.add(path)
        found = os.path.join(self.folder, path)
        try:
            about = os.lstat(found)
            if not stat.S_ISREG(about.st_mode) or about.st_size > limit:
                return None
            with open(found, "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def strangers(self):
        folders = {path[:at] for path in self.known for at, c in enumerate(path) if c == "/"}
        pending = [""]
        while pending:
            below = pending.pop()
            for entry in os.scandir(os.path.join(self.folder, below)):
                path = f"{below}/{entry.name}" if below else entry.name
                if entry.is_dir(follow_symlinks=False) and path in folders:
                    pending.append(path)
                elif not (entry.is_file(follow_symlinks=False) and path in self.known):
                    yield path


def records(raw, prefix, count):
    """Records with a length in front, as far as they go; None for a payload that is not there. And what is left."""
    found, at = [], 0
    while len(found) < count and at + prefix <= len(raw):
        length = int.from_bytes(raw[at : at + prefix], "big")
        if prefix == 4 and length == ABSENT:
            found.append(None)
            at += prefix
            continue
        if at + prefix + length > len(raw):
            break
        found.append(raw[at + prefix : at + prefix + length])
        at += prefix + length
    return found, len(raw) - at


class Block:
    """What is known of 256 neighbouring leaves, or of the fewer at the end: up to three tellings of their root."""

    def __init__(self, width, entries, tile):
        self.width = width
        self.made = Tree(entries) if None not in entries else None
        self.kept = Tree(tile) if tile is not None else None
        self.above = None
        self.differs = next((at for at in range(width) if entries[at] is None or (tile and tile[at] != entries[at])), None)

    def tell(self, telling):
        made, kept = self.made and self.made.root(), self.kept and self.kept.root()
        if telling == "majority":
            return made if made and made in (kept, self.above) else kept or self.above or made
        return {"made": made, "kept": kept, "above": self.above}[telling]


def resolve(blocks, root):
    """The root of each block, where a combination of what is told leads to the signed root; else None."""
    complete = [block for block in blocks if block.width == 256]
    tail = blocks[len(complete)] if len(complete) < len(blocks) else None
    for telling in ("made", "kept", "above", "majority"):
        chosen = [block.tell(telling) for block in complete]
        if None in chosen:
            continue
        for end in [None] if tail is None else [tree for tree in (tail.made, tail.kept) if tree]:
            if Tree(chosen).root(end and end.root()) == root:
                return chosen + ([end.root()] if end else [])
    return None


class Seen:
    """A checkpoint seen before, alone or in a receipt."""

    def __init__(self, name, raw):
        self.name, self.receipt = name, None
        if raw.lstrip(b" \t\n\x0c\r").startswith(b"{"):
            self.receipt = read_receipt(raw)
            raw = self.receipt["checkpoint"].encode()
        self.checkpoint = Checkpoint(raw)
        self.made = self.kept = None
        self.leaves = {event["position"]: leaf_hash(event["jws"].encode()) for event in self.receipt["events"]} if self.receipt else {}
        self.found = {}


class ExportVerifier:
    """Takes an export file by file, event by event, and gathers what is wrong."""

    def __init__(self, folder, trusted, seen):
        self.files, self.trusted, self.origin = Folder(folder), trusted, trusted[0].name
        need(all(key.name == self.origin for key in trusted), "the keys are of different logs")
        self.seen = seen
        self.keyring, self.custody = Keyring(self.origin), Custody()
        self.sequences, self.ids, self.latest = {}, set(), None
        self.events, self.tiles, self.whole = [], [], []  # what is wrong with events, with tiles, with the whole
        self.blocks = []
        self.made, self.kept = Tree(), Tree()
        self.uncertain = False  # whether the log may have keys that are not known here
        self.end = 0

    def wrong(self, what, position, last=None):
        self.events.append(Wrong(what, position, last))

    def wrong_tile(self, what, position, last=None):
        self.tiles.append(Wrong(what, position, last, tile=True))

    def attempt(self, position, step, *arguments):
        try:
            step(*arguments)
            return True
        except Wrong as wrong:
            self.wrong(wrong.what, position)
            return False

    def first_certain(self, otherwise):
        """The first damage is there or before."""
        named = [wrong.position if wrong.last is None else wrong.last for wrong in self.events]
        return min(named + [otherwise])

    # Events

    def take(self, position, compact, payload):
        """One entry, whose leaf hash is known whatever is wrong with it."""
        try:
            event = Event(compact.decode("ascii"))
        except UnicodeDecodeError:
            self.uncertain = True
            self.wrong("the entry is not ASCII", position)
            return
        except Wrong as wrong:
            self.uncertain = True
            self.wrong(wrong.what, position)
            return
        statement = event.statement
        self.attempt(position, self.check_order, statement)
        fits = self.attempt(position, self.check_payload, statement, payload)
        signed = self.attempt(position, self.check_signature, position, event, payload)
        self.uncertain = self.uncertain or not signed
        if signed and fits:
            self.attempt(position, self.custody.apply, position, statement, payload)

    def check_order(self, statement):
        stream = (statement["stream_type"], statement["stream_id"])
        expected = self.sequences.get(stream, 0) + 1
        self.sequences[stream] = max(expected - 1, statement["sequence"])
        known = statement["event_id"] in self.ids
        self.ids.add(statement["event_id"])
        time, latest = statement["time"], self.latest
        self.latest = time if latest is None else max(latest, time)
        need(statement["origin"] == self.origin, "the statement is of another log")
        need(statement["sequence"] == expected, f"sequence {statement['sequence']} where {expected} must stand")
        need(not known, "the event's id stood before")
        need(latest is None or time >= latest - CLOCK_TOLERANCE, "the time runs backwards by more than 60 seconds")

    def check_payload(self, statement, payload):
        said = statement["payload"]
        need(payload is not None, "the payload is not there")
        need(len(payload) == said["size"], "the payload has another size than was signed")
        need(hashlib.sha256(payload).hexdigest() == said["sha256"], "the payload is not the one that was signed")

    def check_signature(self, position, event, payload):
        statement = event.statement
        if position == 0:
            self.check_own_payload(statement, payload)
            self.keyring.begin(statement, payload)
        need(self.keyring.periods, "the log has no genesis")
        event.verify(self.keyring.active(event.kid, position))
        if position > 0 and statement["stream_type"] == "ledger":
            self.check_own_payload(statement, payload)
            self.keyring.apply(position, statement, payload)

    def check_own_payload(self, statement, payload):
        need(payload is not None, "the payload is not there")
        need(hashlib.sha256(payload).hexdigest() == statement["payload"]["sha256"], "the payload is not the one that was signed")

    # Bundles

    def take_bundle(self, index, size):
        """Gives back whether the export goes on."""
        first = index * 256
        width = min(256, size - first)
        last = first + width - 1
        tile = self.files.read(tile_path("tile/0", index, width), 32 * 256)
        raw = self.files.read(tile_path("tile/entries", index, width), 256 * (2 + MAX_COMPACT))
        if tile is None and raw is None:
            self.wrong("neither entries nor hashes can be read from here on", first, size - 1)
            self.made = self.kept = None
            self.uncertain, self.end = True, size
            return False
        if tile is None or len(tile) != 32 * width:
            self.wrong_tile(f"tile {index} of level 0 is missing or does not hold {width} hashes", first, last)
            tile = None
        else:
            tile = [tile[at : at + 32] for at in range(0, len(tile), 32)]
        payload_bytes = self.files.read(tile_path("payloads", index, width), 256 * (4 + MAX_PAYLOAD + OVERHEAD))
        self.end += width
        if raw is None:
            self.wrong("the entries from here on are missing", first)
            self.uncertain = True
            return self.take_leaves(first, [None] * width, tile)
        if payload_bytes is None:
            self.wrong("the payloads from here on are missing", first)
        entries, entries_left = records(raw, 2, width)
        payloads, payloads_left = records(payload_bytes or b"", 4, width)
        payloads += [None] * (width - len(payloads))
        for position, (entry, payload) in enumerate(zip(entries, payloads), first):
            self.take(position, entry, payload)
        if len(entries) < width:
            self.wrong("the entries end before this position", first + len(entries))
            self.uncertain = True
        elif entries_left or payloads_left:
            self.wrong("a file holds more records than it may", last)
        leaves = [leaf_hash(entry) for entry in entries]
        return self.take_leaves(first, leaves + [None] * (width - len(leaves)), tile)

    def take_leaves(self, first, leaves, tile):
        self.blocks.append(Block(len(leaves), leaves, tile))
        for at, leaf in enumerate(leaves):
            self.made = grown(self.made, leaf)
            self.kept = grown(self.kept, tile and tile[at])
            for seen in self.seen:
                if seen.checkpoint.size == first + at + 1:
                    seen.made, seen.kept = self.made and self.made.root(), self.kept and self.kept.root()
                if first + at in seen.leaves:
                    seen.found[first + at] = leaf
        return True

    # Checkpoints, tiles and files

    def known(self, size, active):
        """The keys that count at a size; with those the auditor trusts where the log may have had others."""
        keys = active
        if self.uncertain or not self.keyring.periods or size > self.end:
            keys = keys + [key for key in self.trusted if all(key.key != other.key for other in keys)]
        return keys

    def verify(self):
        raw = self.files.read("checkpoint", MAX_NOTE)
        need(raw is not None, "the checkpoint is missing, too long, or no file")
        checkpoint = Checkpoint(raw)
        need(checkpoint.size > 0, "the log has no genesis", 0)
        size = checkpoint.size
        for index in range((size + 255) // 256):
            if not self.take_bundle(index, size):
                break
        above = self.read_level(1, size)
        for at, block in enumerate(block for block in self.blocks if block.width == 256):
            block.above = above[at] if at < len(above) else None
        signers, unsigned = [], None
        try:
            signers = checkpoint.signers(self.known(size, self.keyring.verifiers(size)))
            need(checkpoint.origin == self.origin, "the checkpoint is that of another log")
        except Wrong as wrong:
            unsigned = f"{wrong.what}; so nothing says which entries belong here"
        resolved = None if unsigned else resolve(self.blocks, checkpoint.root)
        good = self.compare_seen(resolved is not None, size)
        if resolved is not None:
            self.name_blocks(resolved, size)
            self.compare_tiles(resolved[: size // 256], above, size)
        else:
            differs = ((at * 256 + block.differs) for at, block in enumerate(self.blocks) if block.differs is not None)
            first = next(differs, None)
            if first is not None:
                self.wrong("entry and tile disagree on this leaf, and the signed root is that of neither", first)
            last = self.first_certain(size - 1)
            what = unsigned or "neither the entries nor the tiles lead to the root of the checkpoint"
            self.wrong(what, min(good, last), last)
            for level in range(2, 8):
                self.read_level(level, size)
        first_key = self.keyring.periods[0][0] if self.keyring.periods else None
        vouched = any(key.key == first_key or key.key in [signer.key for signer in signers] for key in self.trusted)
        if not vouched:
            self.whole.append(Wrong("no trusted key is the log's first key or signed its checkpoint"))
        keys = self.files.read("keys.json", MAX_KEYS_FILE)
        if self.keyring.periods and not self.uncertain and keys != self.keyring.keys_file():
            self.whole.append(Wrong("keys.json does not hold exactly the log's keys"))
        for path in self.files.strangers():
            self.whole.append(Wrong(f"{path} does not belong to this export"))
        return checkpoint

    def believe(self, seen):
        """Whether what was seen is signed by the log: its checkpoint by a key that counts at its size."""
        size = seen.checkpoint.size
        try:
            seen.checkpoint.signers(self.known(size, self.keyring.verifiers(size)))
            if seen.receipt:
                verify_receipt(seen.receipt, self.known(size, [Key(self.origin, key) for key, *_ in self.keyring.periods]))
            return True
        except Wrong as wrong:
            self.whole.append(Wrong(f"{seen.name}: {wrong}"))
            return False

    def compare_seen(self, vouched, size):
        """Gives back up to where what was seen before agrees with the entries."""
        good, agreed = 0, True
        believed = [seen for seen in sorted(self.seen, key=lambda seen: seen.checkpoint.size) if self.believe(seen)]
        for seen in believed:
            known, root = seen.checkpoint.size, seen.checkpoint.root
            if known > size:
                self.wrong(f"{seen.name} knows {known} events, but the log ends before", size)
                continue
            same = root == seen.made or (vouched and root == seen.kept) or (known == 0 and root == sha256(b""))
            if same and seen.checkpoint.origin == self.origin:
                good = known if agreed and root == seen.made else good
                continue
            agreed = False
            certain = self.first_certain(max(known - 1, 0))
            self.wrong(f"the log is a fork of the one that {seen.name} knows", min(good, certain), certain)
        for seen in believed:
            for position, leaf in sorted(seen.leaves.items()):
                if seen.found.get(position) != leaf:
                    at = min(position, size)
                    self.wrong(f"the event is not the one of {seen.name}", at if vouched else min(good, at), at)
        return good

    def name_blocks(self, resolved, size):
        """Names what is not as the signed root has it."""
        for index, (block, root) in enumerate(zip(self.blocks, resolved)):
            first = index * 256
            made, kept = block.made and block.made.root() == root, block.kept and block.kept.root() == root
            if made and not kept and block.kept:
                self.wrong_tile("the hash in the tile is not that of the entry, which is the log's", first + block.differs)
            elif kept and not made:
                self.wrong("the entry is not the one that was signed: the tile holds the log's hash", first + block.differs)
            elif not made and not kept:
                last = self.first_certain(min(first + 256, size) - 1)
                self.wrong("neither entries nor tile are the log's, as the tile above knows", min(first, last), last)

    def read_level(self, level, size):
        """The hashes of a level above 0; None for each that cannot be read."""
        count, span, found = size // 256**level, 256**level, []
        for index in range(min((count + 255) // 256, len(self.blocks))):
            width = min(256, count - index * 256)
            raw = self.files.read(tile_path(f"tile/{level}", index, width), 32 * 256)
            if raw is None or len(raw) != 32 * width:
                first = index * 256 * span
                self.wrong_tile(f"tile {index} of level {level} is missing or does not hold {width} hashes", first, first + width * span - 1)
                found += [None] * width
            else:
                found += [raw[at : at + 32] for at in range(0, len(raw), 32)]
        return found

    def compare_tiles(self, made, stored, size):
        level = 1
        while made:
            for at, (one, other) in enumerate(zip(made, stored)):
                if other is not None and one != other:
                    first, last = at * 256**level, min((at + 1) * 256**level, size) - 1
                    self.wrong_tile(f"hash {at} of level {level} is not that of the log", first, last)
            made = [Tree(made[at : at + 256]).root() for at in range(0, len(made) - 255, 256)]
            level += 1
            stored = self.read_level(level, size)


def grown(tree, leaf):
    if tree is None or leaf is None:
        return None
    tree.push(leaf)
    return tree


def verify_export(folder, trusted, seen):
    """What the export is of, and everything that is wrong with it, the first damage first."""
    export = ExportVerifier(folder, trusted, seen)
    checkpoint = None
    try:
        checkpoint = export.verify()
    except Wrong as wrong:
        (export.whole if wrong.position is None else export.events).append(wrong)
    wrongs = sorted(export.events + export.tiles, key=Wrong.order) + export.whole
    return export, checkpoint, wrongs


# --- Test vectors -----------------------------------------------------------------------------------------------


def read_file(path, limit):
    with open(path, "rb") as file:
        raw = file.read(limit + 1)
    need(len(raw) <= limit, f"{path} is too long")
    return raw


def unbase64(text):
    return base64.b64decode(text)


def check_rules(case, _):
    """Custody, over statements and payloads in the order of a log."""
    custody = Custody()
    for position, event in enumerate(case["events"]):
        statement = read_statement(event["statement"].encode())
        custody.apply(position, statement, event["payload"].encode())


def check_keys_file(case, raw):
    keyring = Keyring("vectors.example")
    for text in case["keys"]:
        key = from_base64url(text)
        keyring.periods.append([key, thumbprint(key), 0, None])
    need(raw == keyring.keys_file(), "not exactly the log's keys")


def check_consistency(case, _):
    proof = [from_hash(hashed) for hashed in case["proof"]]
    roots = from_hash(case["old_root"]), from_hash(case["new_root"])
    need(verify_consistency(case["old"], case["new"], proof, *roots), "the proof does not hold")


def check_inclusion(case, _):
    proof = [from_hash(hashed) for hashed in case["proof"]]
    held = verify_inclusion(from_hash(case["leaf"]), case["index"], case["size"], proof, from_hash(case["root"]))
    need(held, "the proof does not hold")


def check_signature(case, raw):
    held = holds_strictly(unbase64(case["key"]), raw, unbase64(case["signature"]))
    need(held and is_strong_point(unbase64(case["key"])), "the signature does not hold")


KINDS = {
    "json": lambda case, raw: from_json(raw),
    "statement": lambda case, raw: read_statement(raw),
    "header": lambda case, raw: read_header(raw),
    "jws": lambda case, raw: Event(text_of(raw)),
    "jwk": lambda case, raw: from_jwk(from_json(raw)),
    "verifier-key": lambda case, raw: Key.parse(text_of(raw)),
    "signature": check_signature,
    "checkpoint": lambda case, raw: Checkpoint(raw).signers(keys_of(case["keys"])),
    "receipt": lambda case, raw: verify_receipt(read_receipt(raw), keys_of(case["keys"])),
    "proof": lambda case, raw: verify_proof(raw, from_hash(case["leaf"]), keys_of(case["keys"])),
    "inclusion": check_inclusion,
    "consistency": check_consistency,
    "own-event": lambda case, raw: read_own(case["event_type"], case["event_version"], raw),
    "custody-event": lambda case, raw: read_custody(case["event_type"], case["event_version"], raw),
    "rules": check_rules,
    "keys-file": check_keys_file,
    "plaintext": lambda case, raw: verify_plaintext(read_statement(case["statement"].encode()), unbase64(case["blinding"]), raw),
}


def text_of(raw):
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Wrong("not UTF-8") from None


def edit(folder, change):
    """One change to a copy of an export."""
    path, op = os.path.join(folder, change["path"]), change["op"]
    if op == "remove":
        os.remove(path)
    elif op == "folder":
        os.makedirs(path)
    elif op in ("rename", "link", "copy"):
        to = os.path.join(folder, change["to"])
        os.makedirs(os.path.dirname(to), exist_ok=True)
        {"rename": os.rename, "copy": shutil.copyfile, "link": lambda old, new: os.symlink(os.path.abspath(old), new)}[op](path, to)
    else:
        raw = b""
        if os.path.exists(path):
            with open(path, "rb") as file:
                raw = file.read()
        at = change.get("at", len(raw))
        with_ = unbase64(change.get("base64", ""))
        # `splice` puts other bytes in the place of some.
        raw = raw[:at] + with_ + raw[at + change.get("length", 0) :]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(raw)


def check_export(vectors, case):
    """Whether the verdict on a changed export is the one the vector wants; and what was said."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = os.path.join(temporary, "export")
        shutil.copytree(os.path.join(vectors, "export"), folder)
        for change in case["edits"]:
            edit(folder, change)
        seen = [Seen(f"seen-{at}", text.encode()) for at, text in enumerate(case["seen"])]
        _, _, wrongs = verify_export(folder, keys_of(case["keys"]), seen)
    if not wrongs:
        return case["valid"], "valid"
    named = (wrongs[0].position, wrongs[0].last)
    return not case["valid"] and named == (case["position"], case["last"]), str(wrongs[0])


def run_vectors(folder):
    """Runs the vectors; gives back how many, and those that come out otherwise than they must."""
    count, failed = 0, []
    cases = json.loads(read_file(os.path.join(folder, "cases.json"), 2**26))["cases"]
    for case in cases:
        raw = unbase64(case["base64"]) if "base64" in case else case.get("input", "").encode()
        try:
            KINDS[case["kind"]](case, raw)
            said = None
        except Wrong as wrong:
            said = str(wrong)
        count += 1
        if (said is None) != case["valid"]:
            failed.append(f"{case['name']}: {said or 'accepted'}, though {case['why']}")
    for case in json.loads(read_file(os.path.join(folder, "exports.json"), 2**26))["cases"]:
        right, said = check_export(folder, case)
        count += 1
        if not right:
            failed.append(f"{case['name']}: {said}, though {case['why']}")
    return count, failed


# --- The command line -------------------------------------------------------------------------------------------


def command_line():
    parser = argparse.ArgumentParser(description="Checks a receipt or an export of a Coherency Ledger, offline.")
    commands = parser.add_subparsers(dest="command", required=True)
    receipt = commands.add_parser("receipt", help="a receipt, as the server answered it")
    receipt.add_argument("file")
    export = commands.add_parser("export", help="a folder made by `ledger audit export`")
    export.add_argument("folder")
    export.add_argument("--seen", action="append", default=[], metavar="FILE", help="a checkpoint or a receipt seen before")
    plaintext = commands.add_parser("plaintext", help="what a sealed event said, against its commitment in a receipt")
    plaintext.add_argument("file", help="the receipt")
    plaintext.add_argument("position", type=int)
    plaintext.add_argument("blinding", help="64 hexadecimal digits")
    plaintext.add_argument("plaintext", help="a file")
    for command in (receipt, export, plaintext):
        command.add_argument("--key", action="append", required=True, metavar="VKEY", help="a trusted key of the log")
    vectors = commands.add_parser("vectors", help="the test vectors: both verdicts must be those they want")
    vectors.add_argument("folder")
    return parser.parse_args()


def say_receipt(given):
    receipt = read_receipt(read_file(given.file, MAX_RECEIPT))
    checkpoint, _ = verify_receipt(receipt, keys_of(given.key))
    for event in receipt["events"]:
        print(f"position {event['position']}: {event['event_type']}")
    print(f"valid: in the log {checkpoint.origin} of {checkpoint.size} events")


def say_plaintext(given):
    receipt = read_receipt(read_file(given.file, MAX_RECEIPT))
    _, statements = verify_receipt(receipt, keys_of(given.key))
    found = [said for event, said in zip(receipt["events"], statements) if event["position"] == given.position]
    need(found, "the receipt holds no such position")
    need(is_digest(given.blinding), "a blinding is 64 lower-case hexadecimal digits")
    verify_plaintext(found[0], bytes.fromhex(given.blinding), read_file(given.plaintext, MAX_PAYLOAD))
    print(f"valid: position {given.position} said exactly this")


def say_export(given):
    seen = []
    for path in given.seen:
        try:
            seen.append(Seen(path, read_file(path, MAX_RECEIPT)))
        except Wrong as wrong:
            raise Wrong(f"{path}: {wrong}") from None
    export, checkpoint, wrongs = verify_export(given.folder, keys_of(given.key), seen)
    if wrongs:
        print(f"NOT valid: {wrongs[0]}")
        for wrong in wrongs[1:20]:
            print(f"and {wrong}")
        return 1
    print(f"valid: {checkpoint.size} events of {checkpoint.origin} in {len(export.sequences)} streams, {len(export.keyring.periods)} keys")
    print(f"as of size {checkpoint.size}, {export.latest:%Y-%m-%dT%H:%M:%S.%fZ}")
    for one in seen:
        print(f"compared with the {'receipt' if one.receipt else 'checkpoint'} {one.name} of size {one.checkpoint.size}")
    if not seen:
        print("compared with nothing earlier: a removal of the newest events would not show")
    return 0


def say_vectors(given):
    count, failed = run_vectors(given.folder)
    for name in failed:
        print(f"NOT as it must be: {name}")
    print(f"{count} vectors, {len(failed)} of them not as they must be")
    return 1 if failed or not count else 0


def main():
    sys.stdout.reconfigure(errors="backslashreplace")
    given = command_line()
    say = {"receipt": say_receipt, "export": say_export, "plaintext": say_plaintext, "vectors": say_vectors}
    try:
        return say[given.command](given) or 0
    except Wrong as wrong:
        print(f"NOT valid: {wrong}")
    except OSError as error:
        print(f"NOT valid: {error.strerror}: {error.filename}")
    except (ValueError, RecursionError, MemoryError) as error:
        print(f"NOT valid: it cannot be read ({type(error).__name__})")
    return 1


if __name__ == "__main__":
    sys.exit(main())
