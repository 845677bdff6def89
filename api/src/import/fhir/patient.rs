//! A FHIR patient as a registration.

use domain::PatientId;
use domain::patient::{PatientCommand, RegisterPatient};
use domain::value::{
    Address, AddressParts, Code, ContactParts, ContactPoint, Gender, HumanName, HumanNameParts,
    Identifier, IdentifierParts, Line, NameUse,
};

use super::super::ids::Ids;
use super::super::plan::{LineRefusal, Step};
use super::convert::{code, date, invalid, line, lines, system};
use super::resource::{self, Patient};

/// The patient's id and the command that registers it.
///
/// The id follows from the first identifier with a system, or else from the resource's id.
pub(super) fn register(
    patient: &Patient,
    path: &str,
    ids: &dyn Ids,
) -> Result<(PatientId, Step), LineRefusal> {
    let identifiers = each(&patient.identifier, path, "identifier", identifier)?;
    let source = identifiers.first().map(Identifier::claim_key).or_else(|| patient.id.clone());
    let source =
        source.ok_or_else(|| invalid(path, "has neither an identifier nor an id: give one"))?;
    let id = PatientId::from_uuid(ids.derive("patient", &source));

    let mut names = each(&patient.name, path, "name", name)?;
    let usual = names.iter().position(|name| name.name_use == Some(NameUse::Official)).unwrap_or(0);
    let name = (!names.is_empty()).then(|| names.remove(usual));
    let gender = code::<Gender>(patient.gender.as_deref(), &format!("{path}.gender"))?;
    let command = RegisterPatient {
        name,
        other_names: names,
        gender: gender.unwrap_or_default(),
        birth_date: date(patient.birth_date.as_deref(), &format!("{path}.birthDate"))?,
        deceased: date(patient.deceased_date_time.as_deref(), &format!("{path}.deceasedDateTime"))?,
        identifiers,
        contacts: each(&patient.telecom, path, "telecom", contact)?,
        addresses: each(&patient.address, path, "address", address)?,
    };
    Ok((id, Step::Patient(id, PatientCommand::Register(command))))
}

/// Converts each element, leaving out those that say nothing.
pub(super) fn each<F, T>(
    elements: &[F],
    path: &str,
    name: &str,
    convert: fn(&F, &str) -> Result<Option<T>, LineRefusal>,
) -> Result<Vec<T>, LineRefusal> {
    let converted = elements
        .iter()
        .enumerate()
        .map(|(index, element)| convert(element, &format!("{path}.{name}[{index}]")));
    Ok(converted.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

pub(super) fn identifier(
    from: &resource::Identifier,
    path: &str,
) -> Result<Option<Identifier>, LineRefusal> {
    let (Some(uri), Some(value)) = (from.system.as_deref(), from.value.as_deref()) else {
        return Ok(None);
    };
    let kind = from.kind.as_ref().and_then(|kind| kind.coding.first()?.code.as_deref());
    let parts = IdentifierParts {
        system: system(uri, &format!("{path}.system"))?,
        value: Line::new(value).map_err(|error| invalid(&format!("{path}.value"), error))?,
        identifier_use: code(from.usage.as_deref(), &format!("{path}.use"))?,
        kind: kind.map(Code::new).transpose().map_err(|error| invalid(path, error))?,
        issuer: None,
    };
    parts.try_into().map(Some).map_err(|error| invalid(path, error))
}

pub(super) fn name(
    from: &resource::HumanName,
    path: &str,
) -> Result<Option<HumanName>, LineRefusal> {
    let parts = HumanNameParts {
        family: line(from.family.as_deref(), &format!("{path}.family"))?,
        given: lines(&from.given, &format!("{path}.given"))?,
        prefix: lines(&from.prefix, &format!("{path}.prefix"))?,
        suffix: lines(&from.suffix, &format!("{path}.suffix"))?,
        name_use: code(from.usage.as_deref(), &format!("{path}.use"))?,
    };
    if parts.family.is_none() && parts.given.is_empty() {
        return Ok(None);
    }
    parts.try_into().map(Some).map_err(|error| invalid(path, error))
}

pub(super) fn contact(
    from: &resource::ContactPoint,
    path: &str,
) -> Result<Option<ContactPoint>, LineRefusal> {
    let value = line(from.value.as_deref(), &format!("{path}.value"))?;
    let system = code(from.system.as_deref(), &format!("{path}.system"))?;
    let (Some(value), Some(system)) = (value, system) else { return Ok(None) };
    let parts = ContactParts {
        system,
        value,
        contact_use: code(from.usage.as_deref(), &format!("{path}.use"))?,
    };
    parts.try_into().map(Some).map_err(|error| invalid(path, error))
}

pub(super) fn address(
    from: &resource::Address,
    path: &str,
) -> Result<Option<Address>, LineRefusal> {
    let parts = AddressParts {
        lines: lines(&from.line, &format!("{path}.line"))?,
        city: line(from.city.as_deref(), &format!("{path}.city"))?,
        district: line(from.district.as_deref(), &format!("{path}.district"))?,
        state: line(from.state.as_deref(), &format!("{path}.state"))?,
        postal_code: line(from.postal_code.as_deref(), &format!("{path}.postalCode"))?,
        country: line(from.country.as_deref(), &format!("{path}.country"))?,
        address_use: code(from.usage.as_deref(), &format!("{path}.use"))?,
    };
    let says_nothing =
        AddressParts { address_use: None, ..parts.clone() } == AddressParts::default();
    if says_nothing {
        return Ok(None);
    }
    parts.try_into().map(Some).map_err(|error| invalid(path, error))
}
