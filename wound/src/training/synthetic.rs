//! Drawn pictures without wounds: tables, cloths, printed boards and sheets, plain skin.
//!
//! The photographs to learn from nearly all show a wound; without these the network would come
//! to expect one in every picture.

use image::{GrayImage, Rgb, RgbImage};
use rand::{RngExt, rngs::StdRng};

use crate::evaluation::dataset::Example;

type Colour = [f32; 3];

/// Smooth noise between 0 and 1 over the plane.
#[derive(Debug, Clone, Copy)]
struct Noise {
    seed: u32,
}

impl Noise {
    fn new(rng: &mut StdRng) -> Self {
        Self { seed: rng.random() }
    }

    fn lattice(self, x: i32, y: i32) -> f32 {
        let mut h = self.seed ^ (x as u32).wrapping_mul(0x9E37_79B1);
        h = (h ^ (h >> 15)).wrapping_mul(0x85EB_CA77) ^ (y as u32).wrapping_mul(0xC2B2_AE3D);
        h = (h ^ (h >> 13)).wrapping_mul(0x27D4_EB2F);
        (h ^ (h >> 16)) as f32 / u32::MAX as f32
    }

    fn at(self, x: f32, y: f32) -> f32 {
        let (x0, y0) = (x.floor(), y.floor());
        let ease = |t: f32| t * t * (3.0 - 2.0 * t);
        let (fx, fy) = (ease(x - x0), ease(y - y0));
        let (x0, y0) = (x0 as i32, y0 as i32);
        let top = self.lattice(x0, y0) * (1.0 - fx) + self.lattice(x0 + 1, y0) * fx;
        let bottom = self.lattice(x0, y0 + 1) * (1.0 - fx) + self.lattice(x0 + 1, y0 + 1) * fx;
        top * (1.0 - fy) + bottom * fy
    }

    /// Three octaves.
    fn cloud(self, x: f32, y: f32) -> f32 {
        (self.at(x, y) * 4.0 + self.at(x * 2.1, y * 2.1) * 2.0 + self.at(x * 4.3, y * 4.3)) / 7.0
    }
}

fn mix(a: Colour, b: Colour, t: f32) -> Colour {
    std::array::from_fn(|c| a[c] + (b[c] - a[c]) * t.clamp(0.0, 1.0))
}

fn shade(colour: Colour, factor: f32) -> Colour {
    colour.map(|c| c * factor)
}

/// Any colour, strong reds among them: not everything red is a wound.
fn any_colour(rng: &mut StdRng) -> Colour {
    if rng.random_bool(0.3) {
        [rng.random_range(130.0..240.0), rng.random_range(0.0..70.0), rng.random_range(0.0..70.0)]
    } else {
        std::array::from_fn(|_| rng.random_range(0.0..255.0))
    }
}

fn skin_tone(rng: &mut StdRng) -> Colour {
    let light = [232.0, 190.0, 165.0];
    let dark = [84.0, 56.0, 42.0];
    let tone = mix(light, dark, rng.random_range(0.0..1.0));
    let flush = rng.random_range(0.0..25.0);
    [tone[0] + flush, tone[1] - flush * 0.2, tone[2]]
}

/// What lies behind everything.
#[derive(Debug, Clone, Copy)]
enum Ground {
    Wood { colour: Colour, plank: f32, angle: f32 },
    Cloth { colour: Colour, weave: f32 },
    Plain { colour: Colour },
    Tiles { colour: Colour, size: f32 },
}

impl Ground {
    fn random(rng: &mut StdRng) -> Self {
        match rng.random_range(0..5) {
            0 | 1 => {
                let tone = rng.random_range(0.2..1.0);
                Self::Wood {
                    colour: shade([190.0, 150.0, 115.0], tone),
                    plank: rng.random_range(0.12..0.5),
                    angle: rng.random_range(0.0..std::f32::consts::PI),
                }
            }
            2 => Self::Cloth { colour: any_colour(rng), weave: rng.random_range(60.0..200.0) },
            3 => {
                let grey = rng.random_range(20.0..245.0);
                Self::Plain {
                    colour: std::array::from_fn(|_| grey + rng.random_range(-10.0..10.0)),
                }
            }
            _ => Self::Tiles { colour: any_colour(rng), size: rng.random_range(0.1..0.3) },
        }
    }

    fn at(&self, x: f32, y: f32, noise: Noise) -> Colour {
        match *self {
            Self::Wood { colour, plank, angle } => {
                let (sin, cos) = angle.sin_cos();
                let (along, across) = (x * cos + y * sin, -x * sin + y * cos);
                let row = (across / plank).floor();
                let grain = noise.cloud(along * 3.0 + row * 17.0, across * 60.0);
                let tint = 0.8 + 0.4 * noise.lattice(row as i32, 5);
                let seam = (across / plank - row).min(1.0 - (across / plank - row)) * plank;
                let edge = if seam < 0.004 { 0.45 } else { 1.0 };
                shade(colour, (0.7 + 0.55 * grain) * tint * edge)
            }
            Self::Cloth { colour, weave } => {
                let fold = noise.cloud(x * 3.0, y * 3.0);
                let thread = 0.04 * ((x * weave).sin() + (y * weave).sin());
                shade(colour, 0.6 + 0.7 * fold + thread)
            }
            Self::Plain { colour } => shade(colour, 0.9 + 0.2 * noise.cloud(x * 2.0, y * 2.0)),
            Self::Tiles { colour, size } => {
                let seam = (x / size).fract().abs() < 0.04 || (y / size).fract().abs() < 0.04;
                let tint = 0.85 + 0.25 * noise.lattice((x / size) as i32, (y / size) as i32);
                if seam { [150.0, 145.0, 140.0] } else { shade(colour, tint) }
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Ellipse,
    Rectangle,
    Triangle,
    Ring,
    Star,
    Blob,
}

/// A printed shape on a sheet.
#[derive(Debug, Clone, Copy)]
struct Shape {
    form: Form,
    middle: [f32; 2],
    size: [f32; 2],
    angle: f32,
    colour: Colour,
}

impl Shape {
    fn random(rng: &mut StdRng) -> Self {
        let form = match rng.random_range(0..6) {
            0 => Form::Ellipse,
            1 => Form::Rectangle,
            2 => Form::Triangle,
            3 => Form::Ring,
            4 => Form::Star,
            _ => Form::Blob,
        };
        let size = rng.random_range(0.04..0.22);
        Self {
            form,
            middle: [rng.random_range(0.1..0.9), rng.random_range(0.1..0.9)],
            size: [size, size * rng.random_range(0.5..1.0)],
            angle: rng.random_range(0.0..std::f32::consts::TAU),
            colour: any_colour(rng),
        }
    }

    fn covers(&self, u: f32, v: f32, noise: Noise) -> bool {
        let (sin, cos) = self.angle.sin_cos();
        let (du, dv) = (u - self.middle[0], v - self.middle[1]);
        let x = (du * cos + dv * sin) / self.size[0];
        let y = (-du * sin + dv * cos) / self.size[1];
        let r = x.hypot(y);
        match self.form {
            Form::Ellipse => r < 1.0,
            Form::Rectangle => x.abs() < 0.9 && y.abs() < 0.9,
            Form::Triangle => y > -0.7 && y < 0.9 - 1.7 * x.abs(),
            Form::Ring => (0.6..1.0).contains(&r),
            Form::Star => r < 0.65 + 0.35 * (5.0 * y.atan2(x)).cos(),
            Form::Blob => r < 0.6 + 0.5 * noise.at(x * 2.0 + self.angle, y * 2.0),
        }
    }
}

/// What is printed on a sheet.
#[derive(Debug, Clone)]
enum Print {
    Blank,
    Shapes(Vec<Shape>),
    /// Black squares like a chessboard's, with small patterns in the white or black ones.
    Board {
        columns: f32,
        rows: f32,
        white: bool,
    },
    Text {
        lines: f32,
    },
    Stripes {
        bars: f32,
        colour: Colour,
    },
}

/// A sheet, box or block somewhere in the picture.
#[derive(Debug, Clone)]
struct Sheet {
    middle: [f32; 2],
    /// Rows of the matrix from picture to sheet coordinates (0 to 1 on the sheet).
    inverse: [[f32; 2]; 2],
    paper: Colour,
    rim: Option<Colour>,
    ink: Colour,
    print: Print,
}

impl Sheet {
    fn random(rng: &mut StdRng, largest: f32) -> Self {
        let width = rng.random_range(largest * 0.25..largest);
        let height = width * rng.random_range(0.5..1.3);
        let angle: f32 = if rng.random_bool(0.5) {
            rng.random_range(-0.3..0.3)
        } else {
            rng.random_range(0.0..std::f32::consts::TAU)
        };
        let shear: f32 = rng.random_range(-0.3..0.3);
        let (sin, cos) = angle.sin_cos();
        let (a, b) = (cos * width, (-sin + shear * cos) * height);
        let (c, d) = (sin * width, (cos + shear * sin) * height);
        let determinant = a * d - b * c;
        let print = match rng.random_range(0..10) {
            0 => Print::Blank,
            1..=4 => {
                let count = rng.random_range(1..9);
                Print::Shapes((0..count).map(|_| Shape::random(rng)).collect())
            }
            5..=7 => {
                let columns = rng.random_range(2..13) as f32;
                let rows = (columns * rng.random_range(0.6..1.2)).round().max(2.0);
                Print::Board { columns, rows, white: rng.random_bool(0.5) }
            }
            8 => Print::Text { lines: rng.random_range(6.0..30.0) },
            _ => Print::Stripes { bars: rng.random_range(3.0..20.0), colour: any_colour(rng) },
        };
        let grey = rng.random_range(150.0..255.0);
        let paper = if rng.random_bool(0.75) {
            std::array::from_fn(|_| grey + rng.random_range(-12.0..5.0))
        } else {
            any_colour(rng)
        };
        let wood = shade([225.0, 190.0, 140.0], rng.random_range(0.6..1.05));
        Self {
            middle: [rng.random_range(0.1..0.9), rng.random_range(0.1..0.9)],
            inverse: [[d / determinant, -b / determinant], [-c / determinant, a / determinant]],
            paper,
            rim: rng.random_bool(0.4).then_some(wood),
            ink: shade([255.0; 3], rng.random_range(0.02..0.3)),
            print,
        }
    }

    fn at(&self, x: f32, y: f32, noise: Noise) -> Option<Colour> {
        let (dx, dy) = (x - self.middle[0], y - self.middle[1]);
        let u = self.inverse[0][0] * dx + self.inverse[0][1] * dy + 0.5;
        let v = self.inverse[1][0] * dx + self.inverse[1][1] * dy + 0.5;
        if !(0.0..1.0).contains(&u) || !(0.0..1.0).contains(&v) {
            return None;
        }
        let margin = u.min(v).min(1.0 - u).min(1.0 - v);
        if let Some(rim) = self.rim
            && margin < 0.06
        {
            return Some(shade(rim, 0.85 + 0.3 * noise.cloud(u * 4.0, v * 40.0)));
        }
        if margin < 0.1 {
            return Some(self.paper);
        }
        let (u, v) = ((u - 0.1) / 0.8, (v - 0.1) / 0.8);
        Some(match &self.print {
            Print::Blank => self.paper,
            Print::Shapes(shapes) => shapes
                .iter()
                .rev()
                .find(|s| s.covers(u, v, noise))
                .map_or(self.paper, |shape| shape.colour),
            Print::Board { columns, rows, white } => {
                let (column, row) = ((u * columns).floor(), (v * rows).floor());
                let (fu, fv) = (u * columns - column, v * rows - row);
                let dark = (column + row) as i64 % 2 == 0;
                let inside = (0.22..0.78).contains(&fu) && (0.22..0.78).contains(&fv);
                let bit = noise.lattice(
                    (column * 8.0 + ((fu - 0.22) * 9.0).floor()) as i32,
                    (row * 8.0 + ((fv - 0.22) * 9.0).floor()) as i32,
                ) > 0.5;
                let marked = inside && bit && dark != *white;
                if dark != marked { self.ink } else { self.paper }
            }
            Print::Text { lines } => {
                let row = (v * lines).floor();
                let letter = noise.lattice((u * lines * 2.5) as i32, row as i32) > 0.35;
                if letter && (v * lines - row) < 0.5 { self.ink } else { self.paper }
            }
            Print::Stripes { bars, colour } => {
                if (u * bars).fract() < 0.5 {
                    *colour
                } else {
                    self.paper
                }
            }
        })
    }
}

/// A limb or a plane of healthy skin, with moles and a flush.
#[derive(Debug, Clone)]
struct Skin {
    tone: Colour,
    /// Middle line, half width (of the picture) and direction of a limb; `None` fills the picture.
    limb: Option<([f32; 2], f32, f32)>,
    moles: Vec<([f32; 2], f32)>,
    flush: f32,
    nail: Option<[f32; 2]>,
}

impl Skin {
    fn random(rng: &mut StdRng) -> Self {
        let limb = rng.random_bool(0.75).then(|| {
            let middle = [rng.random_range(0.35..0.65), rng.random_range(0.35..0.65)];
            (middle, rng.random_range(0.1..0.4), rng.random_range(0.0..std::f32::consts::PI))
        });
        let moles = (0..rng.random_range(0..8))
            .map(|_| ([rng.random(), rng.random()], rng.random_range(0.003..0.01)))
            .collect();
        Self {
            tone: skin_tone(rng),
            limb,
            moles,
            flush: rng.random_range(0.0..40.0),
            nail: rng
                .random_bool(0.3)
                .then(|| [rng.random_range(0.3..0.7), rng.random_range(0.3..0.7)]),
        }
    }

    fn at(&self, x: f32, y: f32, noise: Noise) -> Option<Colour> {
        let mut light = 1.0;
        if let Some((middle, half, angle)) = self.limb {
            let (sin, cos) = angle.sin_cos();
            let wobble = 0.05 * (noise.at(x * 2.0, y * 2.0) - 0.5);
            let across = (-(x - middle[0]) * sin + (y - middle[1]) * cos) / half + wobble;
            if across.abs() >= 1.0 {
                return None;
            }
            light = 0.35 + 0.65 * (1.0 - across * across).sqrt();
        }
        let mottle = noise.cloud(x * 6.0, y * 6.0);
        let pores = noise.at(x * 120.0, y * 120.0);
        let flush = self.flush * (noise.cloud(x * 2.5 + 40.0, y * 2.5) - 0.35).max(0.0);
        let mut colour = shade(self.tone, light * (0.88 + 0.16 * mottle + 0.06 * pores));
        colour = [colour[0] + flush, colour[1] - flush * 0.5, colour[2] - flush * 0.5];
        for (place, radius) in &self.moles {
            if (x - place[0]).hypot(y - place[1]) < *radius {
                colour = shade([95.0, 60.0, 45.0], light);
            }
        }
        if let Some(nail) = self.nail
            && ((x - nail[0]) / 0.05).hypot((y - nail[1]) / 0.035) < 1.0
        {
            colour = mix(colour, [235.0, 205.0, 195.0], 0.6);
        }
        Some(colour)
    }
}

/// A picture without a wound.
pub(super) fn woundless(width: u32, height: u32, rng: &mut StdRng) -> Example {
    let ground = Ground::random(rng);
    let noise = Noise::new(rng);
    let skin = rng.random_bool(0.45).then(|| Skin::random(rng));
    let sheets: Vec<Sheet> = if skin.is_none() || rng.random_bool(0.15) {
        let largest = if rng.random_bool(0.5) { 0.9 } else { 0.35 };
        (0..rng.random_range(1..9)).map(|_| Sheet::random(rng, largest)).collect()
    } else {
        Vec::new()
    };
    let sheets_above = rng.random_bool(0.5);
    let lamp = [rng.random_range(-0.3..1.3), rng.random_range(-0.3..1.3)];
    let falloff = rng.random_range(0.0..0.6);
    let longer = width.max(height) as f32;
    let image = RgbImage::from_fn(width, height, |column, row| {
        let (x, y) = ((column as f32 + 0.5) / longer, (row as f32 + 0.5) / longer);
        let on_sheet = || sheets.iter().rev().find_map(|s| s.at(x, y, noise));
        let on_skin = || skin.as_ref().and_then(|s| s.at(x, y, noise));
        let colour =
            if sheets_above { on_sheet().or_else(on_skin) } else { on_skin().or_else(on_sheet) }
                .unwrap_or_else(|| ground.at(x, y, noise));
        let light = 1.1 - falloff * (x - lamp[0]).hypot(y - lamp[1]);
        Rgb(shade(colour, light).map(|c| c.clamp(0.0, 255.0) as u8))
    });
    let mask = GrayImage::new(image.width(), image.height());
    Example { image, mask }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn drawings_repeat_by_seed_and_show_no_wound() {
        let draw = |seed| woundless(48, 36, &mut StdRng::seed_from_u64(seed));
        assert_eq!(draw(1).image, draw(1).image);
        assert_ne!(draw(1).image, draw(2).image);
        assert!(draw(3).mask.pixels().all(|p| p.0[0] == 0));
        assert_eq!(draw(4).image.dimensions(), (48, 36));
    }
}
