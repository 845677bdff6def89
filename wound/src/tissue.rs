//! Granulation or slough: what the colours inside an outline say of a wound's tissue.
//!
//! A cell's colour in CIE L\*a\*b\*, and how it differs from the skin around the wound, go into a
//! logistic regression; a wound's share of slough is the mean of its cells' probabilities.
//! `training::tissue` makes the numbers from crops that people labelled (`dfutissue`: fibrin, granulation,
//! callus). Nothing there shows necrosis or epithelium, so nothing is said about them; and where the
//! colours are not those of the crops, nothing is said at all.

use domain::wound::TissuePermille;
use image::{RgbImage, imageops};

use crate::geometry::Polygon;

/// Colour, its difference from the skin's, and one for the intercept.
pub(crate) const FEATURES: usize = 7;

/// What [`fit`](fn@fit) gave for the crops of `dfutissue`; a test fits again and compares. The log odds of
/// slough are the sum of these times the features.
pub(crate) const COEFFICIENTS: [f64; FEATURES] =
    [0.0941, -1.5093, 1.0073, 0.7113, -1.1300, 1.8664, 0.2142];

/// Where the colours of the crops lie: from the 0.5th to the 99.5th percentile of L\*, a\* and b\*.
pub(crate) const RANGE: [[f64; 2]; 3] = [[11.8, 89.0], [1.1, 60.2], [0.8, 40.8]];

/// Standard deviation of a share's error on crops that were not fitted to, in permille.
pub(crate) const SD_PERMILLE: u16 = 205;

/// Beyond this share of cells of strange colours nothing is said.
const STRANGE_SHARE_MAX: f64 = 0.2;

/// So many cells is a wound across, if it has as many pixels: about as many as the crops have.
pub(crate) const CELLS_ACROSS: f64 = 32.0;

/// The skin around begins so many cells from the wound, beyond what the scaling mixes ...
const RING_FROM: i64 = 2;

/// ... and ends at this share of the wound's own width.
const RING_WIDTH: f64 = 0.15;

/// Fewer cells of wound or of skin say too little.
const CELLS_MIN: usize = 24;

/// Colours are in steps of this, so that every feature is about one.
pub(crate) const COLOUR_SCALE: f64 = 20.0;

pub(crate) type Features = [f64; FEATURES];

/// CIE L\*a\*b\* of an sRGB colour, white point D65 (IEC 61966-2-1, CIE 15).
fn lab(rgb: [u8; 3]) -> [f64; 3] {
    let linear = rgb.map(|byte| {
        let value = f64::from(byte) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    });
    let row = |weights: [f64; 3]| {
        weights.iter().zip(linear).map(|(weight, value)| weight * value).sum::<f64>()
    };
    let bend = |value: f64| {
        let linear_below = (6.0_f64 / 29.0).powi(3);
        if value > linear_below {
            value.cbrt()
        } else {
            value * (29.0_f64 / 6.0).powi(2) / 3.0 + 4.0 / 29.0
        }
    };
    let x = bend(row([0.412_456_4, 0.357_576_1, 0.180_437_5]) / 0.950_47);
    let y = bend(row([0.212_672_9, 0.715_152_2, 0.072_175_0]));
    let z = bend(row([0.019_333_9, 0.119_192_0, 0.950_304_1]) / 1.088_83);
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// The probability that factors give for numbers.
pub(crate) fn probability(factors: &[f64], numbers: &[f64]) -> f64 {
    let odds: f64 = factors.iter().zip(numbers).map(|(factor, number)| factor * number).sum();
    1.0 / (1.0 + (-odds).exp())
}

/// The cells around a wound, row by row.
pub(crate) struct Cells {
    width: usize,
    lab: Vec<[f64; 3]>,
    wound: Vec<bool>,
}

impl Cells {
    pub(crate) fn new(image: &RgbImage, wound: Vec<bool>) -> Self {
        let lab = image.pixels().map(|pixel| lab(pixel.0)).collect();
        Self { width: image.width() as usize, lab, wound }
    }

    /// The picture around an outline, no finer than it needs to be.
    fn around(image: &RgbImage, outline: &Polygon) -> Option<Self> {
        let across = outline.area().sqrt();
        let scale = (CELLS_ACROSS / across).min(1.0);
        let margin = RING_WIDTH * across + (RING_FROM + 1) as f64 / scale;
        let (low, high) = outline.bounds();
        let within = |value: f64, size: u32| value.clamp(0.0, f64::from(size));
        let left = within((low[0] - margin).floor(), image.width()) as u32;
        let top = within((low[1] - margin).floor(), image.height()) as u32;
        let right = within((high[0] + margin).ceil(), image.width()) as u32;
        let bottom = within((high[1] + margin).ceil(), image.height()) as u32;
        let (across, down) = (right.checked_sub(left)?, bottom.checked_sub(top)?);
        if across == 0 || down == 0 {
            return None;
        }
        let part = imageops::crop_imm(image, left, top, across, down).to_image();
        let cells = |pixels: u32| ((f64::from(pixels) * scale).round() as u32).max(1);
        let part = scaled(&part, cells(across), cells(down));
        // Pixels have their middles at whole numbers.
        let step = [across, down].map(f64::from);
        let step = [step[0] / f64::from(part.width()), step[1] / f64::from(part.height())];
        let wound = (0..part.height()).flat_map(|row| {
            let y = f64::from(top) + (f64::from(row) + 0.5) * step[1] - 0.5;
            let crossings = outline.crossings(y);
            (0..part.width()).map(move |column| {
                let x = f64::from(left) + (f64::from(column) + 0.5) * step[0] - 0.5;
                crossings.iter().take_while(|crossing| **crossing < x).count() % 2 == 1
            })
        });
        let wound = wound.collect();
        Some(Self::new(&part, wound))
    }

    /// Whether a cell is skin near the wound.
    fn ring(&self) -> Vec<bool> {
        let area = self.wound.iter().filter(|wound| **wound).count() as f64;
        let reach = RING_FROM + (RING_WIDTH * area.sqrt()).round().max(2.0) as i64;
        let near = self.grown(reach);
        let edge = self.grown(RING_FROM - 1);
        near.into_iter().zip(edge).map(|(near, edge)| near && !edge).collect()
    }

    /// The wound and what lies within so many cells of it, along rows and columns.
    fn grown(&self, by: i64) -> Vec<bool> {
        let height = self.wound.len() / self.width;
        let at = |wound: &[bool], column: i64, row: i64| {
            let inside =
                (0..self.width as i64).contains(&column) && (0..height as i64).contains(&row);
            inside && wound[row as usize * self.width + column as usize]
        };
        let each = |wound: &[bool], step: (i64, i64)| -> Vec<bool> {
            (0..wound.len() as i64)
                .map(|cell| {
                    let (row, column) = (cell / self.width as i64, cell % self.width as i64);
                    (-by..=by).any(|n| at(wound, column + n * step.0, row + n * step.1))
                })
                .collect()
        };
        each(&each(&self.wound, (1, 0)), (0, 1))
    }

    /// What speaks of each cell of the wound, in the order of the cells; none where there is too little
    /// of wound or of skin.
    pub(crate) fn features(&self) -> Option<Vec<Features>> {
        let ring = self.ring();
        let skin: Vec<_> = self.lab.iter().zip(&ring).filter(|(_, ring)| **ring).collect();
        let wound: Vec<_> = self.lab.iter().zip(&self.wound).filter(|(_, wound)| **wound).collect();
        if skin.len() < CELLS_MIN || wound.len() < CELLS_MIN {
            return None;
        }
        let mean = [0, 1, 2].map(|channel| {
            skin.iter().map(|(lab, _)| lab[channel]).sum::<f64>() / skin.len() as f64
        });
        let features = wound.into_iter().map(|(lab, _)| {
            let mut features = [1.0; FEATURES];
            for channel in 0..3 {
                features[channel] = lab[channel] / COLOUR_SCALE;
                features[3 + channel] = (lab[channel] - mean[channel]) / COLOUR_SCALE;
            }
            features
        });
        Some(features.collect())
    }
}

pub(crate) fn scaled(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    if image.dimensions() == (width, height) {
        image.clone()
    } else {
        imageops::thumbnail(image, width, height)
    }
}

fn is_strange(features: &Features, range: &[[f64; 2]; 3]) -> bool {
    range.iter().zip(features).any(|([low, high], value)| {
        let value = value * COLOUR_SCALE;
        value < *low || value > *high
    })
}

/// The shares of granulation and slough inside an outline in pixels of the picture; none where the
/// wound or the skin around it is too small, or the colours are not such as were learned from.
#[must_use]
pub fn shares(image: &RgbImage, outline: &Polygon) -> Option<TissuePermille> {
    let cells = Cells::around(image, outline)?.features()?;
    let count = cells.len() as f64;
    let strange = cells.iter().filter(|cell| is_strange(cell, &RANGE)).count();
    if strange as f64 > STRANGE_SHARE_MAX * count {
        return None;
    }
    let sum: f64 = cells.iter().map(|cell| probability(&COEFFICIENTS, cell)).sum();
    let slough = (1000.0 * sum / count).round().clamp(0.0, 1000.0) as u16;
    Some(TissuePermille {
        granulation: 1000 - slough,
        slough,
        necrosis: None,
        epithelium: None,
        sd: Some(SD_PERMILLE),
    })
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    /// A square wound of two colours in skin: so many of its 60 columns are of the second.
    fn picture(first: [u8; 3], second: [u8; 3], columns: u32) -> (RgbImage, Polygon) {
        let image = RgbImage::from_fn(120, 120, |x, y| {
            let inside = (30..90).contains(&x) && (30..90).contains(&y);
            Rgb(match (inside, x < 90 - columns) {
                (false, _) => [206, 158, 132],
                (true, true) => first,
                (true, false) => second,
            })
        });
        let corners = vec![[29.5, 29.5], [89.5, 29.5], [89.5, 89.5], [29.5, 89.5]];
        (image, Polygon::new(corners).expect("a square"))
    }

    const BEEFY: [u8; 3] = [168, 44, 48];
    const YELLOW: [u8; 3] = [214, 190, 140];

    fn slough(first: [u8; 3], second: [u8; 3], columns: u32) -> Option<u16> {
        let (image, outline) = picture(first, second, columns);
        shares(&image, &outline).map(|tissue| {
            assert_eq!(tissue.granulation + tissue.slough, 1000);
            assert_eq!(
                (tissue.necrosis, tissue.epithelium),
                (None, None),
                "nothing is known of them"
            );
            tissue.slough
        })
    }

    #[test]
    fn colours_are_those_of_the_standard() {
        // CIE 1976 L*a*b* of the sRGB primaries and of white, D65.
        for (rgb, expected) in [
            ([255, 255, 255], [100.0, 0.0, 0.0]),
            ([0, 0, 0], [0.0, 0.0, 0.0]),
            ([255, 0, 0], [53.24, 80.09, 67.20]),
            ([0, 255, 0], [87.73, -86.18, 83.18]),
            ([0, 0, 255], [32.30, 79.19, -107.86]),
        ] {
            for (value, expected) in lab(rgb).into_iter().zip(expected) {
                assert!((value - expected).abs() < 0.02, "{rgb:?}: {value} is not {expected}");
            }
        }
    }

    #[test]
    fn red_is_granulation_and_yellow_is_slough() {
        let share = |columns| slough(BEEFY, YELLOW, columns).expect("colours of wounds");
        assert!(share(0) < 100, "{}", share(0));
        assert!(share(60) > 900, "{}", share(60));
        assert!((400..600).contains(&share(30)), "{}", share(30));
    }

    #[test]
    fn strange_colours_and_too_little_of_a_wound_say_nothing() {
        assert_eq!(slough(BEEFY, [20, 120, 40], 30), None, "green");
        assert_eq!(slough(BEEFY, [8, 8, 8], 30), None, "black: necrosis was never learned from");
        let (image, _) = picture(BEEFY, YELLOW, 30);
        let speck = Polygon::new(vec![[50.0, 50.0], [53.0, 50.0], [53.0, 53.0]]);
        assert_eq!(shares(&image, &speck.expect("a triangle")), None);
        let outside = Polygon::new(vec![[-40.0, -40.0], [-10.0, -40.0], [-10.0, -10.0]]);
        assert_eq!(shares(&image, &outside.expect("a triangle")), None);
        let whole = vec![[-0.5, -0.5], [119.5, -0.5], [119.5, 119.5], [-0.5, 119.5]];
        let whole = Polygon::new(whole).expect("a square");
        assert_eq!(shares(&image, &whole), None, "no skin to compare with");
    }
}
