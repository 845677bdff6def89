"""The mean of several runs' weights, where they part late from one start: one network, better than
each ("model soup", arXiv:2203.05482).

    python soup.py OUTPUT.pt NETWORK.pt...
"""

import sys

import torch

from network import Network, size_of
from train import write


def main():
    output, *inputs = sys.argv[1:]
    if len(inputs) < 2:
        raise SystemExit(__doc__)
    every = [torch.load(path, weights_only=True)["network"] for path in inputs]
    if any(weights.keys() != every[0].keys() for weights in every):
        raise SystemExit("the networks are not of one size")
    mean = {name: sum(weights[name] for weights in every) / len(every) for name in every[0]}
    network = Network(size_of(mean))
    missing, unexpected = network.load_state_dict(mean, strict=False)
    if unexpected or any(not name.endswith("num_batches_tracked") for name in missing):
        raise SystemExit(f"missing {missing}, unexpected {unexpected}")
    write(network, network.state_dict(), output)


if __name__ == "__main__":
    main()
