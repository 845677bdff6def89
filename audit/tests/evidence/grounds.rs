//! Why an action was allowed, in a statement of the second format: the rule, the policy, client and session.

use audit::statement::{FORMAT_V1, FORMAT_V2, Grounds, MAX_RULE, Statement};
use audit::verify::{Options, verify_log};

use crate::limits::accepted;
use crate::world::{GROUNDS_FROM, grounds, id, patient_event, trust, world};

#[test]
fn the_grounds_of_a_statement_are_accepted_up_to_each_limit() {
    let name = |length: usize| "x".repeat(length);
    let with = |change: &dyn Fn(&mut Grounds)| {
        accepted(|statement| {
            let mut grounds = grounds("role:clinician/edit-patient");
            change(&mut grounds);
            statement.grounds = Some(grounds);
        })
    };
    assert!(accepted(|statement| statement.grounds = None), "the first format has none");
    assert!(with(&|_| ()));
    for (because, valid) in [
        ("default", true),
        ("a", true),
        (name(MAX_RULE).as_str(), true),
        (name(MAX_RULE + 1).as_str(), false),
        ("", false),
        ("role clinician", false),
        ("Role", false),
        ("role_clinician", false),
        ("role`", false),
        ("role{", false),
        ("role;", false),
        ("role.", false),
        ("role,", false),
        ("az09:/-", true),
        ("\u{e9}", false),
    ] {
        assert_eq!(with(&|grounds| because.clone_into(&mut grounds.because)), valid, "{because}");
    }
    for (client, valid) in [
        (name(128).as_str(), true),
        (name(129).as_str(), false),
        ("https://app.example/launch", true),
        ("", false),
        ("a b", false),
        ("\u{e9}", false),
    ] {
        assert_eq!(with(&|grounds| grounds.client = Some(client.to_owned())), valid, "{client}");
    }
    assert!(with(&|grounds| grounds.session = Some(id(8, 1))));
    let both = |grounds: &mut Grounds| {
        (grounds.client, grounds.session) = (Some("console".to_owned()), Some(id(8, 1)));
    };
    assert!(with(&both));
}

#[test]
fn a_statement_has_the_format_that_it_says() {
    let (with, _) = patient_event(GROUNDS_FROM, 1, 1);
    let without = Statement { grounds: None, ..with.clone() };
    let text = |statement: &Statement| {
        String::from_utf8(statement.to_bytes().expect("valid")).expect("text")
    };
    assert_eq!((with.format(), without.format()), (FORMAT_V2, FORMAT_V1));
    for (statement, format) in [(&with, FORMAT_V2), (&without, FORMAT_V1)] {
        let text = text(statement);
        assert!(text.starts_with(&format!("{{\"format\":\"{format}\",\"origin\"")), "{text}");
        assert_eq!(&Statement::parse(text.as_bytes()).expect("it reads"), statement);
    }
    // They differ in the format and in what it adds, and in nothing else.
    let policy = grounds("").policy;
    let added = format!("\"because\":\"role:clinician/edit-patient\",\"policy\":\"{policy}\",");
    assert_eq!(text(&with).replace(&added, "").replace(FORMAT_V2, FORMAT_V1), text(&without));
    let client = Some("console".to_owned());
    let named = Grounds { client, session: Some(id(8, 1)), ..grounds("default") };
    let named = Statement { grounds: Some(named), ..with };
    let session = id(8, 1);
    let added = format!("\"client\":\"console\",\"session\":\"{session}\",\"purpose\"");
    assert!(text(&named).contains(&added), "{}", text(&named));
}

#[test]
fn a_log_with_statements_of_both_formats_holds() {
    let world = world(GROUNDS_FROM + 60);
    let of = |format: &str| world.statements.iter().filter(|one| one.format() == format).count();
    assert_eq!((of(FORMAT_V1), of(FORMAT_V2)), (GROUNDS_FROM as usize, 60));
    let report = verify_log(&world.entries, world.note(), trust(), Options::default());
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(report.events, GROUNDS_FROM + 60);
}
