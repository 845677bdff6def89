"""Trains the wound network on processors. See README.md."""

import argparse
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F

import burnpack
import data
from network import SIZES, Network, load_encoder

WARM_UP = 40
AVERAGE_DECAY = 0.993


def load_start(network, path):
    """The program's own weights, to go on from."""
    missing, unexpected = network.load_state_dict(burnpack.read(path), strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise SystemExit(f"{path}: missing {missing}, unexpected {unexpected}")


def write(network, weights, path):
    """The weights, and what they give for an input: `ledger model import` compares."""
    network.load_state_dict(weights)
    network.eval()
    chance = torch.Generator().manual_seed(0)
    coarse = torch.rand([2, 3, 6, 9], generator=chance) * 2 - 1
    given = F.interpolate(coarse, size=(192, 288), mode="bilinear")
    given += 0.1 * torch.randn(given.shape, generator=chance)
    with torch.no_grad():
        reference = {"input": given, "output": network(given).contiguous()}
    plain = {k: v.contiguous() for k, v in weights.items() if v.is_floating_point()}
    torch.save({"network": plain, "reference": reference}, path)


def loss_of(logits, truth):
    """Cross entropy of each pixel, soft Dice of all, soft Dice of each picture with a wound."""
    entropy = F.binary_cross_entropy_with_logits(logits, truth)
    probability = torch.sigmoid(logits)
    both = (probability * truth).sum((1, 2, 3))
    each = probability.sum((1, 2, 3)) + truth.sum((1, 2, 3))
    pooled = 1 - (2 * both.sum() + 1) / (each.sum() + 1)
    wound = truth.sum((1, 2, 3)) > 20
    alone = 1 - (2 * both[wound] + 1) / (each[wound] + 1)
    return 2 * entropy + pooled + (alone.mean() if wound.any() else 0)


def rate(step, options):
    """A short rise, a plateau, half a cosine down to nearly nothing at the end."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    left = options.steps - step
    if left >= options.decay:
        return 1.0
    return 0.01 + 0.99 * 0.5 * (1 - math.cos(math.pi * left / options.decay))


def sample(pools, side, rng, phantoms, woundless):
    """One picture to learn from, as the network is to see it this time."""
    draw = rng.random()
    pool = pools[2 if draw < woundless else 1 if draw < woundless + phantoms else 0]
    picture = pool[rng.integers(len(pool))]
    image, mask = data.look(picture, side, rng, rng.random() < 0.65)
    return data.normalise(data.recolour(image, rng)), mask.astype(np.float32)


def work(rank, options, pools):
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(options.port))
    dist.init_process_group("gloo", rank=rank, world_size=options.processes)
    torch.manual_seed(options.seed)
    network = Network(options.size)
    load_encoder(network, options.encoder)
    if options.start:
        load_start(network, options.start)
    network = network.to(memory_format=torch.channels_last)
    encoder, decoder = [], list(network.decoder.parameters()) + list(network.head.parameters())
    for index, block in enumerate(network.encoder.blocks):
        if index >= network.encoder.first_trained:
            encoder += list(block.parameters())
            block.drop = options.drop * index / len(network.encoder.blocks)
    network.encoder.requires_grad_(False)
    for parameter in encoder:
        parameter.requires_grad_(True)
    network.encoder.eval()
    network.decoder.train()
    groups = []
    for parameters, share in ((encoder, options.encoder_share), (decoder, 1.0)):
        for many in (True, False):
            some = [p for p in parameters if (p.ndim > 1) == many]
            groups.append(
                {"params": some, "share": share, "weight_decay": 1e-2 if many else 0.0}
            )
    optimizer = torch.optim.AdamW(groups, lr=options.rate)
    learned = encoder + decoder
    statistics = [b for b in network.decoder.buffers() if b.is_floating_point()]
    state = network.state_dict()
    average = {k: v.clone() for k, v in state.items()}
    first = 0
    checkpoint = Path(options.output) / "checkpoint.pt"
    if checkpoint.exists():
        kept = torch.load(checkpoint, map_location="cpu", weights_only=True)
        network.load_state_dict(kept["network"])
        optimizer.load_state_dict(kept["optimizer"])
        average, first = kept["average"], kept["step"]
    started, sums = time.time(), []
    for step in range(first, options.steps):
        rng = np.random.default_rng([options.seed, step, rank])
        late = options.steps - step <= options.late
        side, count = (options.late_side, options.late_batch) if late else (options.side, options.batch)
        made = step >= options.made_from
        shares = (options.phantoms, options.woundless) if made else (0.0, 0.0)
        samples = [sample(pools, side, rng, *shares) for _ in range(count)]
        images = torch.from_numpy(np.stack([s[0] for s in samples])).permute(0, 3, 1, 2)
        truth = torch.from_numpy(np.stack([s[1] for s in samples]))[:, None]
        for group in groups:
            group["lr"] = options.rate * group["share"] * rate(step, options)
        for group, real in zip(groups, optimizer.param_groups):
            real["lr"] = group["lr"]
        torch.manual_seed(int(rng.integers(1 << 62)))
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.half):
            logits = network(images)
        loss = loss_of(logits.float(), truth)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        flat = torch.cat(
            [p.grad.reshape(-1) for p in learned] + [b.reshape(-1) for b in statistics]
        )
        dist.all_reduce(flat)
        flat /= options.processes
        at = 0
        for p in learned:
            p.grad = flat[at : at + p.numel()].view(p.shape).contiguous(
                memory_format=torch.channels_last if p.ndim == 4 else torch.contiguous_format
            )
            at += p.numel()
        for b in statistics:
            b.copy_(flat[at : at + b.numel()].view(b.shape))
            at += b.numel()
        torch.nn.utils.clip_grad_norm_(learned, 3.0)
        optimizer.step()
        sums.append(loss.item())
        if rank == 0:
            keep = min(AVERAGE_DECAY, (1 + step) / (10 + step))
            with torch.no_grad():
                for name, value in network.state_dict().items():
                    if value.is_floating_point():
                        average[name].lerp_(value, 1 - keep)
            done = step + 1
            if done % 10 == 0:
                line = {
                    "step": done,
                    "loss": round(float(np.mean(sums[-10:])), 4),
                    "rate": round(groups[-1]["lr"], 6),
                    "seconds": round(time.time() - started, 1),
                }
                with open(Path(options.output) / "log.ndjson", "a") as log:
                    log.write(json.dumps(line) + "\n")
            if done % 20 == 0 or done == options.steps:
                everything = {
                    "network": network.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "average": average,
                    "step": done,
                }
                torch.save(everything, checkpoint.with_suffix(".new"))
                checkpoint.with_suffix(".new").replace(checkpoint)
    if rank == 0:
        write(network, average, Path(options.output) / "network.pt")
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", required=True, help="folder with images/ and labels/")
    parser.add_argument("--made", help="what `ledger model material` wrote")
    parser.add_argument("--phantoms", type=float, default=0.07, help="share of the pictures")
    parser.add_argument("--woundless", type=float, default=0.07, help="likewise, of made ones")
    parser.add_argument("--made-from", type=int, default=0, help="step from which it is seen")
    parser.add_argument("--size", choices=SIZES, default="lite0", help="of the encoder")
    parser.add_argument("--encoder", required=True, help="efficientnet-SIZE-*.pth")
    parser.add_argument("--start", help="weights of the program (.bpk) to go on from")
    parser.add_argument("--output", required=True, help="folder; an interrupted run goes on there")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--decay", type=int, required=True, help="steps over which the rate falls")
    parser.add_argument("--side", type=int, default=192)
    parser.add_argument("--batch", type=int, default=8, help="pictures of a process in a step")
    parser.add_argument("--late", type=int, default=0, help="last steps, on larger parts")
    parser.add_argument("--late-side", type=int, default=288)
    parser.add_argument("--late-batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--encoder-share", type=float, default=0.35)
    parser.add_argument("--drop", type=float, default=0.0, help="stochastic depth, at the last block")
    parser.add_argument("--half", action="store_true", help="bfloat16, where AVX-512 has it")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port", type=int, default=29517)
    options = parser.parse_args()
    Path(options.output).mkdir(parents=True, exist_ok=True)
    photographs = data.read(options.photographs, lambda stem: not data.held_out(stem))
    phantoms, woundless = [], []
    if options.made_from < options.steps:
        phantoms = data.read(options.made, lambda stem: stem.startswith("phantom"))
        woundless = data.read(options.made, lambda stem: not stem.startswith("phantom"))
    pools = (photographs, phantoms, woundless)
    # Forked processes share the pictures.
    mp.start_processes(work, (options, pools), nprocs=options.processes, start_method="fork")


if __name__ == "__main__":
    main()
