//! From a picture to a probability for each of its pixels, and one for the whole.

use burn::{
    module::{Module, ModuleVisitor, Param},
    store::BurnpackStore,
    tensor::{DType, Device, Tensor, TensorData},
};
use image::{RgbImage, imageops};
use sha2::{Digest, Sha256};

use super::{
    closer::{self, Region},
    ensemble::Ensemble,
    evidence::{evidence, sigmoid, wound_probability},
    model::{STRIDE, normalise},
};

/// The longer side of the grid on which the network looks at a picture.
pub(crate) const GRID: u32 = 384;

/// So much finer than on the grid is the closer look.
const ZOOM: f32 = 1.5;

/// Where the first look finds nothing, the closer one goes to so many of the most wound-like cells.
const LIKELY_CELLS: usize = 64;

/// A pixel at this probability and above belongs to the wound.
pub(crate) const PIXEL_THRESHOLD: f32 = 0.5;

/// Bytes where a float may begin. The weights are read in place, and where the linker puts bytes
/// that ask for nothing is a matter of luck.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

static WEIGHTS: &Aligned<[u8]> = &Aligned(*include_bytes!("weights/wound.bpk"));

/// The weights that are part of the program, as they would lie in a file.
#[must_use]
pub fn embedded_weights() -> &'static [u8] {
    &WEIGHTS.0
}

/// Why weights could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum SegmenterError {
    /// The bytes are no weights file, or one of another network.
    #[error("these bytes are not weights of the wound network: {0}")]
    Weights(String),
    /// The file could not be read.
    #[error("the weights file could not be read")]
    Read(#[source] std::io::Error),
}

/// Where the wound is: probabilities on a grid that covers the picture exactly, row by row from
/// the top left. A grid cell is `picture width / width` by `picture height / height` pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Segmentation {
    /// Cells across.
    pub width: u32,
    /// Cells down.
    pub height: u32,
    /// For each cell, the probability that it shows wound.
    pub probability: Vec<f32>,
    /// The probability that the picture shows a wound at all.
    pub wound_probability: f32,
}

impl Segmentation {
    /// The answer for a picture in which there is nothing.
    #[must_use]
    pub fn none(width: u32, height: u32) -> Self {
        let cells = width as usize * height as usize;
        Self { width, height, probability: vec![0.0; cells], wound_probability: 0.0 }
    }

    /// Whether there is a wound, at a threshold on its probability (the one on the model's card unless
    /// there is a reason for another).
    #[must_use]
    pub fn wound_found(&self, threshold: f32) -> bool {
        self.wound_probability >= threshold
    }

    /// The cells that show wound.
    #[must_use]
    pub fn mask(&self) -> Vec<bool> {
        self.probability.iter().map(|p| *p >= PIXEL_THRESHOLD).collect()
    }

    /// The probability at a place of the picture, in cells from the top left corner, bilinear
    /// between the cells' middles.
    #[must_use]
    pub fn at(&self, x: f32, y: f32) -> f32 {
        between_cells(&self.probability, (self.width, self.height), x, y)
    }
}

/// The value at a place of a grid, bilinear between its cells' middles.
fn between_cells(values: &[f32], (width, height): (u32, u32), x: f32, y: f32) -> f32 {
    if width == 0 || height == 0 {
        return 0.0;
    }
    let last_x = (width - 1) as f32;
    let last_y = (height - 1) as f32;
    let x = (x - 0.5).clamp(0.0, last_x);
    let y = (y - 0.5).clamp(0.0, last_y);
    let (x0, y0) = (x.floor(), y.floor());
    let (fx, fy) = (x - x0, y - y0);
    let column = [x0 as usize, (x0 + 1.0).min(last_x) as usize];
    let row = [y0 as usize, (y0 + 1.0).min(last_y) as usize];
    let cell = |r: usize, c: usize| values[row[r] * width as usize + column[c]];
    let top = cell(0, 0) * (1.0 - fx) + cell(0, 1) * fx;
    let bottom = cell(1, 0) * (1.0 - fx) + cell(1, 1) * fx;
    top * (1.0 - fy) + bottom * fy
}

/// The grid for a picture: its shape, the longer side being [`GRID`].
fn grid(width: u32, height: u32) -> (u32, u32) {
    let longer = width.max(height);
    let side = |s: u32| {
        let cells = (f64::from(s) * f64::from(GRID) / f64::from(longer)).round();
        (cells as u32).clamp(1, GRID)
    };
    (side(width), side(height))
}

/// The network or networks, ready to look at pictures. Cheap to share between threads behind an `Arc`.
#[derive(Debug)]
pub struct Segmenter {
    networks: Ensemble,
    /// A factor for each number of the evidence, and the intercept.
    calibration: Vec<f32>,
    digest: [u8; 32],
    device: Device,
}

impl Segmenter {
    /// The network whose weights are part of the program.
    ///
    /// # Errors
    ///
    /// The weights in the program are not those of this network.
    pub fn embedded() -> Result<Self, SegmenterError> {
        let store = BurnpackStore::from_static(&WEIGHTS.0);
        Self::load(store, Sha256::digest(&WEIGHTS.0).into())
    }

    /// A network with weights from a file, as `training` writes them.
    ///
    /// # Errors
    ///
    /// The file cannot be read or holds no weights of this network.
    pub fn from_file(path: &std::path::Path) -> Result<Self, SegmenterError> {
        Self::from_bytes(std::fs::read(path).map_err(SegmenterError::Read)?)
    }

    /// A network with weights out of the store of registered models, or of a package.
    ///
    /// # Errors
    ///
    /// The bytes hold no weights of this network.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, SegmenterError> {
        let digest = Sha256::digest(&bytes).into();
        let bytes = burn::tensor::Bytes::from_bytes_vec(bytes);
        Self::load(BurnpackStore::from_bytes(Some(bytes)), digest)
    }

    fn load(store: BurnpackStore, digest: [u8; 32]) -> Result<Self, SegmenterError> {
        let device = Device::flex();
        let networks = Ensemble::load(store, &device).map_err(SegmenterError::Weights)?;
        let mut single = true;
        networks.visit(&mut Single(&mut single));
        if !single {
            return Err(SegmenterError::Weights("convolutions must be in half precision".into()));
        }
        Ok(Self::new(networks, digest, device))
    }

    pub(crate) fn new(networks: Ensemble, digest: [u8; 32], device: Device) -> Self {
        let networks = networks.valid().folded();
        Self { calibration: networks.calibration(), networks, digest, device }
    }

    /// The SHA-256 of the weights: the model's name in every measurement made with it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The digest in hexadecimal.
    #[must_use]
    pub fn digest_hex(&self) -> String {
        hex::encode(self.digest)
    }

    /// Looks at a picture.
    #[must_use]
    pub fn segment(&self, image: &RgbImage) -> Segmentation {
        if image.width() == 0 || image.height() == 0 {
            return Segmentation::none(0, 0);
        }
        let (width, height) = grid(image.width(), image.height());
        let probability = self.probability(image);
        let wound_probability = wound_probability(&evidence(&probability), &self.calibration);
        Segmentation { width, height, probability, wound_probability }
    }

    /// The networks, for comparing what they give.
    #[cfg(feature = "training")]
    pub(crate) fn networks(&self) -> &Ensemble {
        &self.networks
    }

    /// Probabilities on the picture's grid: of a look at the whole, and of a closer one where the
    /// first found something.
    pub(crate) fn probability(&self, image: &RgbImage) -> Vec<f32> {
        let (width, height) = grid(image.width(), image.height());
        let mut logits = self.look(&resized(image, width, height));
        for region in closer::regions(&logits, width, height, threshold(&logits)) {
            self.look_closer(image, (width, height), region, &mut logits);
        }
        logits.iter().map(|logit| sigmoid(*logit)).collect()
    }

    /// Blends a closer look at a region into the logits of the whole.
    fn look_closer(&self, image: &RgbImage, whole: (u32, u32), region: Region, logits: &mut [f32]) {
        let scale_x = f64::from(image.width()) / f64::from(whole.0);
        let scale_y = f64::from(image.height()) / f64::from(whole.1);
        // In whole pixels of the picture; what that moves is less than half a cell unless it has fewer
        // pixels than the grid has cells.
        let pixels = |cells: u32, scale: f64| (f64::from(cells) * scale).round() as u32;
        let x = pixels(region.x, scale_x).min(image.width() - 1);
        let y = pixels(region.y, scale_y).min(image.height() - 1);
        let across = pixels(region.width, scale_x).clamp(1, image.width() - x);
        let down = pixels(region.height, scale_y).clamp(1, image.height() - y);
        let finer = |cells: u32| (cells as f32 * ZOOM).round() as u32;
        let (width, height) = (finer(region.width), finer(region.height));
        let part = imageops::crop_imm(image, x, y, across, down).to_image();
        let seen = self.look(&resized(&part, width, height));
        let (step_x, step_y) =
            (width as f32 / region.width as f32, height as f32 / region.height as f32);
        for row in 0..region.height {
            for column in 0..region.width {
                let (x, y) = ((column as f32 + 0.5) * step_x, (row as f32 + 0.5) * step_y);
                let closer = between_cells(&seen, (width, height), x, y);
                let weight = region.weight(column, row);
                let cell = ((region.y + row) * whole.0 + region.x + column) as usize;
                logits[cell] += weight * (closer - logits[cell]);
            }
        }
    }

    /// The mean of a picture's and its mirror image's logits, cell by cell. Two networks see one of them each.
    fn look(&self, small: &RgbImage) -> Vec<f32> {
        // Side by side: much of a pass runs on one core.
        let mirror = imageops::flip_horizontal(small);
        let (mut logits, mirrored) = rayon::join(|| self.pass(small, 0), || self.pass(&mirror, 1));
        let width = small.width() as usize;
        for (row, mirrored) in logits.chunks_mut(width).zip(mirrored.chunks(width)) {
            for (logit, mirrored) in row.iter_mut().zip(mirrored.iter().rev()) {
                *logit = (*logit + mirrored) / 2.0;
            }
        }
        logits
    }

    /// The logits of a picture, one for each of its pixels.
    fn pass(&self, small: &RgbImage, turn: usize) -> Vec<f32> {
        let (width, height) = (small.width() as usize, small.height() as usize);
        // Padded with black, as the pictures that the network learned from were.
        let (columns, rows) = (width.next_multiple_of(STRIDE), height.next_multiple_of(STRIDE));
        let plane = columns * rows;
        let mut input = vec![normalise(0.0); 3 * plane];
        for (x, y, pixel) in small.enumerate_pixels() {
            for (channel, byte) in pixel.0.into_iter().enumerate() {
                input[channel * plane + y as usize * columns + x as usize] =
                    normalise(f32::from(byte));
            }
        }
        let input =
            Tensor::<4>::from_data(TensorData::new(input, [1, 3, rows, columns]), &self.device);
        let output = floats(self.networks.member(turn).forward(input).into_data());
        output.chunks(columns).take(height).flat_map(|row| &row[..width]).copied().collect()
    }
}

fn resized(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    if image.dimensions() == (width, height) {
        image.clone()
    } else {
        imageops::resize(image, width, height, imageops::FilterType::Triangle)
    }
}

/// Above this a cell is worth a closer look: even odds, or less where nothing has them.
fn threshold(logits: &[f32]) -> f32 {
    let mut sorted = logits.to_vec();
    let last = LIKELY_CELLS.min(sorted.len()) - 1;
    let (likelier, likely, _) = sorted.select_nth_unstable_by(last, |a, b| b.total_cmp(a));
    if likelier.iter().any(|logit| *logit > 0.0) { 0.0 } else { likely.min(0.0) }
}

/// Whether all of a loaded network computes in single precision; the half-precision adapter
/// would turn a file in single precision into one that cannot be computed with.
struct Single<'a>(&'a mut bool);

impl ModuleVisitor for Single<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        *self.0 &= param.val().dtype() == DType::F32;
    }
}

/// The numbers of a tensor.
fn floats(data: TensorData) -> Vec<f32> {
    data.try_into_vec::<f32>().expect("the network computes in f32")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::card::wound_threshold;
    use crate::phantom::{self, PhantomSpec};
    use crate::published;

    fn segmenter() -> Segmenter {
        Segmenter::embedded().expect("the weights in the program are this network's")
    }

    #[test]
    fn the_embedded_weights_load_and_answer_on_the_pictures_own_shape() {
        let segmenter = segmenter();
        assert_eq!(segmenter.digest_hex().len(), 64);
        for (size, shape) in
            [((400, 300), (384, 288)), ((30, 90), (128, 384)), ((1, 1), (384, 384))]
        {
            let picture = RgbImage::from_pixel(size.0, size.1, image::Rgb([120, 120, 120]));
            let segmentation = segmenter.segment(&picture);
            assert_eq!((segmentation.width, segmentation.height), shape);
            assert_eq!(segmentation.probability.len() as u32, shape.0 * shape.1);
            assert!(segmentation.probability.iter().all(|p| (0.0..=1.0).contains(p)));
        }
        assert_eq!(segmenter.segment(&RgbImage::new(0, 0)), Segmentation::none(0, 0));
    }

    #[test]
    fn bytes_that_are_no_weights_are_refused() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("weights.bpk");
        assert!(matches!(Segmenter::from_file(&path), Err(SegmenterError::Read(_))));
        std::fs::write(&path, b"no weights").expect("a file");
        assert!(matches!(Segmenter::from_file(&path), Err(SegmenterError::Weights(_))));
    }

    #[test]
    fn threads_may_share_a_segmenter() {
        fn shared<T: Send + Sync + 'static>() {}
        shared::<Segmenter>();
    }

    #[test]
    fn healthy_skin_shows_no_wound() {
        let segmenter = segmenter();
        for seed in 0..3 {
            let spec = PhantomSpec { wound: None, seed, look: seed, ..PhantomSpec::default() };
            let made = phantom::generate(&spec).expect("a healthy phantom can be made");
            let segmentation = segmenter.segment(made.capture.image());
            assert!(!segmentation.wound_found(wound_threshold()), "healthy phantom {seed}");
        }
    }

    #[test]
    fn printed_boards_show_no_wound() {
        let Some(boards) = published::folder("rgbd/3dscannerapp-lowres") else { return };
        let files = std::fs::read_dir(boards).expect("the folder of the boards");
        let segmenter = segmenter();
        let mut boards = 0;
        for file in files.filter_map(Result::ok).map(|f| f.path()) {
            if !file.to_string_lossy().contains("frame_")
                || file.extension().is_none_or(|e| e != "jpg")
            {
                continue;
            }
            let picture = image::open(&file).expect("a board's picture").to_rgb8();
            let segmentation = segmenter.segment(&picture);
            let probability = segmentation.wound_probability;
            assert!(!segmentation.wound_found(wound_threshold()), "{probability} in {file:?}");
            boards += 1;
        }
        assert!(boards > 0, "the folder has boards");
    }

    #[test]
    fn between_cells_probabilities_are_interpolated() {
        let segmentation = Segmentation {
            width: 2,
            height: 1,
            probability: vec![0.0, 1.0],
            wound_probability: 1.0,
        };
        for (x, expected) in [(0.0, 0.0), (0.5, 0.0), (1.0, 0.5), (1.5, 1.0), (9.0, 1.0)] {
            assert!((segmentation.at(x, 0.5) - expected).abs() < 1e-6, "at {x}");
        }
        assert_eq!(segmentation.mask(), [false, true]);
    }
}
