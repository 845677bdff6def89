"""The wound network, as `projections/src/wound/network/model.rs` has it, name for name."""

import torch
import torch.nn as nn
import torch.nn.functional as F

# Kernel, stride of the first block, expansion.
STAGES = ((3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6), (3, 1, 6))
# Channels out and blocks of each stage, for each published size.
SIZES = {
    "lite0": ((16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 3, 3, 4, 1)),
    "lite2": ((16, 24, 48, 88, 120, 208, 352), (1, 3, 3, 4, 4, 5, 1)),
}
# The stages whose outputs the decoder sees, at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input.
TAPPED = (0, 1, 2, 4, 6)
# Stages before this one stay as published: their fine grids are dear to train.
FIRST_TRAINED_STAGE = 2
DECODER_CHANNELS = (96, 64, 40, 16)
PRIOR_LOGIT = -4.0


def convolve(conv, norm, x):
    """The convolution with its batch norm's kept statistics folded in: the same function as
    both in turn, at the cost of one."""
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    weight = conv.weight * scale.view(-1, 1, 1, 1)
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    padding = (kernel - 1) // 2
    if stride == 2:
        # The published weights expect "same" padding, which for even sides lies more to the
        # right and below.
        total = kernel - 2
        x = F.pad(x, (total // 2, total - total // 2, total // 2, total - total // 2))
        padding = 0
    if conv.groups == 1 or not torch.is_grad_enabled():
        return F.conv2d(x, weight, shift, stride, padding, 1, conv.groups)
    # On processors the way back is several times slower in half precision than in single.
    with torch.autocast(x.device.type, enabled=False):
        return F.conv2d(x.float(), weight, shift, stride, padding, 1, conv.groups)


def convolution(i, o, kernel, stride=1, groups=1):
    return nn.Conv2d(i, o, kernel, stride, groups=groups, bias=False)


class Block(nn.Module):
    def __init__(self, i, o, kernel, stride, expansion):
        super().__init__()
        wide = i * expansion
        self.residual = stride == 1 and i == o
        # How often a picture passes by, while it learns (stochastic depth, arXiv:1603.09382).
        self.drop = 0.0
        if expansion > 1:
            self.expand_conv = convolution(i, wide, 1)
            self.bn0 = nn.BatchNorm2d(wide, eps=1e-3)
        else:
            self.expand_conv = None
        self.depthwise_conv = convolution(wide, wide, kernel, stride, wide)
        self.bn1 = nn.BatchNorm2d(wide, eps=1e-3)
        self.project_conv = convolution(wide, o, 1)
        self.bn2 = nn.BatchNorm2d(o, eps=1e-3)

    def forward(self, x):
        y = x
        if self.expand_conv is not None:
            y = F.relu6(convolve(self.expand_conv, self.bn0, y), inplace=True)
        y = F.relu6(convolve(self.depthwise_conv, self.bn1, y), inplace=True)
        y = convolve(self.project_conv, self.bn2, y)
        if not self.residual:
            return y
        if self.drop and torch.is_grad_enabled():
            kept = torch.rand([x.shape[0], 1, 1, 1], device=x.device) >= self.drop
            y = y * (kept / (1 - self.drop)).to(y.dtype)
        return x + y


class Encoder(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.conv_stem = convolution(3, 32, 3, 2)
        self.bn0 = nn.BatchNorm2d(32, eps=1e-3)
        blocks, self.taps, i = [], [], 32
        for stage, ((kernel, stride, expansion), o, repeats) in enumerate(zip(STAGES, *SIZES[size])):
            if stage == FIRST_TRAINED_STAGE:
                self.first_trained = len(blocks)
            for repeat in range(repeats):
                blocks.append(Block(i, o, kernel, stride if repeat == 0 else 1, expansion))
                i = o
            if stage in TAPPED:
                self.taps.append(len(blocks) - 1)
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x):
        # What does not learn need not be remembered for the way back.
        with torch.no_grad():
            x = F.relu6(convolve(self.conv_stem, self.bn0, x), inplace=True)
        taps = []
        for index, block in enumerate(self.blocks):
            learns = torch.is_grad_enabled() and index >= self.first_trained
            with torch.set_grad_enabled(learns):
                x = block(x)
            if index in self.taps:
                taps.append(x)
        return taps


class Refine(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.conv1 = nn.Conv2d(i, o, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(o)
        self.conv2 = nn.Conv2d(o, o, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(o)
        for conv in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")

    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(x)), inplace=True)


class Network(nn.Module):
    """Logits `[n, 1, h, w]` for pictures `[n, 3, h, w]`, values `(byte - 127) / 128`, sides
    multiples of 32."""

    def __init__(self, size="lite0"):
        super().__init__()
        self.encoder = Encoder(size)
        channels = [SIZES[size][0][stage] for stage in TAPPED]
        decoder, i = [], channels.pop()
        for o in DECODER_CHANNELS:
            decoder.append(Refine(i + channels.pop(), o))
            i = o
        self.decoder = nn.ModuleList(decoder)
        self.head = nn.Conv2d(i, 4, 3, padding=1)
        nn.init.constant_(self.head.bias, PRIOR_LOGIT)

    def forward(self, x):
        taps = self.encoder(x)
        x = taps[4]
        for stage, refine in enumerate(self.decoder):
            x = refine(torch.cat([F.interpolate(x, scale_factor=2.0), taps[3 - stage]], 1))
        return F.pixel_shuffle(self.head(x), 2)


def size_of(names):
    """The size of the encoder among tensors of these names: its blocks are counted."""
    blocks = {name.split(".")[2] for name in names if name.startswith("encoder.blocks.")}
    return next(size for size, (_, repeats) in SIZES.items() if sum(repeats) == len(blocks))


def load_encoder(network, path):
    """The published ImageNet weights of an EfficientNet-Lite."""
    published = torch.load(path, map_location="cpu", weights_only=True)
    ours = {}
    for name, value in published.items():
        name = ".".join(part.removeprefix("_") for part in name.split("."))
        if not name.startswith(("conv_head", "bn1.", "fc")):
            ours[name] = value
    network.encoder.load_state_dict(ours, strict=True)
