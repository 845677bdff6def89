//! Import of FHIR R4 bundles, one a line (NDJSON) or one a file: patients, and their encounters as
//! historical visits, which claim no one's time; practitioners and locations as entries of the directory.
//!
//! A bundle is planned whole before any of it is executed: a reference that resolves to nothing, a
//! resource of an older release or an impossible date refuses the bundle. What the ledger does not
//! record (observations, claims, …) is counted and passed over.

mod convert;
mod directory;
mod patient;
mod resource;
mod version;
mod visit;

use std::collections::{BTreeMap, HashMap};
use std::io::BufRead;

use domain::{PatientId, PractitionerId};
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::directory::Place;
use self::resource::{Bundle, Encounter, Entry, Patient, Practitioner};
use super::ids::Ids;
use super::plan::{LineRefusal, Named, Plan};

/// The longest line read: one bundle of one patient's whole record.
const MAX_LINE_BYTES: usize = 256 << 20;

/// The bundle types whose entries stand by themselves.
const BUNDLE_TYPES: [&str; 4] = ["transaction", "batch", "collection", "searchset"];

/// What a file asks for.
#[derive(Default)]
pub struct Planned {
    /// One plan for each line that can be executed.
    pub plans: Vec<Plan>,
    /// The lines that cannot, and why.
    pub refused: Vec<(u64, LineRefusal)>,
    /// Resources that the ledger does not record, by type.
    pub passed_over: BTreeMap<String, u64>,
}

/// Reads a file of bundles or resources and plans each line.
pub fn plan(reader: &mut dyn BufRead, ids: &dyn Ids) -> std::io::Result<Planned> {
    let mut planned = Planned::default();
    let mut number = 0;
    let mut text = Vec::new();
    while read_line(reader, &mut text)? {
        number += 1;
        if text.trim_ascii().is_empty() {
            continue;
        }
        // A pretty-printed document is one value over many lines: read it whole.
        if number == 1 && serde_json::from_slice::<Value>(&text).is_err_and(|e| e.is_eof()) {
            read_rest(reader, &mut text)?;
        }
        match plan_line(&text, number, ids, &mut planned.passed_over) {
            Ok(plan) => planned.plans.push(plan),
            Err(refusal) => planned.refused.push((number, refusal)),
        }
    }
    Ok(planned)
}

fn read_line(reader: &mut dyn BufRead, text: &mut Vec<u8>) -> std::io::Result<bool> {
    text.clear();
    let limit = MAX_LINE_BYTES as u64 + 1;
    std::io::Read::take(&mut *reader, limit).read_until(b'\n', text)?;
    too_long_is_an_error(text)?;
    Ok(!text.is_empty())
}

fn read_rest(reader: &mut dyn BufRead, text: &mut Vec<u8>) -> std::io::Result<()> {
    let room = (MAX_LINE_BYTES + 1).saturating_sub(text.len()) as u64;
    std::io::Read::read_to_end(&mut std::io::Read::take(&mut *reader, room), text)?;
    too_long_is_an_error(text)
}

fn too_long_is_an_error(text: &[u8]) -> std::io::Result<()> {
    if text.len() > MAX_LINE_BYTES {
        let reason = format!("a line is longer than {MAX_LINE_BYTES} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, reason));
    }
    Ok(())
}

fn plan_line(
    text: &[u8],
    line: u64,
    ids: &dyn Ids,
    passed_over: &mut BTreeMap<String, u64>,
) -> Result<Plan, LineRefusal> {
    let value: Value = serde_json::from_slice(text).map_err(|error| {
        LineRefusal::new("malformed-json", format!("column {}", error.column()), "this is not JSON")
    })?;
    if let Some(sign) = version::sign_of_older_release(&value) {
        let reason = format!("this is not FHIR R4 ({sign}): convert it to R4 (4.0.1) first");
        return Err(LineRefusal::new("fhir-release", "Bundle", reason));
    }
    let bundle = match resource_type(&value)? {
        "Bundle" => parse::<Bundle>(value, "Bundle")?,
        _ => Bundle {
            kind: "collection".to_owned(),
            entry: vec![Entry { full_url: None, resource: Some(value) }],
        },
    };
    if !BUNDLE_TYPES.contains(&bundle.kind.as_str()) {
        let reason = format!("the type of bundle is not one of {}", BUNDLE_TYPES.join(", "));
        return Err(LineRefusal::new("bundle-type", "Bundle.type", reason));
    }
    plan_bundle(bundle, line, ids, passed_over)
}

fn plan_bundle(
    bundle: Bundle,
    line: u64,
    ids: &dyn Ids,
    passed_over: &mut BTreeMap<String, u64>,
) -> Result<Plan, LineRefusal> {
    let (patients, practitioners) = (HashMap::new(), HashMap::new());
    let mut parties = Parties { ids, patients, practitioners, named: Vec::new() };
    let mut steps = Vec::new();
    let mut encounters = Vec::new();
    let mut places = Vec::new();
    let mut left: BTreeMap<String, u64> = BTreeMap::new();
    let mut lane = None;
    for (index, entry) in bundle.entry.into_iter().enumerate() {
        let path = format!("Bundle.entry[{index}].resource");
        let Some(value) = entry.resource else { continue };
        match resource_type(&value)? {
            "Patient" => {
                let patient: Patient = parse(value, &path)?;
                let (id, step) = patient::register(&patient, &path, ids)?;
                parties.name_patient(entry.full_url, patient.id.as_deref(), id);
                lane.get_or_insert(id);
                steps.push(step);
            }
            "Encounter" => encounters.push((path.clone(), parse::<Encounter>(value, &path)?)),
            "Practitioner" => {
                let practitioner: Practitioner = parse(value, &path)?;
                if !parties.name_practitioner(entry.full_url, &practitioner, &path)? {
                    *left.entry("Practitioner".to_owned()).or_default() += 1;
                }
            }
            "Location" => {
                let location = parse(value, &path)?;
                places.push(Place { full_url: entry.full_url, path, location });
            }
            other => *left.entry(other.to_owned()).or_default() += 1,
        }
    }
    for (path, encounter) in &encounters {
        steps.push(visit::record(encounter, path, &mut parties)?);
    }
    let (locations, unknown) = directory::locations(&places, ids)?;
    if unknown > 0 {
        left.insert("Location".to_owned(), unknown);
    }
    let named = parties.named.into_iter().chain(locations).collect();
    for (kind, count) in left {
        *passed_over.entry(kind).or_default() += count;
    }
    // Lines about different patients run side by side.
    let lane = lane.map_or_else(|| format!("line {line}"), |patient| patient.to_string());
    Ok(Plan { line, lane, named, steps })
}

/// Whom the references of a bundle mean.
struct Parties<'a> {
    ids: &'a dyn Ids,
    patients: HashMap<String, PatientId>,
    practitioners: HashMap<String, PractitionerId>,
    /// The practitioners, as the directory takes them.
    named: Vec<Named>,
}

impl Parties<'_> {
    fn name_patient(&mut self, full_url: Option<String>, id: Option<&str>, patient: PatientId) {
        let names = full_url.into_iter().chain(id.map(|id| format!("Patient/{id}")));
        self.patients.extend(names.map(|name| (name, patient)));
    }

    /// Answers whether the directory takes the practitioner: nothing may tell who it is.
    fn name_practitioner(
        &mut self,
        full_url: Option<String>,
        practitioner: &Practitioner,
        path: &str,
    ) -> Result<bool, LineRefusal> {
        let known = practitioner.identifier.iter().find_map(|identifier| {
            Some(format!("{}|{}", identifier.system.as_deref()?, identifier.value.as_deref()?))
        });
        let id = practitioner.id.as_deref();
        let Some(source) = known.or_else(|| id.map(str::to_owned)) else { return Ok(false) };
        let names = full_url.into_iter().chain(id.map(|id| format!("Practitioner/{id}")));
        let id = self.practitioner_id(&source);
        self.practitioners.extend(names.map(|name| (name, id)));
        let named = directory::practitioner(practitioner, id, path)?;
        let is_taken = named.is_some();
        self.named.extend(named);
        Ok(is_taken)
    }

    fn practitioner_id(&self, source: &str) -> PractitionerId {
        PractitionerId::from_uuid(self.ids.derive("practitioner", source))
    }

    fn patient(&self, reference: &str, path: &str) -> Result<PatientId, LineRefusal> {
        self.patients.get(reference).copied().ok_or_else(|| unresolved(path, "Patient"))
    }

    /// A practitioner named in the bundle, or by identifier (`Practitioner?identifier=system|value`),
    /// which is who it is even when the resource is not in the bundle.
    fn practitioner(&mut self, reference: &str, path: &str) -> Result<PractitionerId, LineRefusal> {
        if let Some(identifier) = reference.strip_prefix("Practitioner?identifier=")
            && let Some((system, value)) = identifier.split_once('|')
            && !system.is_empty()
            && !value.is_empty()
        {
            let id = self.practitioner_id(identifier);
            self.named.push(directory::identified(id, (system, value), path)?);
            return Ok(id);
        }
        self.practitioners.get(reference).copied().ok_or_else(|| unresolved(path, "Practitioner"))
    }
}

fn unresolved(path: &str, what: &str) -> LineRefusal {
    let reason =
        format!("refers to a {what} that is not in the bundle: add it, or refer by identifier");
    LineRefusal::new("unresolved-reference", path, reason)
}

fn resource_type(value: &Value) -> Result<&str, LineRefusal> {
    value.get("resourceType").and_then(Value::as_str).ok_or_else(|| {
        LineRefusal::new(
            "not-fhir",
            "resourceType",
            "is missing: give one FHIR R4 resource or bundle a line",
        )
    })
}

fn parse<T: DeserializeOwned>(value: Value, path: &str) -> Result<T, LineRefusal> {
    serde_json::from_value(value).map_err(|error| {
        LineRefusal::new("malformed-resource", path, domain::value::describe(&error))
    })
}

#[cfg(test)]
mod tests;
