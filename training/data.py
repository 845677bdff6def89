"""Pictures with masks, the fixed split, and what a picture looks like each time it is seen."""

import hashlib
import math
from pathlib import Path

import cv2
import numpy as np

# The longer side of the grid on which the program looks at a picture.
GRID = 384


def held_out(stem):
    """The side of the split: `Split::of` in `dataset.rs`."""
    digest = hashlib.sha256(f"wound-split-1:{stem}".encode()).digest()
    return int.from_bytes(digest[:2], "big") % 100 < 15


class Picture:
    """A picture and its mask, as they came and on the grid."""

    def __init__(self, image, mask):
        self.image, self.mask = image, mask
        scale = GRID / max(image.shape[:2])
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        self.small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        self.scale = scale
        ys, xs = np.nonzero(mask > 127)
        # Some places on the wound, to look at.
        keep = np.linspace(0, len(xs) - 1, min(len(xs), 256)).astype(int)
        self.wound = np.stack([xs[keep], ys[keep]], 1).astype(np.float32)
        # Photographs of the challenge are padded with black: the part that shows something.
        light = image.max(2) > 16
        rows, columns = light.mean(1) > 0.05, light.mean(0) > 0.05
        y, x = np.nonzero(rows)[0], np.nonzero(columns)[0]
        height, width = image.shape[:2]
        self.content = (
            (x[0], y[0], x[-1] + 1, y[-1] + 1) if len(x) and len(y) else (0, 0, width, height)
        )


def read(folder, wanted=lambda stem: True):
    """The pairs of `folder/images` and `folder/labels`, by stem."""
    folder, pictures = Path(folder), []
    labels = {path.stem: path for path in (folder / "labels").iterdir()}
    for path in sorted((folder / "images").iterdir(), key=lambda path: path.stem):
        if wanted(path.stem) and path.stem in labels:
            image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            mask = cv2.imread(str(labels[path.stem]), cv2.IMREAD_GRAYSCALE)
            pictures.append(Picture(image, mask))
    return pictures


def look(picture, side, rng, on_wound):
    """A part of the picture, `side` pixels square, turned, mirrored, nearer or farther."""
    zoom = math.exp(rng.uniform(math.log(0.6), math.log(1.5)))
    x0, y0, x1, y1 = picture.content
    scale = picture.scale * zoom
    span = side / scale
    if on_wound and len(picture.wound):
        middle = picture.wound[rng.integers(len(picture.wound))]
        middle = middle + span * rng.uniform(-0.38, 0.38, 2)
    else:
        # Anywhere, mostly inside of what there is to see.
        room = [max(x1 - x0 - 0.7 * span, 0), max(y1 - y0 - 0.7 * span, 0)]
        middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2]) + room * rng.uniform(-0.5, 0.5, 2)
    angle = rng.uniform(-0.4, 0.4) if rng.random() < 0.7 else 0.0
    if rng.random() < 0.4:
        angle += math.pi / 2 * rng.integers(4)
    stretch, mirrored = rng.uniform(0.92, 1.08), rng.random() < 0.5
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    forward = np.array([[cos * stretch, -sin * stretch], [sin / stretch, cos / stretch]])
    if mirrored:
        forward[0] *= -1
    shift = np.array([side / 2, side / 2]) - forward @ middle
    affine = np.concatenate([forward, shift[:, None]], 1)
    mask = cv2.warpAffine(picture.mask, affine, (side, side), flags=cv2.INTER_LINEAR)
    image = picture.image
    if zoom < 1.05:
        affine = affine.copy()
        affine[:, :2] /= picture.scale
        # Pixels' middles, not their corners, lie over each other.
        affine[:, 2] += affine[:, :2] @ np.full(2, (picture.scale - 1) / -2)
        image = picture.small
    image = cv2.warpAffine(image, affine, (side, side), flags=cv2.INTER_LINEAR)
    return image, mask > 127


def recolour(image, rng):
    """Light, contrast, colour, shadow, blur, noise, compression."""
    side = image.shape[0]
    if rng.random() < 0.15:
        quality = int(rng.integers(25, 80))
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    image = image.astype(np.float32)
    if rng.random() < 0.85:
        grey = image.mean(2, keepdims=True)
        image = grey + (image - grey) * rng.uniform(0.65, 1.4)
        cast = rng.uniform(0.7, 1.3) * rng.uniform(0.9, 1.1, 3)
        contrast = rng.uniform(0.75, 1.3)
        image = (image * cast.astype(np.float32) - 118) * np.float32(contrast) + 118
        image = np.clip(image * np.float32(1 / 255), 0, 1)
        image = cv2.pow(image, rng.uniform(0.75, 1.33)) * np.float32(255)
    if rng.random() < 0.2:
        # A shadow, or light from one side.
        angle, strength = rng.uniform(0, 2 * math.pi), rng.uniform(0.2, 0.6)
        along = np.linspace(-1, 1, side, dtype=np.float32)
        ramp = math.cos(angle) * along[None] + math.sin(angle) * along[:, None]
        soft = 1 / (1 + np.exp(-(ramp - rng.uniform(-0.7, 0.7)) * rng.uniform(2, 20)))
        image = image * (1 - strength * soft).astype(np.float32)[..., None]
    if rng.random() < 0.2:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6))
    if rng.random() < 0.25:
        image = image + rng.normal(0, rng.uniform(2, 10), image.shape).astype(np.float32)
    return np.clip(image, 0, 255)


def normalise(image):
    """What a pixel is to the network."""
    return (image.astype(np.float32) - 127) / 128
