//! What a model sees in a picture, in two numbers: drift is detected by these (`drift.rs`).

use domain::model::TENTHS;
use image::RgbImage;

use super::segment::Segmentation;

/// What drift is detected by: two features of a picture, each from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Features {
    /// The probability that it shows a wound.
    pub wound_probability: f32,
    /// Its mean brightness.
    pub picture_brightness: f32,
}

impl Features {
    /// The features of a picture and of what the network saw in it.
    #[must_use]
    pub fn of(image: &RgbImage, segmentation: &Segmentation) -> Self {
        Self {
            wound_probability: segmentation.wound_probability,
            picture_brightness: brightness(image),
        }
    }

    /// The tenths they lie in, in the order of the fields.
    #[must_use]
    pub fn tenths(self) -> [usize; 2] {
        [tenth(self.wound_probability), tenth(self.picture_brightness)]
    }
}

/// Which tenth of the range from 0 to 1 a value lies in; 1 lies in the last.
fn tenth(value: f32) -> usize {
    ((value.clamp(0.0, 1.0) * TENTHS as f32) as usize).min(TENTHS - 1)
}

/// The mean luma (BT.601) of the pixels that are not wholly black, from 0 to 1. Black is what photographs are padded
/// with, and says nothing about the light.
fn brightness(image: &RgbImage) -> f32 {
    let (mut sum, mut count) = (0_u64, 0_u64);
    for pixel in image.pixels().filter(|pixel| pixel.0 != [0, 0, 0]) {
        let [red, green, blue] = pixel.0.map(u64::from);
        sum += 299 * red + 587 * green + 114 * blue;
        count += 1;
    }
    if count == 0 { 0.0 } else { (sum as f64 / (255_000 * count) as f64) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenths_cover_the_range_and_nothing_falls_outside() {
        let table =
            [(0.0, 0), (0.099, 0), (0.1, 1), (0.55, 5), (0.999, 9), (1.0, 9), (-1.0, 0), (7.0, 9)];
        for (value, expected) in table {
            assert_eq!(tenth(value), expected, "{value}");
        }
        assert_eq!(tenth(f32::NAN), 0);
    }

    #[test]
    fn brightness_is_of_what_is_not_padding() {
        let mut image = RgbImage::from_pixel(4, 4, image::Rgb([255, 255, 255]));
        assert!((brightness(&image) - 1.0).abs() < 1e-6);
        for x in 0..4 {
            image.put_pixel(x, 0, image::Rgb([0, 0, 0]));
        }
        assert!((brightness(&image) - 1.0).abs() < 1e-6, "black rows do not count");
        let grey = RgbImage::from_pixel(3, 2, image::Rgb([51, 51, 51]));
        assert!((brightness(&grey) - 0.2).abs() < 1e-6);
        assert!(brightness(&RgbImage::new(3, 2)).abs() < 1e-6, "nothing but black is dark");
    }
}
