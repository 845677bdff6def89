//! A picture of what was measured: the photograph with the outline, and beside it how deep the wound lies.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage, imageops};
use nalgebra::{Matrix6, Vector6};

use crate::capture::Frame;
use crate::geometry::Polygon;

/// Each of the two panels is a square of so many pixels.
pub const PANEL: u32 = 480;
/// Between the panels, in pixels.
const GAP: u32 = 12;
/// What is shown: so many times the outline's longer side.
const SURROUNDINGS: f64 = 1.9;
/// The depth at which a colour is full, in millimetres, unless the wound is deeper.
const FULL_COLOUR_MM: f64 = 3.0;
/// Fewer depths than this around the wound tell of no skin.
const SKIN_POINTS_MIN: usize = 30;
/// So far from the outline, as a share of what is shown, skin is looked for.
const SKIN_SHARE: f64 = 0.25;
/// How often what fits the skin worst is left out; what is this near to it in millimetres always counts.
const TRIMMINGS: usize = 6;
const TRIMMED_MM: f64 = 1.0;

const PAPER: Rgb<u8> = Rgb([255, 255, 255]);
const UNKNOWN: Rgb<u8> = Rgb([150, 150, 150]);
const LEVEL: [f64; 3] = [240.0, 236.0, 228.0];
const BELOW: [f64; 3] = [68.0, 20.0, 110.0];
const ABOVE: [f64; 3] = [230.0, 126.0, 34.0];

/// The square of the image that is shown.
struct Window {
    left: f64,
    top: f64,
    /// Image pixels to a pixel of the panel.
    step: f64,
}

impl Window {
    fn around(outline: &Polygon, size: (u32, u32)) -> Window {
        let (low, high) = outline.bounds();
        let longer = (high[0] - low[0]).max(high[1] - low[1]).max(16.0);
        let side = (longer * SURROUNDINGS).min(f64::from(size.0.min(size.1)));
        let from = |axis: usize, whole: u32| {
            let middle = f64::midpoint(low[axis], high[axis]);
            (middle - side / 2.0).clamp(0.0, (f64::from(whole) - side).max(0.0))
        };
        Window { left: from(0, size.0), top: from(1, size.1), step: side / f64::from(PANEL) }
    }

    /// The place in the image that the middle of a panel's pixel shows.
    fn in_image(&self, x: u32, y: u32) -> [f64; 2] {
        let along = |from: f64, at: u32| from + (f64::from(at) + 0.5) * self.step - 0.5;
        [along(self.left, x), along(self.top, y)]
    }

    fn in_panel(&self, point: [f64; 2]) -> [f64; 2] {
        let along = |from: f64, at: f64| (at + 0.5 - from) / self.step - 0.5;
        [along(self.left, point[0]), along(self.top, point[1])]
    }
}

/// The picture as PNG, [`PANEL`] pixels high. `outline` is in pixels of the frame's image.
///
/// Left: the photograph around the wound, with the outline and a bar of one centimetre. Right: how far the depth
/// lies behind (violet) or before (orange) a smooth surface through the skin around the wound, along the line of
/// sight; grey where the depth is unknown. It is for looking at; what the record holds is the measurement.
///
/// None if the outline encloses nothing.
#[must_use]
pub fn overlay(frame: &Frame, outline: &[[u16; 2]]) -> Option<Vec<u8>> {
    let points = outline.iter().map(|point| point.map(f64::from)).collect();
    let outline = Polygon::new(points)?;
    let window = Window::around(&outline, frame.image().dimensions());
    let mut picture = RgbImage::from_pixel(2 * PANEL + GAP, PANEL, PAPER);

    let mut photograph = photograph(frame.image(), &window);
    draw_outline(&mut photograph, &window, &outline);
    let relief = Relief::of(frame, &window, &outline);
    if let Some(metres) = relief.as_ref().map(|relief| relief.distance) {
        let centimetre = frame.intrinsics().fx * 0.01 / metres / window.step;
        draw_bar(&mut photograph, centimetre);
    }
    imageops::replace(&mut picture, &photograph, 0, 0);

    let mut depths = RgbImage::from_fn(PANEL, PANEL, |x, y| {
        let depth = relief.as_ref().and_then(|relief| relief.at(frame, window.in_image(x, y)));
        depth.map_or(UNKNOWN, |(metres, full)| colour(metres, full))
    });
    draw_outline(&mut depths, &window, &outline);
    imageops::replace(&mut picture, &depths, i64::from(PANEL + GAP), 0);

    let mut bytes = Vec::new();
    picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).ok()?;
    Some(bytes)
}

fn photograph(image: &RgbImage, window: &Window) -> RgbImage {
    let side = (f64::from(PANEL) * window.step).round().max(1.0) as u32;
    let (left, top) = (window.left.round() as u32, window.top.round() as u32);
    let part = imageops::crop_imm(image, left, top, side, side).to_image();
    imageops::resize(&part, PANEL, PANEL, imageops::FilterType::Triangle)
}

/// The depth around the wound against a smooth skin.
struct Relief {
    /// The skin's depth in metres: a quadratic of the image's coordinates.
    skin: Vector6<f64>,
    /// Of the skin at the wound, in metres.
    distance: f64,
    /// Coordinates are counted from here, and in units of `unit` pixels.
    middle: [f64; 2],
    unit: f64,
    /// In metres: where the colour is full.
    full: f64,
}

impl Relief {
    fn of(frame: &Frame, window: &Window, outline: &Polygon) -> Option<Relief> {
        let side = f64::from(PANEL) * window.step;
        let middle = [window.left + side / 2.0, window.top + side / 2.0];
        let mut relief =
            Relief { skin: Vector6::zeros(), distance: 0.0, middle, unit: side / 2.0, full: 0.0 };
        let (mut inside, mut skin) = (Vec::new(), Vec::new());
        let depth = frame.depth();
        for row in 0..depth.height() {
            for column in 0..depth.width() {
                let at = frame.depth_to_image(f64::from(column), f64::from(row));
                let within = (at[0] - middle[0]).abs().max((at[1] - middle[1]).abs()) <= side / 2.0;
                let Some(metres) = depth.at(column, row).filter(|_| within) else { continue };
                if outline.contains(at) {
                    inside.push((at, metres));
                } else if outline.signed_distance(at).abs() < SKIN_SHARE * side {
                    skin.push((at, metres));
                }
            }
        }
        // What lies behind the limb is no skin: what fits worst is left out, again and again.
        for _ in 0..TRIMMINGS {
            relief.fit(&skin)?;
            let off = |(at, metres): &([f64; 2], f64)| (metres - relief.skin_at(*at)).abs();
            let mut errors: Vec<f64> = skin.iter().map(off).collect();
            errors.sort_unstable_by(f64::total_cmp);
            let most = (3.0 * errors[errors.len() / 2]).max(TRIMMED_MM / 1e3);
            skin.retain(|point| off(point) <= most);
        }
        relief.fit(&skin)?;
        relief.distance = relief.skin[0];
        let deepest = inside.iter().map(|(at, metres)| metres - relief.skin_at(*at));
        relief.full = deepest.fold(FULL_COLOUR_MM / 1e3, f64::max);
        Some(relief)
    }

    fn fit(&mut self, points: &[([f64; 2], f64)]) -> Option<()> {
        if points.len() < SKIN_POINTS_MIN {
            return None;
        }
        let (mut squares, mut right) = (Matrix6::zeros(), Vector6::zeros());
        for (at, metres) in points {
            let terms = self.terms(*at);
            squares += terms * terms.transpose();
            right += terms * *metres;
        }
        self.skin = squares.cholesky()?.solve(&right);
        Some(())
    }

    fn terms(&self, at: [f64; 2]) -> Vector6<f64> {
        let (x, y) = ((at[0] - self.middle[0]) / self.unit, (at[1] - self.middle[1]) / self.unit);
        Vector6::new(1.0, x, y, x * x, x * y, y * y)
    }

    fn skin_at(&self, at: [f64; 2]) -> f64 {
        self.skin.dot(&self.terms(at))
    }

    /// How far behind the skin the depth lies at a place of the image, between the depth's pixels by
    /// their distance; and where the colour is full. In metres.
    fn at(&self, frame: &Frame, at: [f64; 2]) -> Option<(f64, f64)> {
        let depth = frame.depth();
        let (width, height) = frame.image().dimensions();
        let along = |at: f64, pixels: u32, cells: u32| {
            let place = (at + 0.5) * f64::from(cells) / f64::from(pixels) - 0.5;
            place.clamp(0.0, f64::from(cells - 1))
        };
        let (x, y) = (along(at[0], width, depth.width()), along(at[1], height, depth.height()));
        let (mut sum, mut weights) = (0.0, 0.0);
        for row in [y.floor(), (y.floor() + 1.0).min(f64::from(depth.height() - 1))] {
            for column in [x.floor(), (x.floor() + 1.0).min(f64::from(depth.width() - 1))] {
                let weight = (1.0 - (x - column).abs()) * (1.0 - (y - row).abs());
                if let Some(metres) = depth.at(column as u32, row as u32) {
                    sum += weight * metres;
                    weights += weight;
                }
            }
        }
        (weights > 0.25).then(|| (sum / weights - self.skin_at(at), self.full))
    }
}

/// From skin level to full, the deeper the darker.
fn colour(metres: f64, full: f64) -> Rgb<u8> {
    let share = (metres.abs() / full).min(1.0);
    let towards = if metres > 0.0 { BELOW } else { ABOVE };
    let mix = |channel: usize| LEVEL[channel] + share * (towards[channel] - LEVEL[channel]);
    Rgb([mix(0) as u8, mix(1) as u8, mix(2) as u8])
}

/// White on black, so that it shows on every skin.
fn draw_outline(panel: &mut RgbImage, window: &Window, outline: &Polygon) {
    for (radius, ink) in [(2.6, Rgb([0, 0, 0])), (1.2, PAPER)] {
        for (from, to) in outline.edges() {
            draw_line(panel, window.in_panel(from), window.in_panel(to), radius, ink);
        }
    }
}

/// One centimetre at the wound's distance, at the lower left.
fn draw_bar(panel: &mut RgbImage, centimetre: f64) {
    let bottom = f64::from(PANEL) - 20.0;
    let ends = ([20.0, bottom], [20.0 + centimetre.min(f64::from(PANEL) - 40.0), bottom]);
    draw_line(panel, ends.0, ends.1, 4.0, Rgb([0, 0, 0]));
    draw_line(panel, ends.0, ends.1, 2.2, PAPER);
}

fn draw_line(panel: &mut RgbImage, from: [f64; 2], to: [f64; 2], radius: f64, ink: Rgb<u8>) {
    let length = (to[0] - from[0]).hypot(to[1] - from[1]);
    let steps = (2.0 * length).ceil().clamp(1.0, 4096.0);
    let mut step = 0.0;
    while step <= steps {
        let share = step / steps;
        draw_dot(
            panel,
            [0, 1].map(|axis| from[axis] + share * (to[axis] - from[axis])),
            radius,
            ink,
        );
        step += 1.0;
    }
}

fn draw_dot(panel: &mut RgbImage, at: [f64; 2], radius: f64, ink: Rgb<u8>) {
    let reach = |middle: f64| {
        let low = (middle - radius).ceil().max(0.0);
        let high = (middle + radius).floor().min(f64::from(PANEL - 1));
        low as u32..=high.max(-1.0) as u32
    };
    if at.iter().any(|middle| *middle < -radius || *middle > f64::from(PANEL) + radius) {
        return;
    }
    for y in reach(at[1]) {
        for x in reach(at[0]) {
            if (f64::from(x) - at[0]).hypot(f64::from(y) - at[1]) <= radius {
                panel.put_pixel(x, y, ink);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phantom::{self, PhantomSpec};

    fn pixels(points: &[[f64; 2]]) -> Vec<[u16; 2]> {
        points.iter().map(|point| point.map(|value| value.round() as u16)).collect()
    }

    #[test]
    fn a_wound_is_shown_with_its_outline_and_darker_the_deeper() {
        let made = phantom::generate(&PhantomSpec::default()).expect("a phantom");
        let png = overlay(&made.capture, &pixels(&made.outline)).expect("a picture");
        let picture = image::load_from_memory(&png).expect("a PNG").into_rgb8();
        assert_eq!(picture.dimensions(), (2 * PANEL + GAP, PANEL));
        // The wound lies in the middle of the second panel; its corner is skin.
        let mean = |x0: u32, y0: u32| {
            let sum: u32 = (0..400)
                .map(|at| picture.get_pixel(x0 + at % 20, y0 + at / 20).0.map(u32::from))
                .map(|[red, green, blue]| red + green + blue)
                .sum();
            sum / 1200
        };
        let (wound, skin) =
            (mean(PANEL + GAP + PANEL / 2 - 10, PANEL / 2 - 10), mean(PANEL + GAP + 8, 8));
        assert!(wound + 40 < skin, "wound {wound}, skin {skin}");
        // Both panels carry the outline.
        let white = |from: u32| {
            (0..PANEL * PANEL)
                .filter(|at| picture.get_pixel(from + at % PANEL, at / PANEL).0 == [255; 3])
                .count()
        };
        assert!(white(0) > 200 && white(PANEL + GAP) > 200, "an outline on both");
    }

    #[test]
    fn an_outline_of_nothing_is_no_picture() {
        let made = phantom::generate(&PhantomSpec::default()).expect("a phantom");
        assert!(overlay(&made.capture, &[]).is_none());
        assert!(overlay(&made.capture, &[[3, 3], [3, 3]]).is_none());
    }

    #[test]
    fn a_wound_at_the_pictures_edge_is_shown_too() {
        let made = phantom::generate(&PhantomSpec::default()).expect("a phantom");
        let (width, height) = made.capture.image().dimensions();
        let (right, bottom) = (width as u16 - 1, height as u16 - 1);
        for corner in [[0, 0], [right - 30, bottom - 30]] {
            let [x, y] = corner;
            let square = [[x, y], [x + 30, y], [x + 30, y + 30], [x, y + 30]];
            assert!(overlay(&made.capture, &square).is_some());
        }
    }
}
