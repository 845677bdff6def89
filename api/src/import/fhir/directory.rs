//! FHIR practitioners and locations as entries of the directory.

use std::collections::HashMap;

use domain::location::{LocationKind, RegisterLocation};
use domain::practitioner::{Qualification, RegisterPractitioner};
use domain::value::{Identifier, Line, NameUse};
use domain::{LocationId, PractitionerId};

use super::super::ids::Ids;
use super::super::plan::{LineRefusal, Named};
use super::convert::{coding, date, line};
use super::patient::{address, contact, each, identifier, name};
use super::resource::{self, Location, Practitioner};

/// The extension by which FHIR gives a place its IANA time zone.
const TIME_ZONE: &str = "http://hl7.org/fhir/StructureDefinition/timezone";

/// The entry of a practitioner; none, if nothing tells who it is.
pub(super) fn practitioner(
    from: &Practitioner,
    id: PractitionerId,
    path: &str,
) -> Result<Option<Named>, LineRefusal> {
    let identifiers = each(&from.identifier, path, "identifier", identifier)?;
    let mut names = each(&from.name, path, "name", name)?;
    let usual = names.iter().position(|name| name.name_use == Some(NameUse::Official)).unwrap_or(0);
    let name = (!names.is_empty()).then(|| names.swap_remove(usual));
    if name.is_none() && identifiers.is_empty() {
        return Ok(None);
    }
    let qualifications = each(&from.qualification, path, "qualification", qualification)?;
    let contacts = each(&from.telecom, path, "telecom", contact)?;
    let register = RegisterPractitioner { name, identifiers, qualifications, contacts };
    Ok(Some(Named::Practitioner(id, register)))
}

/// The entry of a practitioner of whom nothing but an identifier is known, as `system|value`.
pub(super) fn identified(
    id: PractitionerId,
    (system, value): (&str, &str),
    path: &str,
) -> Result<Named, LineRefusal> {
    let from = resource::Identifier {
        usage: None,
        kind: None,
        system: Some(system.to_owned()),
        value: Some(value.to_owned()),
    };
    let identifiers: Vec<Identifier> = identifier(&from, path)?.into_iter().collect();
    let register = RegisterPractitioner { identifiers, ..RegisterPractitioner::default() };
    Ok(Named::Practitioner(id, register))
}

fn qualification(
    from: &resource::Qualification,
    path: &str,
) -> Result<Option<Qualification>, LineRefusal> {
    let at = |name: &str| format!("{path}.{name}");
    let code = from.code.as_ref().and_then(|code| code.coding.first());
    let code = code.map(|code| coding(code, &at("code.coding[0]"))).transpose()?.flatten();
    let text = from.code.as_ref().and_then(|code| code.text.as_deref());
    let text: Option<Line<200>> = line(text, &at("code.text"))?;
    if code.is_none() && text.is_none() {
        return Ok(None);
    }
    let issuer = from.issuer.as_ref().and_then(|issuer| issuer.display.as_deref());
    let period = from.period.as_ref();
    let start = period.and_then(|period| period.start.as_deref());
    let end = period.and_then(|period| period.end.as_deref());
    Ok(Some(Qualification {
        code,
        text,
        issuer: line(issuer, &at("issuer.display"))?,
        from: date(start, &at("period.start"))?,
        until: date(end, &at("period.end"))?,
    }))
}

/// A location of a bundle, with where it stands there.
pub(super) struct Place {
    pub(super) full_url: Option<String>,
    pub(super) path: String,
    pub(super) location: Location,
}

/// The entries of a bundle's locations, and how many of them have no entry: those of a kind that this directory does
/// not have, or of which nothing tells the name or the time zone.
pub(super) fn locations(places: &[Place], ids: &dyn Ids) -> Result<(Vec<Named>, u64), LineRefusal> {
    let mut known: HashMap<String, (LocationId, LocationKind)> = HashMap::new();
    let mut kept = Vec::new();
    for place in places {
        let Some((id, kind)) = identity(&place.location, ids) else { continue };
        let own = place.location.id.iter().map(|id| format!("Location/{id}"));
        known.extend(place.full_url.iter().cloned().chain(own).map(|name| (name, (id, kind))));
        kept.push((id, kind, place));
    }
    let mut entries = Vec::new();
    for (id, kind, Place { path, location, .. }) in kept {
        let at = |name: &str| format!("{path}.{name}");
        let site = location.part_of.as_ref().and_then(|part_of| part_of.reference.as_deref());
        let site =
            site.and_then(|site| known.get(site)).filter(|(_, kind)| *kind == LocationKind::Site);
        let parent_id = site.map(|(site, _)| *site).filter(|_| kind != LocationKind::Site);
        let zone = location.extension.iter().find(|extension| extension.url == TIME_ZONE);
        let zone = zone.and_then(|zone| zone.value_code.as_deref());
        let zone: Option<Line<64>> = line(zone, &at("extension"))?;
        let name: Option<Line<100>> = line(location.name.as_deref(), &at("name"))?;
        let (Some(name), true) = (name, zone.is_some() || parent_id.is_some()) else { continue };
        let address = location.address.as_ref().map(|from| address(from, &at("address")));
        let address = address.transpose()?.flatten();
        entries
            .push(Named::Location(id, RegisterLocation { kind, name, parent_id, address, zone }));
    }
    let left = places.len() - entries.len();
    Ok((entries, left as u64))
}

/// The id of a location, and its kind by FHIR's `Location.physicalType`.
fn identity(location: &Location, ids: &dyn Ids) -> Option<(LocationId, LocationKind)> {
    let codes = location.physical_type.iter().flat_map(|kind| &kind.coding);
    let kind = codes.filter_map(|coding| coding.code.as_deref()).find_map(|code| {
        LocationKind::ALL.iter().find(|kind| kind.physical_type() == code).copied()
    })?;
    let known = location.identifier.iter().find_map(|identifier| {
        Some(format!("{}|{}", identifier.system.as_deref()?, identifier.value.as_deref()?))
    });
    let source = known.or_else(|| location.id.clone())?;
    Some((LocationId::from_uuid(ids.derive("location", &source)), kind))
}
