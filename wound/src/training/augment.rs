//! The same picture, seen differently each time: turned, mirrored, nearer, darker, blurred.

use image::{GrayImage, RgbImage};
use rand::{RngExt, rngs::StdRng};

use crate::evaluation::dataset::{Example, is_wound};

/// What the network learns from: `side` × `side` pixels of three channels, row by row, and the
/// mask.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) pixels: Vec<[f32; 3]>,
    pub(super) mask: Vec<f32>,
}

/// Where a sample's pixel lies in its picture.
#[derive(Debug, Clone, Copy)]
struct View {
    middle: [f32; 2],
    across: [f32; 2],
    down: [f32; 2],
}

impl View {
    /// A view of a square of the picture: its middle, side in picture pixels, and turn.
    fn new(
        middle: [f32; 2],
        side: f32,
        angle: f32,
        stretch: f32,
        mirrored: bool,
        cells: usize,
    ) -> Self {
        let step = side / cells as f32;
        let (sin, cos) = angle.sin_cos();
        let sign = if mirrored { -1.0 } else { 1.0 };
        Self {
            middle,
            across: [cos * step * stretch * sign, sin * step * stretch * sign],
            down: [-sin * step / stretch, cos * step / stretch],
        }
    }

    fn at(&self, x: f32, y: f32) -> [f32; 2] {
        [
            self.middle[0] + x * self.across[0] + y * self.down[0],
            self.middle[1] + x * self.across[1] + y * self.down[1],
        ]
    }
}

fn rgb_at(image: &RgbImage, [x, y]: [f32; 2]) -> [f32; 3] {
    let (x, y) = (x - 0.5, y - 0.5);
    let (x0, y0) = (x.floor(), y.floor());
    let (fx, fy) = (x - x0, y - y0);
    let mut sum = [0.0; 3];
    for (dy, wy) in [(0, 1.0 - fy), (1, fy)] {
        for (dx, wx) in [(0, 1.0 - fx), (1, fx)] {
            let (px, py) = (x0 as i64 + dx, y0 as i64 + dy);
            if px >= 0 && py >= 0 && px < i64::from(image.width()) && py < i64::from(image.height())
            {
                let pixel = image.get_pixel(px as u32, py as u32);
                for (sum, byte) in sum.iter_mut().zip(pixel.0) {
                    *sum += wx * wy * f32::from(byte);
                }
            }
        }
    }
    sum
}

fn wound_at(mask: &GrayImage, [x, y]: [f32; 2]) -> bool {
    x >= 0.0
        && y >= 0.0
        && (x as u32) < mask.width()
        && (y as u32) < mask.height()
        && is_wound(mask.get_pixel(x as u32, y as u32).0[0])
}

/// Four points in each pixel: enough to look at 512 pixels on the grid without aliasing.
const POINTS: [[f32; 2]; 4] = [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]];

fn look(example: &Example, view: View, side: usize) -> Sample {
    let half = side as f32 / 2.0;
    let mut pixels = Vec::with_capacity(side * side);
    let mut mask = Vec::with_capacity(side * side);
    for row in 0..side {
        for column in 0..side {
            let mut colour = [0.0; 3];
            let mut wound = 0.0;
            for [dx, dy] in POINTS {
                let place = view.at(column as f32 + dx - half, row as f32 + dy - half);
                for (sum, value) in colour.iter_mut().zip(rgb_at(&example.image, place)) {
                    *sum += value / 4.0;
                }
                wound += if wound_at(&example.mask, place) { 0.25 } else { 0.0 };
            }
            pixels.push(colour);
            mask.push(if wound >= 0.5 { 1.0 } else { 0.0 });
        }
    }
    Sample { pixels, mask }
}

/// A place on the wound, or `None` if there is no wound or it is hard to hit.
fn somewhere_on_wound(example: &Example, rng: &mut StdRng) -> Option<[f32; 2]> {
    let (width, height) = example.mask.dimensions();
    (0..400).find_map(|_| {
        let (x, y) = (rng.random_range(0..width), rng.random_range(0..height));
        is_wound(example.mask.get_pixel(x, y).0[0]).then_some([x as f32, y as f32])
    })
}

/// A part of the picture, seen at random: `side` cells of the grid on which the whole picture
/// has `grid`. Parts cost less than wholes and show as much of what matters, since every other one
/// is chosen around the wound.
pub(super) fn random(example: &Example, side: usize, grid: usize, rng: &mut StdRng) -> Sample {
    let (width, height) = (example.image.width() as f32, example.image.height() as f32);
    let longer = width.max(height);
    let zoom = if rng.random_bool(0.15) {
        rng.random_range(0.4..0.7)
    } else {
        rng.random_range(0.7..1.25)
    };
    let span = longer * side as f32 / grid as f32 * zoom;
    let wound = rng.random_bool(0.55).then(|| somewhere_on_wound(example, rng)).flatten();
    let middle = match wound {
        Some(place) => place.map(|p| p + span * rng.random_range(-0.35..0.35)),
        None => [width, height].map(|extent| {
            let room = ((extent - span) / 2.0).max(0.0);
            extent / 2.0 + room * rng.random_range(-1.0..1.0)
        }),
    };
    let turned = if rng.random_bool(0.3) { rng.random_range(0..4) as f32 } else { 0.0 };
    let angle = turned * std::f32::consts::FRAC_PI_2
        + if rng.random_bool(0.6) { rng.random_range(-0.4..0.4) } else { 0.0 };
    let stretch = rng.random_range(0.92..1.08);
    let mirrored = rng.random_bool(0.5);
    let mut sample = look(example, View::new(middle, span, angle, stretch, mirrored, side), side);
    recolour(&mut sample, side, rng);
    sample
}

/// A part of the picture that shows no wound, or `None` if chance finds none.
pub(super) fn away_from_wound(example: &Example, side: usize, rng: &mut StdRng) -> Option<Sample> {
    let (width, height) = (example.image.width() as f32, example.image.height() as f32);
    for _ in 0..6 {
        let span = width.max(height) * rng.random_range(0.25..0.7);
        let middle = [rng.random_range(0.25..0.75) * width, rng.random_range(0.25..0.75) * height];
        let angle = rng.random_range(0.0..std::f32::consts::TAU);
        let view = View::new(middle, span, angle, 1.0, rng.random_bool(0.5), side);
        // A coarse look first: wounds are blobs, and a miss costs only a wound in the negatives'
        // corner, which the mask then tells truly.
        let mut sample = look(example, view, side);
        if sample.mask.iter().all(|m| *m == 0.0) {
            recolour(&mut sample, side, rng);
            return Some(sample);
        }
    }
    None
}

/// Light, contrast, colour, blur and noise.
fn recolour(sample: &mut Sample, side: usize, rng: &mut StdRng) {
    if rng.random_bool(0.85) {
        let gain: f32 = rng.random_range(0.7..1.3);
        let cast: [f32; 3] = std::array::from_fn(|_| gain * rng.random_range(0.92..1.08));
        let contrast = rng.random_range(0.8..1.25);
        let saturation: f32 = rng.random_range(0.75..1.3);
        let gamma: f32 = rng.random_range(0.8..1.25);
        for pixel in &mut sample.pixels {
            let grey = (pixel[0] + pixel[1] + pixel[2]) / 3.0;
            for (value, cast) in pixel.iter_mut().zip(cast) {
                let saturated = grey + (*value - grey) * saturation;
                let contrasted = (saturated * cast - 118.0) * contrast + 118.0;
                *value = (contrasted / 255.0).clamp(0.0, 1.0).powf(gamma) * 255.0;
            }
        }
    }
    if rng.random_bool(0.15) {
        blur(&mut sample.pixels, side);
    }
    if rng.random_bool(0.3) {
        let strength = rng.random_range(2.0..12.0);
        for pixel in &mut sample.pixels {
            for value in pixel {
                *value = (*value + rng.random_range(-strength..strength)).clamp(0.0, 255.0);
            }
        }
    }
}

/// The mean of three in both directions.
fn blur(pixels: &mut [[f32; 3]], side: usize) {
    for (step, stride) in [(1, side), (side, 1)] {
        for line in 0..side {
            let start = line * stride;
            let mut before = pixels[start];
            for place in 0..side {
                let here = pixels[start + place * step];
                let next = pixels[start + (place + 1).min(side - 1) * step];
                pixels[start + place * step] =
                    std::array::from_fn(|c| (before[c] + here[c] + next[c]) / 3.0);
                before = here;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn example() -> Example {
        let mut mask = GrayImage::new(64, 48);
        let mut image = RgbImage::from_pixel(64, 48, image::Rgb([10, 20, 30]));
        for y in 8..16 {
            for x in 20..40 {
                mask.put_pixel(x, y, image::Luma([255]));
                image.put_pixel(x, y, image::Rgb([200, 0, 0]));
            }
        }
        Example { image, mask }
    }

    #[test]
    fn the_whole_view_is_the_picture_padded_below() {
        let sample = look(&example(), View::new([32.0; 2], 64.0, 0.0, 1.0, false, 32), 32);
        let wound: f32 = sample.mask.iter().sum();
        assert!((wound - 40.0).abs() < 0.5, "{wound}");
        assert_eq!(sample.mask[5 * 32 + 15].to_bits(), 1.0_f32.to_bits());
        assert!((sample.pixels[5 * 32 + 15][0] - 200.0).abs() < 1.0);
        assert!(sample.pixels[31 * 32 + 15][2] < 1.0, "black below the picture");
    }

    #[test]
    fn random_views_keep_colour_and_mask_together() {
        let mut rng = StdRng::seed_from_u64(7);
        for _ in 0..20 {
            let sample = random(&example(), 32, 64, &mut rng);
            for (pixel, mask) in sample.pixels.iter().zip(&sample.mask) {
                if *mask > 0.5 {
                    assert!(pixel[0] > pixel[2], "the wound is red in every view: {pixel:?}");
                }
            }
        }
    }

    #[test]
    fn a_view_away_from_the_wound_has_an_empty_mask() {
        let mut rng = StdRng::seed_from_u64(8);
        let views = (0..20).filter_map(|_| away_from_wound(&example(), 32, &mut rng));
        assert!(views.flat_map(|v| v.mask).all(|m| m == 0.0));
    }
}
