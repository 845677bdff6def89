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
