//! Telling FHIR R4 from its predecessors, which say nowhere in a bundle which release they are.

use serde_json::Value;

/// Profiles of guides that were written for STU3 only.
const STU3_PROFILES: [&str; 1] = ["http://fhir.org/guides/argonaut-scheduling/"];

/// Where STU3 kept the HL7 v2 and v3 tables; R4 moved them to `http://terminology.hl7.org/CodeSystem/`.
const STU3_CODE_SYSTEMS: [&str; 2] = ["http://hl7.org/fhir/v2/", "http://hl7.org/fhir/v3/"];

/// Elements that STU3 had and R4 renamed or dropped, by resource type.
const STU3_ELEMENTS: [(&str, &[&str]); 4] = [
    ("Patient", &["animal"]),
    ("Encounter", &["incomingReferral", "reason"]),
    ("Appointment", &["indication", "incomingReferral"]),
    ("Condition", &["assertedDate", "context"]),
];

/// What gives a resource or bundle away as older than R4: the sign found, for the refusal to name.
pub(super) fn sign_of_older_release(value: &Value) -> Option<String> {
    match value {
        Value::Object(members) => {
            if let Some(release) = members.get("fhirVersion").and_then(Value::as_str)
                && !release.starts_with("4.0")
            {
                return Some(format!(
                    "fhirVersion is {}",
                    release.chars().take(12).collect::<String>()
                ));
            }
            let kind = members.get("resourceType").and_then(Value::as_str);
            let elements = STU3_ELEMENTS.iter().find(|(of, _)| Some(*of) == kind);
            if let Some((of, names)) = elements
                && let Some(name) = names.iter().find(|name| members.contains_key(**name))
            {
                return Some(format!("{of}.{name} is an element of STU3"));
            }
            members.iter().find_map(|(name, member)| match (name.as_str(), member) {
                // The narrative is prose and can quote anything.
                ("text", Value::Object(_)) if kind.is_some() => None,
                ("system", Value::String(uri)) => old_code_system(uri),
                ("profile", Value::Array(profiles)) => profiles.iter().find_map(old_profile),
                _ => sign_of_older_release(member),
            })
        }
        Value::Array(items) => items.iter().find_map(sign_of_older_release),
        _ => None,
    }
}

fn old_code_system(uri: &str) -> Option<String> {
    STU3_CODE_SYSTEMS
        .iter()
        .find(|prefix| uri.starts_with(**prefix))
        .map(|prefix| format!("a code system under {prefix} is STU3's"))
}

fn old_profile(profile: &Value) -> Option<String> {
    let uri = profile.as_str()?;
    STU3_PROFILES
        .iter()
        .find(|prefix| uri.starts_with(**prefix))
        .map(|prefix| format!("a profile under {prefix} is STU3's"))
}

#[cfg(test)]
mod tests {
    use super::sign_of_older_release;
    use serde_json::json;

    #[test]
    fn stu3_gives_itself_away_and_r4_does_not() {
        let cases = [
            (
                json!({"resourceType": "Bundle", "meta": {"profile": ["http://fhir.org/guides/argonaut-scheduling/StructureDefinition/avail-bundle"]}}),
                true,
            ),
            (
                json!({"resourceType": "Patient", "identifier": [{"type": {"coding": [{"system": "http://hl7.org/fhir/v2/0203", "code": "MR"}]}}]}),
                true,
            ),
            (json!({"resourceType": "Encounter", "reason": [{"text": "cough"}]}), true),
            (json!({"resourceType": "CapabilityStatement", "fhirVersion": "3.0.1"}), true),
            (json!({"resourceType": "Encounter", "reasonCode": [{"text": "cough"}]}), false),
            (
                json!({"resourceType": "Patient", "identifier": [{"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}}]}),
                false,
            ),
            (
                json!({"resourceType": "Patient", "text": {"div": "http://hl7.org/fhir/v2/0203", "system": "http://hl7.org/fhir/v2/0203"}}),
                false,
            ),
        ];
        for (resource, older) in cases {
            assert_eq!(sign_of_older_release(&resource).is_some(), older, "{resource}");
        }
    }
}
