//! The network: an EfficientNet-Lite encoder, a light U-Net decoder and a sub-pixel head.
//!
//! The head works on half the input's grid and rearranges four channels into 2 × 2 pixels, so
//! that the mask has the input's resolution without a convolution at that resolution.

use burn::{
    module::{Module, Param},
    nn::{
        BatchNorm, BatchNormConfig, Initializer, PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
        interpolate::{Interpolate2d, Interpolate2dConfig, InterpolateMode},
    },
    tensor::{Device, Tensor, activation},
};

/// The epsilon the published encoder was trained with.
const ENCODER_EPSILON: f64 = 1e-3;

/// The encoder's plan: kernel, stride of the first block and expansion of each stage.
const STAGES: [(usize, usize, usize); 7] =
    [(3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6), (3, 1, 6)];

/// The stages whose outputs the decoder sees, at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input: the grid is halved
/// after them, or they are the last.
const TAPPED: [usize; 5] = [0, 1, 2, 4, 6];

/// How large the encoder is: the same plan, wider and deeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// EfficientNet-Lite0.
    Lite0,
    /// EfficientNet-Lite2.
    Lite2,
}

impl Size {
    pub(crate) const ALL: [Self; 2] = [Self::Lite0, Self::Lite2];

    /// Channels out of each stage.
    fn channels(self) -> [usize; 7] {
        match self {
            Self::Lite0 => [16, 24, 40, 80, 112, 192, 320],
            Self::Lite2 => [16, 24, 48, 88, 120, 208, 352],
        }
    }

    /// Blocks of each stage.
    fn blocks(self) -> [usize; 7] {
        match self {
            Self::Lite0 => [1, 2, 2, 3, 3, 4, 1],
            Self::Lite2 => [1, 3, 3, 4, 4, 5, 1],
        }
    }

    /// The size of the encoder among tensors of these names: its blocks are counted.
    pub(crate) fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let block = |name: &'a str| name.split_once("blocks.")?.1.split('.').next();
        let blocks = names.into_iter().filter_map(block).filter_map(|it| it.parse().ok());
        let count = blocks.max().map_or(0, |last: usize| last.saturating_add(1));
        let size = Self::ALL.into_iter().find(|size| size.blocks().iter().sum::<usize>() == count);
        size.ok_or_else(|| format!("no encoder known here has {count} blocks"))
    }
}

/// Channels of the stem.
const STEM: usize = 32;

/// Blocks before the grid was halved so often see fine grids: cheap to run, dear to train, and general
/// enough as they were published.
#[cfg(feature = "training")]
const DEEP_HALVINGS: usize = 3;

/// Channels of the decoder's stages, from 1/16 to 1/2.
const DECODER_CHANNELS: [usize; 4] = [96, 64, 40, 16];

/// The logit with which a fresh head answers every pixel: about one in fifty is wound.
const PRIOR_LOGIT: f32 = -4.0;

/// The input's sides must be multiples of this.
pub(crate) const STRIDE: usize = 32;

fn convolution(channels: [usize; 2], kernel: usize, stride: usize, groups: usize) -> Conv2dConfig {
    Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_groups(groups)
        .with_padding(PaddingConfig2d::Same)
        .with_bias(false)
        .with_initializer(Initializer::KaimingNormal {
            gain: std::f64::consts::SQRT_2,
            fan_out_only: false,
        })
}

fn encoder_norm(channels: usize, device: &Device) -> Option<BatchNorm> {
    let config = BatchNormConfig::new(channels).with_epsilon(ENCODER_EPSILON).with_momentum(0.01);
    Some(config.init(device))
}

fn decoder_norm(channels: usize, device: &Device) -> Option<BatchNorm> {
    Some(BatchNormConfig::new(channels).init(device))
}

/// A convolution and, unless it is folded in, the batch norm after it.
fn normed(conv: &Conv2d, norm: &Option<BatchNorm>, input: Tensor<4>) -> Tensor<4> {
    let x = conv.forward(input);
    match norm {
        Some(norm) => norm.forward(x),
        None => x,
    }
}

/// Folds a batch norm's kept statistics into the convolution before it: the same function to
/// rounding, without several passes over what the convolution gave.
fn fold(conv: &mut Conv2d, norm: &mut Option<BatchNorm>) {
    let Some(norm) = norm.take() else { return };
    let scale = norm.gamma.val() / (norm.running_var.value() + norm.epsilon).sqrt();
    let shift = norm.beta.val() - norm.running_mean.value() * scale.clone();
    let channels = scale.dims()[0];
    conv.weight =
        conv.weight.clone().map(|weight| weight * scale.clone().reshape([channels, 1, 1, 1]));
    conv.bias = Some(Param::from_tensor(shift));
}

/// An inverted residual block without squeeze-and-excitation ("Lite"). Field names are those of
/// the published weights without their leading underscore.
#[derive(Module, Debug)]
struct Block {
    expand_conv: Option<Conv2d>,
    bn0: Option<BatchNorm>,
    depthwise_conv: Conv2d,
    bn1: Option<BatchNorm>,
    project_conv: Conv2d,
    bn2: Option<BatchNorm>,
    residual: bool,
}

impl Block {
    fn new(
        input: usize,
        output: usize,
        kernel: usize,
        stride: usize,
        expansion: usize,
        device: &Device,
    ) -> Self {
        let wide = input * expansion;
        let expand = expansion > 1;
        Self {
            expand_conv: expand.then(|| convolution([input, wide], 1, 1, 1).init(device)),
            bn0: if expand { encoder_norm(wide, device) } else { None },
            depthwise_conv: convolution([wide, wide], kernel, stride, wide).init(device),
            bn1: encoder_norm(wide, device),
            project_conv: convolution([wide, output], 1, 1, 1).init(device),
            bn2: encoder_norm(output, device),
            residual: stride == 1 && input == output,
        }
    }

    /// Whether its grid is half as fine as the one before.
    fn halves(&self) -> bool {
        self.depthwise_conv.stride != [1, 1]
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let mut x = input.clone();
        if let Some(conv) = &self.expand_conv {
            x = activation::relu6(normed(conv, &self.bn0, x));
        }
        x = activation::relu6(normed(&self.depthwise_conv, &self.bn1, x));
        x = normed(&self.project_conv, &self.bn2, x);
        if self.residual { x + input } else { x }
    }

    /// Weights may learn; the batch norms keep the statistics and scales they came with, because
    /// small batches would spoil them.
    #[cfg(feature = "training")]
    fn tune(mut self) -> Self {
        self.expand_conv = self.expand_conv.map(Module::unfreeze);
        self.depthwise_conv = self.depthwise_conv.unfreeze();
        self.project_conv = self.project_conv.unfreeze();
        self
    }

    fn fold(&mut self) {
        if let Some(conv) = &mut self.expand_conv {
            fold(conv, &mut self.bn0);
        }
        fold(&mut self.depthwise_conv, &mut self.bn1);
        fold(&mut self.project_conv, &mut self.bn2);
    }
}

/// An EfficientNet-Lite without its classifier.
#[derive(Module, Debug)]
pub(crate) struct Encoder {
    conv_stem: Conv2d,
    bn0: Option<BatchNorm>,
    blocks: Vec<Block>,
}

impl Encoder {
    fn new(size: Size, device: &Device) -> Self {
        let mut blocks = Vec::new();
        let mut input = STEM;
        let widths = size.channels().into_iter().zip(size.blocks());
        for ((kernel, stride, expansion), (output, repeats)) in STAGES.into_iter().zip(widths) {
            for repeat in 0..repeats {
                let stride = if repeat == 0 { stride } else { 1 };
                blocks.push(Block::new(input, output, kernel, stride, expansion, device));
                input = output;
            }
        }
        Self {
            conv_stem: convolution([3, STEM], 3, 2, 1).init(device),
            bn0: encoder_norm(STEM, device),
            blocks,
        }
    }

    fn forward(&self, input: Tensor<4>) -> Vec<Tensor<4>> {
        let mut x = activation::relu6(normed(&self.conv_stem, &self.bn0, input));
        let mut taps = Vec::with_capacity(TAPPED.len());
        for block in &self.blocks {
            if block.halves() {
                taps.push(x.clone());
            }
            x = block.forward(x);
        }
        taps.push(x);
        taps
    }
}

/// Two 3 × 3 convolutions with batch norms.
#[derive(Module, Debug)]
pub(crate) struct Refine {
    conv1: Conv2d,
    norm1: Option<BatchNorm>,
    conv2: Conv2d,
    norm2: Option<BatchNorm>,
}

impl Refine {
    fn new(input: usize, output: usize, device: &Device) -> Self {
        Self {
            conv1: convolution([input, output], 3, 1, 1).init(device),
            norm1: decoder_norm(output, device),
            conv2: convolution([output, output], 3, 1, 1).init(device),
            norm2: decoder_norm(output, device),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let x = activation::relu(normed(&self.conv1, &self.norm1, input));
        activation::relu(normed(&self.conv2, &self.norm2, x))
    }
}

/// The whole network. Input: `[n, 3, height, width]`, scaled by [`normalise`], sides multiples of
/// [`STRIDE`]; output: logits `[n, 1, height, width]`.
#[derive(Module, Debug)]
pub(crate) struct Network {
    pub(crate) encoder: Encoder,
    pub(crate) decoder: Vec<Refine>,
    upsample: Interpolate2d,
    pub(crate) head: Conv2d,
}

/// What a pixel's channel (0 to 255) is to the network.
pub(crate) fn normalise(value: f32) -> f32 {
    (value - 127.0) / 128.0
}

impl Network {
    /// A network with random weights, in training state.
    pub(crate) fn new(size: Size, device: &Device) -> Self {
        let mut decoder = Vec::with_capacity(DECODER_CHANNELS.len());
        let [skips @ .., mut input] = TAPPED.map(|stage| size.channels()[stage]);
        for (skip, output) in skips.into_iter().rev().zip(DECODER_CHANNELS) {
            decoder.push(Refine::new(input + skip, output, device));
            input = output;
        }
        let mut head = Conv2dConfig::new([input, 4], [3, 3])
            .with_padding(PaddingConfig2d::Same)
            .with_bias(true)
            .init(device);
        // Most pixels are no wound: that must be the answer of silent features, or the network
        // spends its features on saying no and cannot be sure of a yes.
        head.bias = head.bias.map(|bias| bias.map(|bias| bias * 0.0 + PRIOR_LOGIT));
        Self {
            encoder: Encoder::new(size, device),
            decoder,
            upsample: Interpolate2dConfig::new()
                .with_scale_factor(Some([2.0, 2.0]))
                .with_mode(InterpolateMode::Nearest)
                .init(),
            head,
        }
    }

    /// Logits for each pixel.
    pub(crate) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let mut taps = self.encoder.forward(input);
        let mut x = taps.pop().expect("the encoder has five taps");
        for refine in &self.decoder {
            let skip = taps.pop().expect("a tap for each decoder stage");
            x = refine.forward(Tensor::cat(vec![self.upsample.forward(x), skip], 1));
        }
        let x = self.head.forward(x);
        let [n, _, height, width] = x.dims();
        x.reshape([n, 2, 2, height, width]).permute([0, 3, 1, 4, 2]).reshape([
            n,
            1,
            height * 2,
            width * 2,
        ])
    }

    /// The same function without batch norms, for looking only.
    pub(crate) fn folded(mut self) -> Self {
        fold(&mut self.encoder.conv_stem, &mut self.encoder.bn0);
        self.encoder.blocks.iter_mut().for_each(Block::fold);
        for refine in &mut self.decoder {
            fold(&mut refine.conv1, &mut refine.norm1);
            fold(&mut refine.conv2, &mut refine.norm2);
        }
        self
    }

    /// The same network with each logit `slope` times as large.
    #[cfg(any(test, feature = "training"))]
    pub(crate) fn rescale(mut self, slope: f32) -> Self {
        self.head.weight = self.head.weight.map(|weight| weight * slope);
        self.head.bias = self.head.bias.map(|bias| bias.map(|bias| bias * slope));
        self
    }
}

/// What learns.
#[cfg(feature = "training")]
impl Network {
    /// Only the decoder learns.
    pub(crate) fn freeze_encoder(mut self) -> Self {
        self.encoder = self.encoder.freeze();
        self
    }

    /// The decoder and the encoder's deep blocks learn.
    pub(crate) fn tune_deep_encoder(mut self) -> Self {
        self = self.freeze_encoder();
        let mut halvings = 0;
        let tune = |block: Block| {
            halvings += usize::from(block.halves());
            if halvings >= DEEP_HALVINGS { block.tune() } else { block }
        };
        self.encoder.blocks = self.encoder.blocks.into_iter().map(tune).collect();
        self
    }

    /// The parameters of the encoder, which learn more slowly than the rest.
    pub(crate) fn encoder_ids(&self) -> Vec<burn::module::ParamId> {
        burn::module::list_param_ids(&self.encoder)
    }

    /// The parameters of the decoder and the head.
    pub(crate) fn decoder_ids(&self) -> Vec<burn::module::ParamId> {
        let mut ids = burn::module::list_param_ids(&self.decoder);
        ids.extend(burn::module::list_param_ids(&self.head));
        ids
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;

    use super::*;

    #[test]
    fn the_blocks_tell_the_size() {
        let device = Device::flex();
        for size in Size::ALL {
            let network = Network::new(size, &device);
            let count = network.encoder.blocks.len();
            let names: Vec<_> = (0..count).map(|it| format!("encoder.blocks.{it}.bn1")).collect();
            assert_eq!(Size::of(names.iter().map(String::as_str)), Ok(size));
            let logits = network.valid().forward(Tensor::zeros([1, 3, 64, 96], &device));
            assert_eq!(logits.dims(), [1, 1, 64, 96]);
        }
        for (names, count) in [([].as_slice(), "0"), (&["encoder.blocks.17.bn0"], "18")] {
            let refused = Size::of(names.iter().copied()).expect_err("refused");
            assert!(refused.contains(count), "{refused}");
        }
    }

    #[test]
    fn folding_changes_the_form_and_not_the_function() {
        let device = Device::flex();
        device.seed(3);
        let mut network = Network::new(Size::Lite0, &device).valid();
        // Scales that are not those of a fresh norm, or folding them would prove nothing.
        for refine in &mut network.decoder {
            for norm in [&mut refine.norm1, &mut refine.norm2].into_iter().flatten() {
                let channels = norm.gamma.dims()[0];
                norm.gamma = Param::from_tensor(Tensor::full([channels], 0.7, &device));
                norm.beta = Param::from_tensor(Tensor::full([channels], 0.2, &device));
            }
        }
        let input = Tensor::random([1, 3, 64, 64], Distribution::Default, &device);
        let before = network.forward(input.clone());
        let after = network.folded().forward(input);
        let apart = (before.clone() - after).abs().max().into_scalar::<f32>();
        let spread = (before.clone().max() - before.min()).into_scalar::<f32>();
        assert!(spread > 1e-2, "the network says something: {spread}");
        assert!(apart < 1e-3, "{apart}");
    }
}
