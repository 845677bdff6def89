//! Names of people, and their administrative gender.

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::code::coded;
use super::quiet::validated;
use super::text::Line;

coded! {
    /// Administrative gender, as in FHIR.
    Gender {
        /// Female.
        Female = "female",
        /// Male.
        Male = "male",
        /// Neither.
        Other = "other",
        /// Not known.
        Unknown = "unknown",
    }
}

#[expect(clippy::derivable_impls, reason = "the enum is made by a macro for all lists of codes")]
impl Default for Gender {
    fn default() -> Self {
        Self::Unknown
    }
}

coded! {
    /// What a name is used for, as in FHIR.
    NameUse {
        /// The usual name.
        Usual = "usual",
        /// The name on documents.
        Official = "official",
        /// For a time.
        Temp = "temp",
        /// A nickname.
        Nickname = "nickname",
        /// A pseudonym.
        Anonymous = "anonymous",
        /// No longer in use.
        Old = "old",
        /// The name before marriage.
        Maiden = "maiden",
    }
}

/// Why a name was refused. It does not repeat the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Neither a family nor a given name.
    #[error("the name is empty: give a family name or a given name")]
    Empty,
    /// More parts than a name may have.
    #[error("the name has too many parts: at most {max} given names, prefixes and suffixes each")]
    TooManyParts {
        /// The limit for each kind of part.
        max: usize,
    },
}

/// A person's name, kept as it was given (in NFC).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "HumanNameParts", into = "HumanNameParts")]
pub struct HumanName(HumanNameParts);

/// The parts of a [`HumanName`].
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HumanNameParts {
    /// The family name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Line<100>>,
    /// The given names, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = HumanName::MAX_PARTS)))]
    pub given: Vec<Line<100>>,
    /// Titles and the like before the name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = HumanName::MAX_PARTS)))]
    pub prefix: Vec<Line<50>>,
    /// Degrees and the like after the name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = HumanName::MAX_PARTS)))]
    pub suffix: Vec<Line<50>>,
    /// What the name is used for.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub name_use: Option<NameUse>,
}

validated!(HumanName(HumanNameParts), NameError);

impl HumanName {
    /// The most given names, prefixes and suffixes each.
    pub const MAX_PARTS: usize = 10;

    fn check(parts: &HumanNameParts) -> Result<(), NameError> {
        if parts.family.is_none() && parts.given.is_empty() {
            return Err(NameError::Empty);
        }
        let most = parts.given.len().max(parts.prefix.len()).max(parts.suffix.len());
        if most > Self::MAX_PARTS {
            return Err(NameError::TooManyParts { max: Self::MAX_PARTS });
        }
        Ok(())
    }

    /// The whole name on one line: prefixes, given names, family name, suffixes.
    pub fn display(&self) -> String {
        let parts = self.prefix.iter().map(Line::as_str);
        let parts = parts.chain(self.given.iter().map(Line::as_str));
        let parts = parts.chain(self.family.iter().map(Line::as_str));
        let parts = parts.chain(self.suffix.iter().map(Line::as_str));
        parts.collect::<Vec<_>>().join(" ")
    }

    /// The name for matching: family and given names in lower case, without marks, punctuation or
    /// double spaces, so that two spellings of one name compare equal. Never shown to anybody.
    pub fn matching_key(&self) -> String {
        let names = self.family.iter().map(Line::as_str).chain(self.given.iter().map(Line::as_str));
        names.map(fold_for_matching).filter(|key| !key.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// Folds a text for matching, as [`HumanName::matching_key`] does each part. Searches fold the
/// question the same way.
fn fold_for_matching(text: &str) -> String {
    let folded: String = text
        .nfkd()
        .filter(|c| !is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .map(|c| if c.is_alphanumeric() { c } else { ' ' })
        .collect();
    // Apostrophes and hyphens join what people write apart or together at will.
    folded.split_whitespace().collect::<Vec<_>>().join(" ")
}
