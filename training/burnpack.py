"""Reads the first network's weights out of those the program keeps (`wound.bpk`), by the names `network.py` gives them."""

import struct
from pathlib import Path

import cbor2
import numpy as np
import torch

MAGIC = 0x4255524E
ALIGNMENT = 256
KINDS = {"F16": np.float16, "F32": np.float32}
NAMES = {"gamma": "weight", "beta": "bias"}


def read(path):
    everything = Path(path).read_bytes()
    magic, _version, size = struct.unpack_from("<IHI", everything)
    if magic != MAGIC:
        raise SystemExit(f"{path} is no burnpack file")
    header = struct.calcsize("<IHI")
    listed = cbor2.loads(everything[header : header + size])["tensors"]
    start = -(-(header + size) // ALIGNMENT) * ALIGNMENT
    weights = {}
    for name, tensor in listed.items():
        # Files of one network alone, as they were at first, name no member. The calibration is fitted by the
        # program each time it takes weights over.
        name = name.removeprefix("members.0.")
        if name == "calibration" or name.startswith("members."):
            continue
        first, last = (start + offset for offset in tensor["data_offsets"])
        numbers = np.frombuffer(everything[first:last], KINDS[tensor["dtype"]])
        head, _, last = name.rpartition(".")
        name = ".".join(filter(None, [head, NAMES.get(last, last)]))
        weights[name] = torch.from_numpy(
            numbers.reshape(tensor["shape"]).astype(np.float32)
        )
    return weights
