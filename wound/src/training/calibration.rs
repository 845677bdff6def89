//! The fit that makes a probability of what speaks for a wound.

use super::logistic::{self, Seen};
use crate::network::evidence::EVIDENCE;

/// Fits slopes and an intercept, last, so that the sigmoid of their sum over the numbers is the
/// probability (Platt), with a weak prior around slope 1 of the first number.
pub(super) fn calibrate(seen: &[([f32; EVIDENCE], bool)]) -> Vec<f32> {
    let (mut middle, mut strength) = (vec![0.0; EVIDENCE + 1], vec![0.5; EVIDENCE + 1]);
    middle[0] = 1.0;
    strength[EVIDENCE] = 0.02;
    let rows: Vec<(Vec<f64>, f64)> = seen
        .iter()
        .map(|(numbers, wound)| {
            let numbers = numbers.iter().map(|number| f64::from(*number)).chain([1.0]);
            (numbers.collect(), f64::from(u8::from(*wound)))
        })
        .collect();
    let rows = rows.iter().map(|(numbers, share)| Seen { numbers, share: *share, weight: 1.0 });
    // The prior alone determines every factor.
    let mut fitted = logistic::fit(rows, &middle, &strength).unwrap_or(middle);
    fitted[0] = fitted[0].max(0.05);
    fitted.into_iter().map(|value| value as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::evidence::wound_probability;

    #[test]
    fn calibration_separates_what_can_be_separated() {
        let seen: Vec<_> = (-20..20).map(|s| ([s as f32 / 4.0, 0.0], s >= 4)).collect();
        let fitted = calibrate(&seen);
        let probability = |s: f32| wound_probability(&[s, 0.0], &fitted);
        assert!(fitted[0] > 1.0);
        assert!(probability(-3.0) < 0.05 && probability(4.0) > 0.95);
        assert!((probability(0.9) - 0.5).abs() < 0.2);
    }

    #[test]
    fn calibration_of_one_class_or_of_nothing_stays_finite() {
        let one_class = calibrate(&[([2.0, 0.0], true), ([3.0, -1.0], true)]);
        assert!(one_class.iter().all(|value| value.is_finite()));
        assert_eq!(calibrate(&[]), [1.0, 0.0, 0.0]);
    }

    #[test]
    fn a_second_number_helps_where_it_tells_more() {
        let seen: Vec<_> = (0..200)
            .map(|n| {
                let wound = n % 2 == 0;
                ([(n % 10) as f32 / 10.0, if wound { 0.0 } else { -1.0 }], wound)
            })
            .collect();
        let fitted = calibrate(&seen);
        let told = seen.iter().filter(|(x, wound)| (wound_probability(x, &fitted) > 0.5) == *wound);
        assert_eq!(told.count(), seen.len());
    }
}
