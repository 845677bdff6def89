//! What the skin has on top of a cylinder: a low polynomial, only as rich as the points demand.

use nalgebra::{DMatrix, DVector};

use super::skin::Place;

/// Makes powers of the coordinates numbers of one size.
const LENGTH_MM: f64 = 20.0;
/// Exponents of u and v, up to the third degree. A cylinder covers the first four and u² already,
/// but all must be free to move when the others do.
const TERMS: [(i32, i32); 10] =
    [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3)];
const DEGREES: [usize; 2] = [6, 10];
/// Neighbouring depth values are related, so there is less evidence than there are points.
const POINTS_PER_EVIDENCE: f64 = 10.0;
/// How much dearer than by the bare criterion a term is: a bulge that noise feigns around the
/// wound reaches into the wound, while a real heel or sacrum exceeds the noise many times over.
const CAUTION: f64 = 3.0;

/// A height over the cylinder, in mm, by unrolled coordinates.
#[derive(Debug, Clone, Default)]
pub(crate) struct Relief {
    coefficients: Vec<f64>,
}

impl Relief {
    pub(crate) fn none() -> Self {
        Self::default()
    }

    pub(crate) fn is_none(&self) -> bool {
        self.coefficients.is_empty()
    }

    /// With its coefficients shifted.
    pub(crate) fn shifted(&self, by: &DVector<f64>) -> Self {
        let sum = self.coefficients.iter().zip(by.iter()).map(|(a, b)| a + b);
        Self { coefficients: sum.collect() }
    }

    /// How firmly the points hold the coefficients.
    pub(crate) fn normal_matrix(&self, places: &[Place], sigma: f64, tukey: f64) -> DMatrix<f64> {
        let terms = self.coefficients.len();
        let near = places
            .iter()
            .filter(|place| (place.height - self.value(place.u, place.v)).abs() < tukey * sigma);
        near.fold(DMatrix::identity(terms, terms) * 1e-3, |matrix, place| {
            let row = terms_at(place, terms);
            matrix + &row * row.transpose()
        })
    }

    pub(crate) fn value(&self, u: f64, v: f64) -> f64 {
        self.with_slopes(u, v).0
    }

    /// Height and its slopes along u and v.
    pub(crate) fn with_slopes(&self, u: f64, v: f64) -> (f64, f64, f64) {
        let (x, y) = (u / LENGTH_MM, v / LENGTH_MM);
        let (mut height, mut slope_u, mut slope_v) = (0.0, 0.0, 0.0);
        for ((i, j), coefficient) in TERMS.iter().zip(&self.coefficients) {
            height += coefficient * x.powi(*i) * y.powi(*j);
            if *i > 0 {
                slope_u += coefficient * f64::from(*i) * x.powi(i - 1) * y.powi(*j) / LENGTH_MM;
            }
            if *j > 0 {
                slope_v += coefficient * f64::from(*j) * x.powi(*i) * y.powi(j - 1) / LENGTH_MM;
            }
        }
        (height, slope_u, slope_v)
    }

    /// The polynomial that the heights demand (by Bayes' information criterion), and the scatter
    /// that is left.
    pub(crate) fn fit(places: &[Place], sigma: f64, tukey: f64) -> (Self, f64) {
        let usable: Vec<&Place> =
            places.iter().filter(|place| place.height.abs() < tukey * sigma).collect();
        let count = usable.len() as f64;
        let scatter = |relief: &Self| {
            let sum: f64 = usable
                .iter()
                .map(|place| (place.height - relief.value(place.u, place.v)).powi(2))
                .sum();
            (sum / count.max(1.0)).sqrt()
        };
        let mut best = Self::none();
        let mut best_scatter = scatter(&best);
        let evidence = count / POINTS_PER_EVIDENCE;
        let mut best_score = 2.0 * evidence * best_scatter.max(1e-6).ln();
        for terms in DEGREES {
            // The cylinder has five of these already.
            let added = terms as f64 - 5.0;
            if evidence < 2.0 * terms as f64 {
                break;
            }
            let Some(candidate) = Self::solve(&usable, terms) else { continue };
            let candidate_scatter = scatter(&candidate);
            let score =
                2.0 * evidence * candidate_scatter.max(1e-6).ln() + CAUTION * added * evidence.ln();
            if score < best_score {
                (best, best_scatter, best_score) = (candidate, candidate_scatter, score);
            }
        }
        (best, best_scatter)
    }

    fn solve(places: &[&Place], terms: usize) -> Option<Self> {
        let mut matrix = DMatrix::<f64>::identity(terms, terms) * 1e-3;
        let mut right = DVector::<f64>::zeros(terms);
        for place in places {
            let row = terms_at(place, terms);
            matrix += &row * row.transpose();
            right += &row * place.height;
        }
        let solution = matrix.cholesky()?.solve(&right);
        Some(Self { coefficients: solution.iter().copied().collect() })
    }
}

fn terms_at(place: &Place, terms: usize) -> DVector<f64> {
    let (x, y) = (place.u / LENGTH_MM, place.v / LENGTH_MM);
    DVector::from_iterator(terms, TERMS[..terms].iter().map(|(i, j)| x.powi(*i) * y.powi(*j)))
}
