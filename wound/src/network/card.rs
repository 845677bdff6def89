//! The card of the network whose weights are part of the program: every figure that belongs to these weights and no
//! others stands in `weights/card.json` beside them, and nowhere else.

use std::sync::LazyLock;

use domain::ModelCard;

static CARD: LazyLock<ModelCard> = LazyLock::new(|| {
    serde_json::from_str(include_str!("weights/card.json")).expect("a test reads the card")
});

/// The card of the network whose weights are part of the program.
#[must_use]
pub fn embedded_card() -> &'static ModelCard {
    &CARD
}

/// At this probability and above that network says that there is a wound. Chosen on the held-out split together with
/// the calibration in the weights.
#[must_use]
pub fn wound_threshold() -> f32 {
    CARD.wound_threshold()
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::network::embedded_weights;

    /// When the weights are replaced, so are the card and its prose.
    #[test]
    fn the_card_the_prose_and_the_weights_belong_together() {
        let prose = include_str!("weights/MODEL_CARD.md");
        let digest = hex::encode(Sha256::digest(embedded_weights()));
        assert!(prose.contains(&digest), "MODEL_CARD.md is about other weights than {digest}");
        let card = embedded_card();
        let share = |permille: u16| format!("{:.3}", f64::from(permille) / 1000.0);
        let metrics = card.metrics;
        let row = format!(
            "| photographs held out | {} | {} | {} |",
            metrics.n,
            share(metrics.dice_pooled_permille),
            share(metrics.dice_mean_permille)
        );
        assert!(prose.contains(&row), "MODEL_CARD.md has no line that begins {row}");
        let threshold = format!("At the product's threshold, {}", card.wound_threshold());
        assert!(prose.contains(&threshold), "MODEL_CARD.md: {threshold}");
        assert!(prose.contains(&format!("version {}", &*card.version)), "MODEL_CARD.md: version");
        let pictures: u32 = card.reference.wound_probability.iter().sum();
        assert_eq!(pictures, metrics.n, "the reference is of what was held out");
        assert!(card.licence.contains("Research use only"), "the weights carry FUSeg's note");
    }
}
