//! The healthy skin a wound lies in: the surface that was there before.
//!
//! Limbs are near to cylinders, so the surface fitted to a ring of skin around the wound is a
//! cylinder (or plane, or hollow: its curvature may be anything), where the ring demands it bent
//! along as well, as a heel is, and with a low polynomial on top for what is left, as on a sacrum. On the cylinder the skin
//! unrolls into a plane with coordinates `u` (around) and `v` (along) in millimetres, in which
//! lengths and areas are nearly those on the skin; [`Skin::metric`] says what remains.

use nalgebra::{DMatrix, DVector, Matrix3, Rotation3, SMatrix, SVector, Unit, Vector3};

use super::relief::Relief;

/// Offset, two tilts, turn of the axis, curvature and bend × [`LENGTH_MM`].
const PARAMETERS: usize = 6;
/// The fall along the skin is an arc only so far from its top.
const SAG_MAX: f64 = 0.97;
/// Newton's steps from the cylinder to the skin.
const MEET_STEPS: usize = 12;
/// A bend that is to be found starts as the curvature, or as this, 1/mm.
const BEND_START: f64 = 1.0 / 80.0;
/// How clearly the scatter must fall for a bend to be believed, and how many neighbours carry as
/// much as one point.
const BEND_CAUTION: f64 = 3.0;
const POINTS_PER_EVIDENCE: f64 = 10.0;
/// Makes the curvature a number of the size of the others.
const LENGTH_MM: f64 = 20.0;
/// Tightest limb (a toe) and tightest hollow.
const CURVATURE_MAX: f64 = 1.0 / 8.0;
const CURVATURE_MIN: f64 = -1.0 / 40.0;
const ROUNDS: usize = 4;
const STEPS: usize = 4;
/// Fewer points than this define no surface.
const POINTS_MIN: usize = 24;
/// So many points decide between the starts, and so many the fit: more make it no better, as
/// neighbours are related.
const START_POINTS_MAX: usize = 300;
const POINTS_MAX: usize = 3000;
/// Share of the points (nearest to the wound) that a start is taken from, and its curvature if it
/// is not to be that of the points.
const STARTS: [(f64, Option<f64>); 4] =
    [(0.5, None), (0.25, None), (0.35, Some(1.0 / 35.0)), (0.35, Some(1.0 / 70.0))];
/// Shares of the ring that are tried, and by how much a wider one may scatter more before it is
/// taken for two surfaces.
const RING_SHARES: [f64; 3] = [1.0, 0.6, 0.35];
const SCATTER_GROWTH: f64 = 1.4;
const RING_POINTS_MIN: usize = 150;
const START_SIGMA_MM: f64 = 2.5;
/// A point this far off the surface does not belong to it.
const STRANGE_MM: f64 = 3.0;
/// The sensor's values are whole millimetres, so a fit cannot be better known than this.
const SIGMA_MIN_MM: f64 = 0.15;
/// Beyond this many sigmas a point says nothing (Tukey's biweight).
const TUKEY: f64 = 4.685;

/// A fitted surface.
#[derive(Debug, Clone)]
pub(crate) struct Skin {
    origin: Vector3<f64>,
    across: Vector3<f64>,
    along: Vector3<f64>,
    normal: Vector3<f64>,
    curvature: f64,
    /// Curvature along, where the skin curves both ways; with the curvature's own value a sphere.
    bend: f64,
    relief: Relief,
}

/// A surface with what is known about its error.
#[derive(Debug, Clone)]
pub(crate) struct Fit {
    pub(crate) skin: Skin,
    /// Scatter of the points about the surface, mm.
    pub(crate) sigma: f64,
    /// The share of the ring that lies on it, within two deviations.
    pub(crate) carried: f64,
    /// Columns are one standard deviation along each independent direction of the fit's error, as
    /// if the points were unrelated: the cylinder's, or the relief's where there is one.
    root: DMatrix<f64>,
}

impl Fit {
    /// The skins that might as well be the true one: one standard deviation away along each
    /// independent direction. `related` is how many points carry as much as one unrelated point.
    pub(crate) fn doubts(&self, related: f64) -> Vec<Skin> {
        let width = related.sqrt();
        let columns = self.root.column_iter();
        columns.map(|column| self.skin.shifted(&(column * width))).collect()
    }
}

/// A place relative to the skin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) u: f64,
    pub(crate) v: f64,
    /// Above the skin, mm; negative is below.
    pub(crate) height: f64,
}

type Parameters = SVector<f64, PARAMETERS>;

impl Skin {
    fn local(&self, point: &Vector3<f64>) -> Vector3<f64> {
        let offset = point - self.origin;
        Vector3::new(offset.dot(&self.across), offset.dot(&self.along), offset.dot(&self.normal))
    }

    /// Where a point lies relative to the cylinder alone.
    fn base_place(&self, point: &Vector3<f64>) -> Place {
        let local = self.local(point);
        let (x, y, z) = (local.x, local.y, local.z);
        let k = self.curvature;
        let distance = (k * x).hypot(1.0 + k * z);
        let height = (2.0 * z + k * (x * x + z * z)) / (1.0 + distance);
        let u = if k.abs() < 1e-9 { x } else { (k * x).atan2(1.0 + k * z) / k };
        Place { u, v: y, height: height + self.sag(y).0 }
    }

    /// How far the skin lies below the cylinder at `v`, and its slope there: an arc's fall.
    fn sag(&self, v: f64) -> (f64, f64) {
        let turn = (self.bend * v).clamp(-SAG_MAX, SAG_MAX);
        let rest = (1.0 - turn * turn).sqrt();
        (v * turn / (1.0 + rest), turn / rest)
    }

    /// Height over the cylinder and its slopes along u and v.
    fn over_cylinder(&self, u: f64, v: f64) -> (f64, f64, f64) {
        let (height, slope_u, slope_v) = self.relief.with_slopes(u, v);
        let (sag, fall) = self.sag(v);
        (height - sag, slope_u, slope_v - fall)
    }

    /// Where a point lies relative to the skin.
    pub(crate) fn place(&self, point: &Vector3<f64>) -> Place {
        let base = self.base_place(point);
        Place { height: base.height - self.relief.value(base.u, base.v), ..base }
    }

    /// The outward normal of the cylinder at `u`.
    fn cylinder_normal(&self, u: f64) -> Vector3<f64> {
        let angle = u * self.curvature;
        self.across * angle.sin() + self.normal * angle.cos()
    }

    /// The outward normal at `(u, v)`.
    pub(crate) fn normal(&self, u: f64, v: f64) -> Vector3<f64> {
        self.gradient(u, v).normalize()
    }

    /// How the height above the skin grows in space.
    fn gradient(&self, u: f64, v: f64) -> Vector3<f64> {
        let normal = self.cylinder_normal(u);
        let (height, slope_u, slope_v) = self.over_cylinder(u, v);
        let around = self.along.cross(&normal) / (1.0 + self.curvature * height);
        normal - around * slope_u - self.along * slope_v
    }

    /// Where the ray (third component 1) from the camera first meets the skin: depth, u, v.
    pub(crate) fn meet(&self, ray: &Vector3<f64>) -> Option<(f64, f64, f64)> {
        let origin = self.local(&Vector3::zeros());
        let direction =
            Vector3::new(ray.dot(&self.across), ray.dot(&self.along), ray.dot(&self.normal));
        let k = self.curvature;
        let a = k * (direction.x.powi(2) + direction.z.powi(2));
        let b = direction.z + k * (origin.x * direction.x + origin.z * direction.z);
        let c = 2.0 * origin.z + k * (origin.x.powi(2) + origin.z.powi(2));
        let discriminant = b * b - a * c;
        if discriminant <= 0.0 {
            return None;
        }
        // The nearer root, in the form that a plane and a hollow do not upset.
        let mut depth = c / (-b + discriminant.sqrt());
        if !depth.is_finite() || depth <= 0.0 {
            return None;
        }
        let mut place = self.place(&(ray * depth));
        for _ in 0..MEET_STEPS {
            if place.height.abs() < 1e-6 {
                break;
            }
            let slope = ray.dot(&self.gradient(place.u, place.v));
            if slope.abs() < 1e-3 {
                return None;
            }
            depth -= place.height / slope;
            place = self.place(&(ray * depth));
        }
        (depth > 0.0 && place.height.abs() < 0.05).then_some((depth, place.u, place.v))
    }

    /// Squared length on the skin of a small step `(du, dv)` at `(u, v)`, and the area of a small
    /// square there, both relative to the unrolled plane.
    pub(crate) fn metric(&self, u: f64, v: f64, step: [f64; 2]) -> (f64, f64) {
        let (height, slope_u, slope_v) = self.over_cylinder(u, v);
        let widened = 1.0 + self.curvature * height;
        let rise = slope_u * step[0] + slope_v * step[1];
        let squared = (widened * step[0]).powi(2) + step[1].powi(2) + rise * rise;
        let area = (widened.powi(2) * (1.0 + slope_v.powi(2)) + slope_u.powi(2)).sqrt();
        (squared, area)
    }

    /// The skin with its parameters shifted, for asking how much the figures depend on them.
    fn shifted(&self, by: &DVector<f64>) -> Self {
        if self.relief.is_none() {
            let mut all = Parameters::zeros();
            all.rows_mut(0, by.len()).copy_from(by);
            return self.with(&all);
        }
        Self { relief: self.relief.shifted(by), ..self.clone() }
    }

    fn with(&self, by: &Parameters) -> Self {
        // Around the tangent axes through the origin, then around the normal.
        let tilt = Rotation3::new(self.along * by[1] + self.across * by[2]);
        let normal = tilt * self.normal;
        let turn = Rotation3::from_axis_angle(&Unit::new_normalize(normal), by[3]);
        Self {
            origin: self.origin + self.normal * by[0],
            across: turn * (tilt * self.across),
            along: turn * (tilt * self.along),
            normal,
            curvature: (self.curvature + by[4] / LENGTH_MM).clamp(CURVATURE_MIN, CURVATURE_MAX),
            bend: (self.bend + by[5] / LENGTH_MM).clamp(CURVATURE_MIN, CURVATURE_MAX),
            relief: self.relief.clone(),
        }
    }

    /// How many parameters are free: a cylinder has no bend.
    fn free(&self) -> usize {
        if self.bend == 0.0 { PARAMETERS - 1 } else { PARAMETERS }
    }
}

/// Points around a wound, each with its distance from it, nearest first.
pub(crate) struct Ring(Vec<(Vector3<f64>, f64)>);

impl Ring {
    /// Skin next to the wound comes first: farther out there may be another surface behind it.
    pub(crate) fn new(mut points: Vec<(Vector3<f64>, f64)>) -> Self {
        points.sort_by(|a, b| a.1.total_cmp(&b.1));
        Self(points)
    }

    /// Evenly chosen points of the nearest share, at most so many, and how many each stands for.
    fn some(&self, share: f64, most: usize) -> (Vec<Vector3<f64>>, usize) {
        let near = ((self.0.len() as f64 * share).ceil() as usize).min(self.0.len());
        let stride = near.div_ceil(most).max(1);
        (self.0[..near].iter().step_by(stride).map(|(point, _)| *point).collect(), stride)
    }
}

/// A cylinder through the ring, before the fit to all its points.
pub(crate) struct Found {
    pub(crate) skin: Skin,
    sigma: f64,
    /// The nearest points that lie on it: what is farther out may be another surface.
    share: f64,
}

/// Finds the cylinder that carries most of the ring around a wound whose middle is seen along
/// `sight`. None if the points lie so that no surface follows from them.
pub(crate) fn find(ring: &Ring, sight: &Vector3<f64>) -> Option<Found> {
    let (few, _) = ring.some(1.0, START_POINTS_MAX);
    if few.len() < POINTS_MIN {
        return None;
    }
    // On a narrow limb a start may slide into the table behind it, so there are several, and the
    // surface that carries most of the points wins.
    let starts = STARTS.iter().filter_map(|(share, curvature)| {
        let inner = ((few.len() as f64 * share) as usize).max(POINTS_MIN).min(few.len());
        let skin = start(&few[..inner], sight)?;
        let skin = Skin { curvature: curvature.unwrap_or(skin.curvature), ..skin };
        let (skin, sigma) = refine(&few[..inner], skin, START_SIGMA_MM, ROUNDS)?;
        refine(&few, skin, sigma, ROUNDS)
    });
    let (skin, sigma) = starts.min_by(|a, b| {
        let off = |skin: &Skin| few.iter().map(|point| strangeness(skin, point)).sum::<f64>();
        off(&a.0).total_cmp(&off(&b.0))
    })?;
    let (skin, sigma) = bent(&few, skin, sigma);
    // The origin moves to where the middle of the wound was, so that `u` and `v` are small there.
    let (depth, u, v) = skin.meet(sight)?;
    let normal = skin.normal(u, v);
    let along = (skin.along - normal * skin.along.dot(&normal)).normalize();
    let skin = Skin { origin: sight * depth, normal, along, across: along.cross(&normal), ..skin };

    // The widest ring that does not scatter more than the narrower ones.
    let rings = RING_SHARES.iter().filter_map(|share| {
        let (points, _) = ring.some(*share, START_POINTS_MAX);
        let enough = points.len() >= RING_POINTS_MIN || *share == 1.0;
        let (skin, sigma) = refine(&points, skin.clone(), sigma, ROUNDS).filter(|_| enough)?;
        Some(Found { skin, sigma, share: *share })
    });
    let rings: Vec<Found> = rings.collect();
    let least = rings.iter().map(|found| found.sigma).fold(f64::MAX, f64::min);
    rings.into_iter().find(|found| found.sigma <= SCATTER_GROWTH * least)
}

/// Fits the skin that was found to the whole ring, with the relief that the ring demands.
pub(crate) fn fit(ring: &Ring, found: Found) -> Option<Fit> {
    let (points, stride) = ring.some(found.share, POINTS_MAX);
    let (mut skin, sigma) = refine(&points, found.skin, found.sigma, 1)?;
    let places: Vec<Place> = points.iter().map(|point| skin.base_place(point)).collect();
    let (relief, scatter) = Relief::fit(&places, sigma, TUKEY);
    let sigma = scatter.max(SIGMA_MIN_MM);
    let normal_matrix = if relief.is_none() {
        let (matrix, _) = equations(&points, &skin, sigma);
        let free = skin.free();
        DMatrix::from_fn(free, free, |row, column| matrix[(row, column)])
    } else {
        relief.normal_matrix(&places, sigma, TUKEY)
    };
    // As if all points had been used: the relation between neighbours is counted elsewhere.
    let covariance = normal_matrix.try_inverse()? * (sigma.powi(2) / stride as f64);
    let root = covariance.cholesky()?.l();
    skin.relief = relief;
    let near = points.iter().filter(|point| skin.place(point).height.abs() < 2.0 * sigma).count();
    Some(Fit { carried: near as f64 / points.len() as f64, skin, sigma, root })
}

/// The skin with a bend along, as on a heel, where that carries the points clearly better.
fn bent(points: &[Vector3<f64>], skin: Skin, sigma: f64) -> (Skin, f64) {
    let carried = |skin: &Skin| points.iter().map(|point| strangeness(skin, point)).sum::<f64>();
    let starts = [BEND_START, skin.curvature, -BEND_START].into_iter().filter_map(|bend| {
        let start = Skin { bend, ..skin.clone() };
        refine(points, start, START_SIGMA_MM, ROUNDS).filter(|(skin, _)| skin.bend != 0.0)
    });
    let Some((other, other_sigma)) = starts.min_by(|a, b| carried(&a.0).total_cmp(&carried(&b.0)))
    else {
        return (skin, sigma);
    };
    // By how much each explains the points, all others being as strange as a point can be.
    let evidence = points.len() as f64 / POINTS_PER_EVIDENCE;
    let misfit = |skin: &Skin| (carried(skin) / points.len() as f64).max(1e-6);
    let gain = evidence * (misfit(&skin) / misfit(&other)).ln();
    if gain > BEND_CAUTION * evidence.ln() { (other, other_sigma) } else { (skin, sigma) }
}

/// Gauss-Newton steps with weights that follow the scatter; gives the skin and its scatter.
fn refine(
    points: &[Vector3<f64>],
    mut skin: Skin,
    mut sigma: f64,
    rounds: usize,
) -> Option<(Skin, f64)> {
    for _ in 0..rounds {
        for _ in 0..STEPS {
            let (normal_matrix, gradient) = equations(points, &skin, sigma);
            let step = solve(&normal_matrix, &gradient)?;
            skin = skin.with(&step);
            if step.norm() < 1e-5 {
                break;
            }
        }
        sigma = scale(points, &skin, 5.0 * sigma);
    }
    Some((skin, sigma))
}

/// 0 for a point on the surface, 1 for one that has nothing to do with it.
fn strangeness(skin: &Skin, point: &Vector3<f64>) -> f64 {
    (skin.base_place(point).height / STRANGE_MM).powi(2).min(1.0)
}

/// A plane with the curvature of a parabola fitted to the points.
fn start(points: &[Vector3<f64>], sight: &Vector3<f64>) -> Option<Skin> {
    let mut normal = super::cloud::normal(points);
    if normal.dot(sight) > 0.0 {
        normal = -normal;
    }
    let mean = points.iter().sum::<Vector3<f64>>() / points.len() as f64;
    let slope = sight.dot(&normal);
    if slope > -0.05 {
        return None;
    }
    let origin = sight * (mean.dot(&normal) / slope);
    let helper = if normal.x.abs() < 0.8 { Vector3::x() } else { Vector3::y() };
    let first = normal.cross(&helper).normalize();
    let second = normal.cross(&first);

    let mut matrix = SMatrix::<f64, 6, 6>::identity() * 1e-9;
    let mut right = SVector::<f64, 6>::zeros();
    for point in points {
        let offset = point - origin;
        let (x, y, z) =
            (offset.dot(&first) / LENGTH_MM, offset.dot(&second) / LENGTH_MM, offset.dot(&normal));
        let row = SVector::<f64, 6>::from([1.0, x, y, x * x, x * y, y * y]);
        matrix += row * row.transpose();
        right += row * z;
    }
    let solution = matrix.cholesky()?.solve(&right);
    // Heights fall by half the curvature times the square of the distance.
    let bend = -2.0 / (LENGTH_MM * LENGTH_MM);
    let hessian = Matrix3::new(
        bend * solution[3],
        bend * solution[4] / 2.0,
        0.0,
        bend * solution[4] / 2.0,
        bend * solution[5],
        0.0,
        0.0,
        0.0,
        0.0,
    );
    let hessian = hessian.fixed_view::<2, 2>(0, 0).into_owned();
    let eigen = hessian.symmetric_eigen();
    let most = eigen.eigenvalues.iamax();
    let direction = eigen.eigenvectors.column(most);
    let across = first * direction[0] + second * direction[1];
    Some(Skin {
        origin: origin + normal * solution[0],
        across,
        along: normal.cross(&across),
        normal,
        curvature: eigen.eigenvalues[most].clamp(CURVATURE_MIN, CURVATURE_MAX),
        bend: 0.0,
        relief: Relief::none(),
    })
}

/// Robust scatter about the cylinder of the points within `reach` of it.
fn scale(points: &[Vector3<f64>], skin: &Skin, reach: f64) -> f64 {
    let heights = points.iter().map(|point| skin.base_place(point).height.abs());
    let mut heights: Vec<f64> = heights.filter(|height| *height < reach).collect();
    if heights.is_empty() {
        return SIGMA_MIN_MM;
    }
    let middle = heights.len() / 2;
    let (_, median, _) = heights.select_nth_unstable_by(middle, f64::total_cmp);
    (1.4826 * *median).max(SIGMA_MIN_MM)
}

/// Weighted normal equations of one Gauss-Newton step, with a weak pull to no change, so that an
/// axis that a plane does not have stays where it is.
fn equations(
    points: &[Vector3<f64>],
    skin: &Skin,
    sigma: f64,
) -> (SMatrix<f64, PARAMETERS, PARAMETERS>, Parameters) {
    const STEP: [f64; PARAMETERS] = [1e-3, 1e-5, 1e-5, 1e-4, 1e-4, 1e-4];
    const PULL: [f64; PARAMETERS] = [1e-6, 1e-4, 1e-4, 4.0, 1.0, 1.0];
    let free = skin.free();
    let moved: Vec<(Skin, f64)> = (0..free)
        .map(|i| {
            let mut by = Parameters::zeros();
            by[i] = STEP[i];
            (skin.with(&by), STEP[i])
        })
        .collect();
    let mut matrix = SMatrix::<f64, PARAMETERS, PARAMETERS>::zeros();
    let mut gradient = Parameters::zeros();
    for i in 0..PARAMETERS {
        matrix[(i, i)] = PULL[i] * sigma.powi(2);
    }
    for point in points {
        let height = skin.base_place(point).height;
        let ratio = height / (TUKEY * sigma);
        if ratio.abs() >= 1.0 {
            continue;
        }
        let weight = (1.0 - ratio * ratio).powi(2);
        let mut row = Parameters::zeros();
        for (i, (shifted, step)) in moved.iter().enumerate() {
            row[i] = (shifted.base_place(point).height - height) / step;
        }
        matrix += row * row.transpose() * weight;
        gradient -= row * (height * weight);
    }
    (matrix, gradient)
}

fn solve(
    matrix: &SMatrix<f64, PARAMETERS, PARAMETERS>,
    gradient: &Parameters,
) -> Option<Parameters> {
    let mut step = matrix.cholesky()?.solve(gradient);
    // A step too long for the linearisation is shortened.
    const LIMIT: [f64; PARAMETERS] = [10.0, 0.2, 0.2, 0.4, 0.4, 0.4];
    let excess = (0..PARAMETERS).map(|i| step[i].abs() / LIMIT[i]).fold(1.0, f64::max);
    step /= excess;
    Some(step)
}
