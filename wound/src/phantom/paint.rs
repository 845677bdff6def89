//! The colours of a phantom: skin with tone, blotches, pores and creases, an inflamed or callous
//! surrounding, a wet bed of granulation, slough and necrosis, a support behind, a lamp, and a
//! camera's own noise. It need not deceive a person; it must look enough like a photograph that a
//! network trained on photographs is at home in it.

use image::{GrayImage, Luma, Rgb, RgbImage};
use nalgebra::Vector3;
use rayon::prelude::*;

use super::PhantomSpec;
use super::scene::{Scene, Seen};
use super::shape::{Hit, WoundShape};
use crate::random::{Random, fractal, noise};

type Colour = Vector3<f64>;
/// A row of the picture and of the mask.
type Row = (Vec<Rgb<u8>>, Vec<Luma<u8>>);

/// Skin from light to dark, sRGB.
const SKIN: [[f64; 3]; 6] = [
    [238.0, 202.0, 180.0],
    [224.0, 178.0, 150.0],
    [203.0, 150.0, 118.0],
    [170.0, 117.0, 86.0],
    [122.0, 80.0, 58.0],
    [80.0, 53.0, 41.0],
];
const GRANULATION: [[f64; 3]; 3] = [[150.0, 28.0, 34.0], [186.0, 50.0, 48.0], [120.0, 22.0, 30.0]];
const SLOUGH: [[f64; 3]; 3] = [[216.0, 186.0, 118.0], [196.0, 170.0, 112.0], [222.0, 204.0, 156.0]];
const NECROSIS: [[f64; 3]; 2] = [[44.0, 30.0, 26.0], [66.0, 44.0, 34.0]];
const SUPPORT: [[f64; 3]; 7] = [
    [214.0, 216.0, 220.0],
    [150.0, 178.0, 206.0],
    [74.0, 112.0, 150.0],
    [84.0, 128.0, 112.0],
    [70.0, 58.0, 50.0],
    [34.0, 34.0, 38.0],
    [188.0, 176.0, 158.0],
];

/// Choices made once per phantom.
struct Look {
    seed: u64,
    skin: Colour,
    dark: f64,
    redness: f64,
    halo_mm: f64,
    halo: Colour,
    halo_strength: f64,
    rim_mm: f64,
    rim: Colour,
    rim_strength: f64,
    granulation: Colour,
    slough: Colour,
    necrosis: Colour,
    slough_share: f64,
    necrosis_share: f64,
    wetness: f64,
    creases: f64,
    support: Colour,
    folds_mm: f64,
    lamp: Vector3<f64>,
    lamp_gain: f64,
    tint: Colour,
    vignette: f64,
    grain: f64,
    spots: Vec<(f64, f64, f64, Colour)>,
}

fn colour(values: [f64; 3]) -> Colour {
    Colour::new(values[0], values[1], values[2])
}

fn blend(from: &Colour, to: &Colour, share: f64) -> Colour {
    from + (to - from) * share.clamp(0.0, 1.0)
}

fn smoothstep(low: f64, high: f64, value: f64) -> f64 {
    let t = ((value - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

impl Look {
    fn new(spec: &PhantomSpec) -> Self {
        let mut random = Random::new(spec.look ^ 0x0010_0C12);
        let tone = spec.skin_tone.clamp(0.0, 1.0) * (SKIN.len() - 1) as f64;
        let step = (tone.floor() as usize).min(SKIN.len() - 2);
        let mut skin = blend(&colour(SKIN[step]), &colour(SKIN[step + 1]), tone - step as f64);
        skin.x *= random.range(0.97, 1.06);
        skin.z *= random.range(0.92, 1.06);
        let dark = spec.skin_tone;
        let red = Colour::new(1.02 - 0.2 * dark, 0.68, 0.70);
        let callous = Colour::new(226.0, 208.0, 168.0);
        let pink = Colour::new(226.0, 160.0, 152.0);
        let brown = skin * 0.55;
        let rim = [callous, pink, brown][random.index(3) as usize];
        let mut pick = |from: &[[f64; 3]]| {
            let chosen = colour(from[random.index(from.len() as u64) as usize]);
            chosen * random.range(0.85, 1.12)
        };
        let (granulation, slough, necrosis) = (pick(&GRANULATION), pick(&SLOUGH), pick(&NECROSIS));
        let support = pick(&SUPPORT);
        let spots = (0..random.index(14))
            .map(|_| {
                let shade = if random.unit() < 0.6 {
                    skin * random.range(0.45, 0.8)
                } else {
                    skin.component_mul(&Colour::new(1.0, 0.66, 0.64))
                };
                let size = random.range(0.6, 3.0);
                (random.range(-90.0, 90.0), random.range(-150.0, 150.0), size, shade)
            })
            .collect();
        Self {
            seed: spec.look,
            skin,
            dark,
            redness: random.range(0.05, 0.3),
            halo_mm: random.range(4.0, 18.0),
            halo: skin.component_mul(&red),
            halo_strength: random.range(0.15, 0.8),
            rim_mm: random.range(0.6, 3.2),
            rim,
            rim_strength: random.range(0.1, 0.85),
            granulation,
            slough,
            necrosis,
            slough_share: spec.wound.as_ref().map_or(0.0, |wound| wound.slough),
            necrosis_share: spec.wound.as_ref().map_or(0.0, |wound| wound.necrosis),
            wetness: random.range(0.15, 0.9),
            creases: random.range(0.0, 1.0),
            support,
            folds_mm: random.range(90.0, 320.0),
            lamp: Vector3::new(
                random.range(-0.7, 0.7),
                random.range(-0.8, 0.4),
                -random.range(0.8, 1.4),
            )
            .normalize(),
            lamp_gain: random.range(0.82, 1.18),
            tint: Colour::new(random.range(0.94, 1.06), 1.0, random.range(0.9, 1.08)),
            vignette: random.range(0.0, 0.3),
            grain: random.range(1.0, 4.5),
            spots,
        }
    }

    /// A fractal field around 0, of features `size` mm large.
    fn field(&self, channel: u64, u: f64, v: f64, size: f64, octaves: u32) -> f64 {
        let seed = self.seed.wrapping_add(channel.wrapping_mul(0x1234_5677));
        fractal(seed, u / size, v / size, octaves)
    }

    fn skin(&self, u: f64, v: f64, beyond_mm: f64) -> (Colour, f64) {
        let blotch = self.field(1, u, v, 22.0, 3);
        let mottle = self.field(2, u, v, 4.0, 2);
        let pores = self.field(3, u, v, 0.9, 2);
        let mut tone = self.skin * (1.0 + 0.07 * blotch + 0.05 * mottle + 0.05 * pores);
        let red = self.skin.component_mul(&Colour::new(1.02, 0.78, 0.78));
        tone = blend(&tone, &red, self.redness * (0.5 + self.field(4, u, v, 15.0, 2)));
        let crease = self.field(5, u * 0.35, v * 1.4, 5.0, 2).abs();
        tone *= 1.0 - 0.16 * self.creases * (1.0 - smoothstep(0.0, 0.08, crease));
        for (spot_u, spot_v, size, shade) in &self.spots {
            let distance = (u - spot_u).hypot(v - spot_v) / size;
            if distance < 1.6 {
                let ragged = distance + 0.25 * noise(self.seed ^ 77, u * 1.3, v * 1.3);
                tone = blend(&tone, shade, 1.0 - smoothstep(0.7, 1.2, ragged));
            }
        }
        // Inflammation fades outwards, unevenly.
        let ragged = beyond_mm * (1.0 + 0.45 * self.field(6, u, v, 9.0, 2));
        let halo = self.halo_strength * (-ragged / self.halo_mm).exp();
        tone = blend(&tone, &self.halo, halo);
        let rim_width = self.rim_mm * (1.0 + 0.7 * self.field(7, u, v, 6.0, 2));
        let rim = self.rim_strength * (1.0 - smoothstep(0.4 * rim_width, rim_width, beyond_mm));
        tone = blend(&tone, &self.rim, rim);
        (tone, 0.10 + 0.25 * (1.0 - self.dark) * (0.5 + 0.5 * mottle))
    }

    fn bed(&self, u: f64, v: f64, relative: f64) -> (Colour, f64) {
        let grains = self.field(11, u, v, 2.2, 3);
        let mut tone =
            self.granulation * (1.0 + 0.30 * grains + 0.12 * self.field(12, u, v, 9.0, 2));
        let mut gloss = self.wetness;
        // Thresholds of a roughly normal field give roughly the shares asked for.
        let slough = self.field(13, u, v, 7.0, 3) + 0.12 * (1.0 - relative);
        let share = smoothstep(-0.22, 0.22, slough - 0.75 * (1.0 - 2.0 * self.slough_share) * 0.8);
        if self.slough_share > 0.0 {
            let yellow = self.slough * (1.0 + 0.18 * self.field(14, u, v, 1.8, 2));
            tone = blend(&tone, &yellow, 0.92 * share);
            gloss *= 1.0 - 0.4 * share;
        }
        if self.necrosis_share > 0.0 {
            let field = self.field(15, u, v, 8.0, 3);
            let black = smoothstep(-0.15, 0.15, field - 0.6 * (1.0 - 2.0 * self.necrosis_share));
            tone = blend(&tone, &(self.necrosis * (1.0 + 0.2 * grains)), 0.95 * black);
            gloss *= 1.0 - 0.6 * black;
        }
        // New, pale skin creeps in from the edge.
        let edge = smoothstep(0.80, 1.0, relative + 0.08 * self.field(16, u, v, 3.0, 2));
        tone = blend(&tone, &Colour::new(206.0, 120.0, 112.0), 0.35 * edge * (1.0 - share));
        (tone, gloss)
    }

    fn support(&self, u: f64, v: f64) -> Colour {
        let folds = self.field(21, u, v, self.folds_mm, 3);
        let weave = self.field(22, u, v, 1.6, 2);
        self.support * (1.0 + 0.30 * folds + 0.06 * weave)
    }
}

/// The colour picture and the mask of the wound.
pub(crate) fn picture(spec: &PhantomSpec, scene: &Scene<'_>) -> (RgbImage, GrayImage) {
    let [width, height] = spec.image_size;
    let look = Look::new(spec);
    let rows: Vec<Row> = (0..height)
        .into_par_iter()
        .map(|row| {
            let mut random = Random::new(spec.look ^ (u64::from(row) << 20));
            (0..width)
                .map(|column| {
                    let (x, y) = (f64::from(column), f64::from(row));
                    let (tone, inside) = pixel(scene, &look, x, y);
                    let off_x = x / f64::from(width) - 0.5;
                    let off_y = y / f64::from(height) - 0.5;
                    let fall = 1.0 - look.vignette * 2.0 * (off_x * off_x + off_y * off_y);
                    let finish = |value: f64| {
                        (value * fall + look.grain * random.normal()).round().clamp(0.0, 255.0)
                            as u8
                    };
                    let rgb = [tone.x, tone.y, tone.z].map(finish);
                    (Rgb(rgb), Luma([if inside { 255 } else { 0 }]))
                })
                .unzip()
        })
        .collect();
    let mut image = RgbImage::new(width, height);
    let mut mask = GrayImage::new(width, height);
    for (y, (colours, insides)) in (0..height).zip(rows) {
        for (x, (rgb, inside)) in (0..width).zip(colours.into_iter().zip(insides)) {
            image.put_pixel(x, y, rgb);
            mask.put_pixel(x, y, inside);
        }
    }
    (image, mask)
}

fn pixel(scene: &Scene<'_>, look: &Look, x: f64, y: f64) -> (Colour, bool) {
    let ray = scene.intrinsics.ray(x, y);
    match scene.see(&ray) {
        Seen::Support { u, v, .. } => {
            let light = 0.55 + 0.35 * -look.lamp.dot(&-scene.pose.normal);
            ((look.support(u, v) * light * look.lamp_gain).component_mul(&look.tint), false)
        }
        Seen::Limb { skin, surface } => {
            let (tone, gloss, inside) = surface_colour(scene.shape, look, skin, surface);
            let normal = shading_normal(scene, look, skin, surface, inside);
            let view = -ray.normalize();
            let lambert = normal.dot(&look.lamp).max(0.0);
            let facing = normal.dot(&view).max(0.0);
            let half = (view + look.lamp).normalize();
            let shine = normal.dot(&half).max(0.0).powf(if inside { 60.0 } else { 14.0 });
            let hollow = match scene.shape {
                Some(shape) if inside && shape.depth_max() > 0.0 => {
                    let below = shape.depth(shape.relative(surface.u, surface.v));
                    1.0 - 0.30 * (below / (below + 6.0))
                }
                _ => 1.0,
            };
            let light = (0.34 + 0.56 * lambert + 0.14 * facing) * hollow * look.lamp_gain;
            let white = Colour::new(255.0, 250.0, 244.0) * (0.42 * gloss * shine);
            ((tone * light + white).component_mul(&look.tint), inside)
        }
    }
}

fn surface_colour(
    shape: Option<&WoundShape>,
    look: &Look,
    skin: Hit,
    surface: Hit,
) -> (Colour, f64, bool) {
    let Some(shape) = shape else {
        let (tone, gloss) = look.skin(skin.u, skin.v, 1e3);
        return (tone, gloss, false);
    };
    let entry = shape.relative(skin.u, skin.v);
    let beyond = (entry - 1.0) * skin.u.hypot(skin.v) / entry.max(1e-6);
    let (skin_tone, skin_gloss) = look.skin(skin.u, skin.v, beyond.max(0.0));
    if beyond > 0.3 {
        return (skin_tone, skin_gloss, false);
    }
    let (bed_tone, bed_gloss) = look.bed(surface.u, surface.v, entry.min(1.0));
    // A wound's edge is soft over some tenths of a millimetre.
    let share = 1.0 - smoothstep(-0.3, 0.3, beyond);
    let tone = blend(&skin_tone, &bed_tone, share);
    (tone, skin_gloss + (bed_gloss - skin_gloss) * share, entry < 1.0)
}

/// The normal of the surface with its fine relief.
fn shading_normal(
    scene: &Scene<'_>,
    look: &Look,
    skin: Hit,
    surface: Hit,
    inside: bool,
) -> Vector3<f64> {
    let pose = scene.pose;
    let relief = |u: f64, v: f64| {
        let fine = if inside {
            0.30 * look.field(31, u, v, 2.4, 2)
        } else {
            0.05 * look.field(32, u, v, 1.2, 2)
        };
        let bed = match scene.shape {
            Some(shape) if inside => -shape.depth(shape.relative(u, v)),
            _ => 0.0,
        };
        fine + bed
    };
    let (u, v) = if inside { (surface.u, surface.v) } else { (skin.u, skin.v) };
    let step = 0.25;
    let slope_u = (relief(u + step, v) - relief(u - step, v)) / (2.0 * step);
    let slope_v = (relief(u, v + step) - relief(u, v - step)) / (2.0 * step);
    let normal = pose.skin_normal(u, v);
    let (around, along) = pose.tangents(u, v);
    (normal - around * slope_u - along * slope_v).normalize()
}
