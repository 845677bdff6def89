//! Bodies about models.

use utoipa::ToSchema;

use super::codes::ModelStatus;

/// A registered model.
#[derive(ToSchema)]
pub struct ModelDocument {
    /// The SHA-256 of its weights: the name it goes by.
    pub weights_sha256: String,
    /// How it stands.
    pub status: ModelStatus,
    /// The size of its weights in bytes.
    pub size: u64,
    /// The `model_digest` of the measurements it makes: of its weights and of the geometry.
    pub model_digest: String,
    /// When it was registered.
    #[schema(value_type = String, format = DateTime)]
    pub registered_at: String,
    /// When it was activated last.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub activated_at: Option<String>,
    /// When it was withdrawn.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub withdrawn_at: Option<String>,
    /// Its card.
    pub card: ModelCard,
}

/// The registered models.
#[derive(ToSchema)]
pub struct ModelList {
    /// All of them, withdrawn ones included, in the order in which they were registered.
    pub items: Vec<ModelDocument>,
}

/// The card of a model. It is kept in the clear and for good: it must not name a person.
#[derive(ToSchema)]
pub struct ModelCard {
    /// What the model is called.
    #[schema(max_length = 100)]
    pub name: String,
    /// Which version of it this is.
    #[schema(max_length = 40)]
    pub version: String,
    /// What it is for, and what must happen before anybody relies on it.
    #[schema(max_length = 2000)]
    pub intended_use: String,
    /// What it learned from.
    #[schema(max_length = 2000)]
    pub training_data: String,
    /// What the licence of weights and training data allows.
    #[schema(max_length = 2000)]
    pub licence: String,
    /// Where it must not be trusted.
    #[schema(min_items = 1, max_items = 20)]
    pub limits: Vec<String>,
    /// How good it is.
    pub metrics: CardMetrics,
    /// From this probability on a picture is said to show a wound.
    #[schema(minimum = 1, maximum = 1000)]
    pub wound_threshold_permille: u16,
    /// How exact its contour is.
    pub contour_error: ContourError,
    /// What it saw when it was judged.
    pub reference: ModelReference,
}

/// How good a model was on pictures that it did not learn from.
#[derive(ToSchema)]
pub struct CardMetrics {
    /// How many pictures.
    #[schema(minimum = 1)]
    pub n: u32,
    /// Dice over the pixels of all of them together.
    #[schema(maximum = 1000)]
    pub dice_pooled_permille: u16,
    /// The mean of each picture's Dice.
    #[schema(maximum = 1000)]
    pub dice_mean_permille: u16,
}

/// How far a model's contour is from the true one, in thousandths of a cell of its grid, as standard deviations.
#[derive(ToSchema)]
pub struct ContourError {
    /// Of the whole contour, outwards or inwards.
    #[schema(maximum = 10000)]
    pub offset_millicells: u16,
    /// Of one place of it beside the next.
    #[schema(maximum = 10000)]
    pub ragged_millicells: u16,
}

/// How many of the pictures that a model was judged by lie in each tenth of a feature's range, from 0 to 1.
#[derive(ToSchema)]
pub struct ModelReference {
    /// By the probability that they show a wound.
    #[schema(min_items = 10, max_items = 10)]
    pub wound_probability: Vec<u32>,
    /// By their mean brightness.
    #[schema(min_items = 10, max_items = 10)]
    pub picture_brightness: Vec<u32>,
}
