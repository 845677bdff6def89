//! An error and its causes on one line, for logs.

use std::error::Error;

/// The message of an error and those of its causes, from the outermost inwards.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{says}")]
    struct Layer {
        says: &'static str,
        source: Option<Box<Layer>>,
    }

    fn layer(says: &'static str, source: Option<Layer>) -> Layer {
        Layer { says, source: source.map(Box::new) }
    }

    #[test]
    fn every_cause_follows_what_it_caused() {
        let root = || layer("the disk is full", None);
        assert_eq!(chain(&root()), "the disk is full");
        let whole = layer("not stored", Some(layer("the row was refused", Some(root()))));
        assert_eq!(chain(&whole), "not stored: the row was refused: the disk is full");
    }
}
