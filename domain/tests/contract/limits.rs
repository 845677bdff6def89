//! Value types at their limits: what is just accepted, and what is just refused.

use domain::PatientId;
use domain::value::{
    Address, AddressError, AddressParts, Code, ContactError, ContactParts, ContactPoint,
    ContactSystem, Digest, Gender, HumanName, HumanNameParts, Line, NameError, Note, PartialDate,
    PartialDateError, SystemUri, TextError,
};

use crate::support::{coding, name, uuid, val};

#[test]
fn the_length_of_a_text_is_checked_before_and_after_it_is_normalised() {
    let too_long = Err(TextError::TooLong { max: 10 });
    // Eight bytes for each character are read, blanks and all; what is longer is not looked at.
    assert_eq!(Line::<10>::new(&format!("{:80}", "x")).as_deref(), Ok("x"));
    assert_eq!(Line::<10>::new(&format!("{:81}", "x")), too_long);
    assert_eq!(Line::<10>::new(&" ".repeat(80)), Err(TextError::Empty));
    assert_eq!(Line::<10>::new("1234567890").as_deref(), Ok("1234567890"));
    assert_eq!(Line::<10>::new("12345678901"), too_long);
    // Ten characters once they are composed, of twenty code points.
    assert_eq!(Line::<10>::new(&"u\u{308}".repeat(10)).as_deref(), Ok("ü".repeat(10).as_str()));
    assert_eq!(Line::<10>::new(&"u\u{308}".repeat(11)), too_long);
    assert_eq!(Note::MAX, 2_000);
    assert!(Note::new(&"山".repeat(2_000)).is_ok() && Note::new(&"山".repeat(2_001)).is_err());
}

#[test]
fn a_text_has_no_control_characters_and_reads_as_it_is_stored() {
    for c in ['\u{202A}', '\u{202E}', '\u{2066}', '\u{2069}', '\u{2028}', '\r', '\u{7F}', '\u{85}']
    {
        assert_eq!(Line::<10>::new(&format!("a{c}b")), Err(TextError::Control), "{c:?}");
        assert_eq!(Note::new(&format!("a{c}b")), Err(TextError::Control), "{c:?}");
    }
    for c in ['\u{2029}', '\u{202F}', '\u{2065}', '\u{206A}', '\u{200D}', ' ', '\u{A0}'] {
        assert!(Line::<10>::new(&format!("a{c}b")).is_ok(), "{c:?}");
    }
    for c in ['\n', '\t'] {
        assert_eq!(Line::<10>::new(&format!("a{c}b")), Err(TextError::Control), "{c:?}");
        assert!(Note::new(&format!("a{c}b")).is_ok(), "{c:?}");
    }
}

#[test]
fn a_text_is_what_it_was_made_of_and_shows_nothing_for_debugging() {
    let (line, note) = (val::<Line<10>>("Zoë"), val::<Note>("Zoë"));
    assert_eq!((line.as_str(), &*line, line.to_string().as_str()), ("Zoë", "Zoë", "Zoë"));
    assert_eq!((note.as_str(), &*note, note.to_string().as_str()), ("Zoë", "Zoë", "Zoë"));
    assert_eq!((format!("{line:?}"), format!("{note:?}")), ("Line(…)".into(), "Note(…)".into()));
    assert_eq!(serde_json::to_string(&line).expect("serialisable"), "\"Zoë\"");
    assert_eq!(serde_json::from_str::<Note>("\" Zoë \"").ok(), Some(note));
}

#[test]
fn a_code_has_1_to_64_visible_characters() {
    let longest = "x".repeat(64);
    for code in ["!", "~", "a|b", longest.as_str()] {
        let kept = Code::new(code).expect(code);
        assert_eq!((kept.as_str(), kept.to_string().as_str()), (code, code));
    }
    for code in ["", " ", "a b", "\u{7F}", "é", &"x".repeat(65)] {
        assert!(Code::new(code).is_err(), "{code:?}");
    }
    assert_eq!(format!("{:?}", coding("urn:x", "44054006", "Diabetes")), "Coding(…)");
}

#[test]
fn a_system_is_a_scheme_a_colon_and_more() {
    let longest = format!("{:x<255}", "urn:");
    for uri in ["a:b", "z39.50+x-1:b", "urn:!#$%&'()*+,-./:;=?@[]_~", longest.as_str()] {
        let kept = SystemUri::new(uri).expect(uri);
        assert_eq!((kept.as_str(), kept.to_string().as_str()), (uri, uri));
    }
    let longer = format!("{:x<256}", "urn:");
    for uri in ["", "urn", ":b", "a:", "1a:b", "+a:b", "-a:b", ".a:b", "a_b:c", "a/b:c", &longer] {
        assert!(SystemUri::new(uri).is_err(), "{uri}");
    }
    for c in "| \"<>\\^`{}\u{7F}é\n".chars() {
        assert!(SystemUri::new(&format!("urn:a{c}b")).is_err(), "{c:?}");
    }
}

#[test]
fn any_part_makes_an_address_and_six_lines_are_the_most() {
    let of = |change: fn(&mut AddressParts)| {
        let mut parts = AddressParts::default();
        change(&mut parts);
        Address::try_from(parts).err()
    };
    for change in [
        |a: &mut AddressParts| a.lines = vec![val("1 Example Street")],
        |a: &mut AddressParts| a.lines = vec![val("1 Example Street"); Address::MAX_LINES],
        |a: &mut AddressParts| a.city = Some(val("Sampleton")),
        |a: &mut AddressParts| a.district = Some(val("Sample County")),
        |a: &mut AddressParts| a.state = Some(val("IL")),
        |a: &mut AddressParts| a.postal_code = Some(val("60601")),
        |a: &mut AddressParts| a.country = Some(val("US")),
    ] {
        assert_eq!(of(change), None);
    }
    assert_eq!(of(|_| ()), Some(AddressError::Empty));
    let seven = of(|a| a.lines = vec![val("1 Example Street"); 7]);
    assert_eq!(seven, Some(AddressError::TooManyLines { max: 6 }));
}

#[test]
fn a_number_has_three_digits_and_mail_a_name_and_a_host() {
    use ContactSystem::{Email, Fax, Other, Pager, Phone, Sms, Url};
    let of = |system, value: &str| {
        let parts = ContactParts { system, value: val(value), contact_use: None };
        ContactPoint::try_from(parts).err()
    };
    for system in [Phone, Fax, Pager, Sms] {
        assert_eq!(of(system, "112"), None, "{system}");
        assert_eq!(of(system, "call 1-1-2"), None, "{system}");
        assert_eq!(of(system, "11 ext"), Some(ContactError::Number), "{system}");
    }
    for system in [Url, Other] {
        assert_eq!(of(system, "x"), None, "{system}");
    }
    assert_eq!(of(Email, "a@b"), None);
    for mail in ["a", "@b", "a@", "@", "a@b@c", "a@@b", "a b@c", "a@b c"] {
        assert_eq!(of(Email, mail), Some(ContactError::Email), "{mail}");
    }
}

#[test]
fn a_name_has_a_family_or_a_given_name_and_ten_parts_of_each_kind() {
    let of = |change: fn(&mut HumanNameParts)| {
        let mut parts = HumanNameParts { given: vec![val("Ada")], ..HumanNameParts::default() };
        change(&mut parts);
        HumanName::try_from(parts).err()
    };
    let too_many = Some(NameError::TooManyParts { max: 10 });
    type Change = fn(&mut HumanNameParts);
    let table: [(Change, Option<NameError>); 10] = [
        (|_| (), None),
        (|n| n.given.clear(), Some(NameError::Empty)),
        (|n| (n.given, n.family) = (Vec::new(), Some(val("Sample"))), None),
        (|n| n.given = vec![val("Ada"); 10], None),
        (|n| n.given = vec![val("Ada"); 11], too_many),
        (|n| n.prefix = vec![val("Dr."); 10], None),
        (|n| n.prefix = vec![val("Dr."); 11], too_many),
        (|n| n.suffix = vec![val("PhD"); 10], None),
        (|n| n.suffix = vec![val("PhD"); 11], too_many),
        (|n| n.family = Some(val("Sample")), None),
    ];
    for (line, (change, expected)) in table.into_iter().enumerate() {
        assert_eq!(of(change), expected, "line {line}");
    }
    assert_eq!(format!("{:?}", name()), "HumanName(…)");
    assert_eq!(Gender::default(), Gender::Unknown);
}

#[test]
fn a_partial_date_lies_between_1850_and_2200() {
    for text in ["1850", "1850-01-01", "2200", "2200-12", "2200-12-31"] {
        assert!(text.parse::<PartialDate>().is_ok(), "{text}");
    }
    for text in ["1849", "1849-12-31", "2201", "2201-01-01", "0000", "9999"] {
        assert_eq!(text.parse::<PartialDate>(), Err(PartialDateError::YearOutOfRange), "{text}");
    }
    for text in ["194", "19480", "194a", "1948-", "1948-1", "1948-001", "1948-a1", "1948-01-1a"] {
        assert_eq!(text.parse::<PartialDate>(), Err(PartialDateError::Form), "{text}");
    }
    let parts = |text: &str| {
        let date = val::<PartialDate>(text);
        (date.year(), date.month(), date.day())
    };
    assert_eq!(parts("1948"), (1948, None, None));
    assert_eq!(parts("1948-05"), (1948, Some(5), None));
    assert_eq!(parts("1948-05-17"), (1948, Some(5), Some(17)));
    assert_eq!(format!("{:?}", val::<PartialDate>("1948-05-17")), "PartialDate(…)");
}

#[test]
fn a_digest_is_64_lower_hexadecimal_digits() {
    let digits = "00ff0123456789abcdef".to_owned() + &"a5".repeat(22);
    let digest = val::<Digest>(&digits);
    assert_eq!(digest.as_bytes()[..10], [0, 0xFF, 0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF]);
    assert_eq!(digest.as_bytes()[10..], [0xA5; 22]);
    assert_eq!(digest, Digest::from(*digest.as_bytes()));
    assert_eq!(
        (digest.to_string(), format!("{digest:?}")),
        (digits.clone(), format!("Digest({digits})"))
    );
    assert_eq!(serde_json::to_string(&digest).expect("serialisable"), format!("\"{digits}\""));
    let long = format!("{digits}0");
    let upper = digits.to_uppercase();
    for (at, c) in [(0, "/"), (0, ":"), (0, "`"), (0, "g"), (1, "g"), (63, "G")] {
        let mut text = digits.clone();
        text.replace_range(at..=at, c);
        assert!(text.parse::<Digest>().is_err(), "{text}");
    }
    for text in ["", &digits[1..], &digits[2..], &long, &upper] {
        assert!(text.parse::<Digest>().is_err(), "{text}");
    }
}

#[test]
fn an_id_is_a_uuid_and_stays_it() {
    let id = PatientId::from_uuid(uuid(7));
    assert_eq!(id.as_uuid(), uuid(7));
    assert_eq!((PatientId::from(uuid(7)), uuid::Uuid::from(id)), (id, uuid(7)));
    assert_eq!(val::<PatientId>(&id.to_string()), id);
    let json = serde_json::to_string(&id).expect("serialisable");
    assert_eq!(json, format!("\"{}\"", uuid(7)));
    assert_eq!(serde_json::from_str::<PatientId>(&json).ok(), Some(id));
    for text in ["", "7", &format!("{id}0")] {
        assert!(text.parse::<PatientId>().is_err(), "{text}");
    }
}
