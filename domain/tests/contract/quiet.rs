//! What is said of JSON that does not fit: line, column, field names and reason, and nothing of the input.

use domain::appointment::CheckIn;
use domain::patient::RegisterPatient;
use domain::value::{HumanName, RequestedTime, describe};
use domain::{AccountCommand, PatientCommand};
use serde::Deserialize;
use serde::de::DeserializeOwned;

fn said<T: DeserializeOwned>(json: &str) -> String {
    let error = serde_json::from_str::<T>(json).err();
    describe(&error.unwrap_or_else(|| panic!("{json}: must be refused")))
}

#[test]
fn what_serde_quotes_is_left_out_and_the_rest_is_kept() {
    /// An enum that no value fits.
    #[derive(Debug, Deserialize)]
    enum Nothing {}

    let commands = "expected one of `register`, `grant-role`, `revoke-role`, `disable`";
    let table = [
        (
            said::<AccountCommand>("{\"secret\": {}}"),
            format!("unknown value, {commands} at line 1 column 9"),
        ),
        (
            said::<AccountCommand>("{\"secret`, expected `x\": {}}"),
            format!("unknown value, {commands} at line 1 column 23"),
        ),
        (
            said::<Nothing>("\"secret\""),
            "unknown value, there are no variants at line 1 column 8".to_owned(),
        ),
        (
            said::<CheckIn>("{\"secret\": 1}"),
            "unknown field, there are no fields at line 1 column 9".to_owned(),
        ),
        (
            said::<RequestedTime>("{\n \"secret\": 1}"),
            "unknown field, expected one of `start`, `zone`, `duration_minutes`, `fold` at line 2 column 9"
                .to_owned(),
        ),
        (
            said::<HumanName>("\"secret\""),
            "invalid type: string, expected struct HumanNameParts at line 1 column 8".to_owned(),
        ),
        (
            said::<HumanName>("4711"),
            "invalid type: integer, expected struct HumanNameParts at line 1 column 4".to_owned(),
        ),
        (
            said::<HumanName>("4711.5"),
            "invalid type: number, expected struct HumanNameParts at line 1 column 6".to_owned(),
        ),
        (
            said::<HumanName>("true"),
            "invalid type: boolean, expected struct HumanNameParts at line 1 column 4".to_owned(),
        ),
        (
            said::<u32>("-4711"),
            "invalid value: integer, expected u32 at line 1 column 5".to_owned(),
        ),
        (
            said::<char>("\"secret\""),
            "invalid value: string, expected a character at line 1 column 8".to_owned(),
        ),
        (
            said::<HumanName>("null"),
            "invalid type: null, expected struct HumanNameParts at line 1 column 4".to_owned(),
        ),
        (said::<HumanName>("{"), "EOF while parsing an object at line 1 column 1".to_owned()),
    ];
    for (said, expected) in table {
        assert_eq!(said, expected);
    }
}

#[test]
fn a_field_that_is_no_string_is_told_by_its_type() {
    let family = |json: &str| said::<HumanName>(&format!("{{\"family\": {json}}}"));
    let table = [
        ("true", "invalid type: boolean, expected a string"),
        ("4711", "invalid type: integer, expected a string"),
        ("-4711", "invalid type: integer, expected a string"),
        ("4711.5", "invalid type: number, expected a string"),
        ("[\"secret\"]", "invalid type: sequence, expected a string"),
        ("{\"secret\": 1}", "invalid type: map, expected a string"),
    ];
    for (json, expected) in table {
        assert!(family(json).starts_with(expected), "{json}: {}", family(json));
    }
}

/// A command is written as it is read: what a client sends again after a crash is the same command.
#[test]
fn commands_are_written_as_they_are_read() {
    let input = "{\"register\":{\"name\":{\"family\":\"Sample\"},\"birth_date\":\"1948-05\",\"gender\":\"female\"}}";
    let command: PatientCommand = serde_json::from_str(input).expect("a command");
    let again = serde_json::to_string(&command).expect("serialisable");
    assert!(serde_json::from_str::<PatientCommand>(&again).expect("a command") == command);
    let PatientCommand::Register(RegisterPatient { birth_date, .. }) = command else {
        panic!("it registers");
    };
    assert_eq!(birth_date.map(|date| date.to_string()), Some("1948-05".to_owned()));
}
