//! Randomness that is the same on every machine and in every version: phantoms are named by seed.

/// `SplitMix64`, which is small, good enough for pictures and fixed forever.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed ^ 0x5851_F42D_4C95_7F2D }
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.state)
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A choice among `count` things.
    pub(crate) fn index(&mut self, count: u64) -> u64 {
        self.next_u64() % count
    }

    /// Standard normal, by Box and Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Smooth noise over the plane, in `[-1, 1]`, with features of size one.
pub(crate) fn noise(seed: u64, x: f64, y: f64) -> f64 {
    let (column, row) = (x.floor(), y.floor());
    let (fx, fy) = (fade(x - column), fade(y - row));
    let at = |dx: i64, dy: i64| lattice(seed, column as i64 + dx, row as i64 + dy);
    let top = at(0, 0) + fx * (at(1, 0) - at(0, 0));
    let bottom = at(0, 1) + fx * (at(1, 1) - at(0, 1));
    top + fy * (bottom - top)
}

/// Noise summed over octaves, each half as large and twice as fine; still about `[-1, 1]`.
pub(crate) fn fractal(seed: u64, x: f64, y: f64, octaves: u32) -> f64 {
    let (mut sum, mut amplitude, mut scale, mut total) = (0.0, 1.0, 1.0, 0.0);
    for octave in 0..octaves {
        sum += amplitude * noise(seed.wrapping_add(u64::from(octave) * 7919), x * scale, y * scale);
        total += amplitude;
        amplitude *= 0.5;
        scale *= 2.03;
    }
    sum / total
}

fn fade(t: f64) -> f64 {
    t * t * t * (t * (t * 6.0 - 15.0) + 10.0)
}

fn lattice(seed: u64, column: i64, row: i64) -> f64 {
    let key = (column as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93)
        ^ (row as u64).wrapping_mul(0xA076_1D64_78BD_642F).rotate_left(29)
        ^ seed.wrapping_mul(0xE703_7ED1_A0B4_28DB);
    (mix(key) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}
