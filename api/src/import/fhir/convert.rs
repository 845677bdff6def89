//! From FHIR's strings to the domain's values, each refusal naming the path.

use std::fmt::Display;
use std::str::FromStr;

use domain::value::{Code, Coding, Line, PartialDate, SystemUri};
use jiff::Timestamp;

use super::super::plan::LineRefusal;
use super::resource::{CodeableConcept, Coding as FhirCoding};

/// A refusal of the value at `path`.
pub(super) fn invalid(path: &str, reason: impl Display) -> LineRefusal {
    LineRefusal::new("invalid-value", path, reason)
}

/// One line of text. Elements of white space say nothing and are left out.
pub(super) fn line<const MAX: usize>(
    text: Option<&str>,
    path: &str,
) -> Result<Option<Line<MAX>>, LineRefusal> {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    text.map(Line::new).transpose().map_err(|error| invalid(path, error))
}

/// Several lines of text.
pub(super) fn lines<const MAX: usize>(
    texts: &[String],
    path: &str,
) -> Result<Vec<Line<MAX>>, LineRefusal> {
    let lines = texts.iter().map(|text| line(Some(text), path));
    Ok(lines.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// A code of a closed list.
pub(super) fn code<T: FromStr<Err: Display>>(
    text: Option<&str>,
    path: &str,
) -> Result<Option<T>, LineRefusal> {
    text.map(str::parse).transpose().map_err(|error| invalid(path, error))
}

/// A partial date; of a date-time, the date.
pub(super) fn date(text: Option<&str>, path: &str) -> Result<Option<PartialDate>, LineRefusal> {
    let day = text.map(|text| text.split('T').next().unwrap_or(text));
    day.map(str::parse).transpose().map_err(|error| invalid(path, error))
}

/// An instant.
pub(super) fn instant(text: Option<&str>, path: &str) -> Result<Option<Timestamp>, LineRefusal> {
    let reason =
        "this is not an instant: give date, time and offset, as in 2024-05-01T09:30:00+00:00";
    text.map(str::parse).transpose().map_err(|_| invalid(path, reason))
}

/// A system's URI.
pub(super) fn system(text: &str, path: &str) -> Result<SystemUri, LineRefusal> {
    SystemUri::new(text).map_err(|error| invalid(path, error))
}

/// A code with its system and text.
pub(super) fn coding(coding: &FhirCoding, path: &str) -> Result<Option<Coding>, LineRefusal> {
    let Some(code) = coding.code.as_deref() else { return Ok(None) };
    Ok(Some(Coding {
        system: coding.system.as_deref().map(|uri| system(uri, path)).transpose()?,
        code: Code::new(code).map_err(|error| invalid(path, error))?,
        display: line(coding.display.as_deref(), path)?,
    }))
}

/// The first coding of the first concept that has one.
pub(super) fn first_coding(
    concepts: &[CodeableConcept],
    path: &str,
) -> Result<Option<Coding>, LineRefusal> {
    let found = concepts.iter().find_map(|concept| Some((concept, concept.coding.first()?)));
    let Some((concept, first)) = found else { return Ok(None) };
    let display = first.display.as_deref().or(concept.text.as_deref());
    let shown = FhirCoding {
        system: first.system.clone(),
        code: first.code.clone(),
        display: display.map(str::to_owned),
    };
    coding(&shown, path)
}
