//! Looking for what must be nowhere: in every form, in every row of every table.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::json;
use sqlx::Row as _;

use super::Instance;

/// What must be nowhere, in every form in which it might be.
pub(crate) fn needles(secrets: &[String]) -> Vec<(String, Vec<u8>)> {
    let mut needles = Vec::new();
    for secret in secrets {
        let mut forms: Vec<Vec<u8>> = vec![secret.clone().into_bytes()];
        for folded in [secret.to_lowercase(), secret.to_uppercase()] {
            forms.push(folded.into_bytes());
        }
        let escaped = serde_json::to_string(&json!(secret)).expect("JSON");
        forms.push(escaped.trim_matches('"').into());
        // JSON may write what is not ASCII as escapes.
        let ascii: String = secret
            .encode_utf16()
            .map(|unit| match char::from_u32(u32::from(unit)).filter(char::is_ascii) {
                Some(ascii) => ascii.to_string(),
                None => format!("\\u{unit:04x}"),
            })
            .collect();
        forms.push(ascii.into_bytes());
        forms.push(hex::encode(secret).into_bytes());
        forms.push(hex::encode_upper(secret).into_bytes());
        // Base64 depends on what stands before: of each of the three shifts, what follows from the secret alone.
        for shift in 0..3 {
            let shifted = [vec![0; shift], secret.clone().into_bytes()].concat();
            let whole = shifted.len() / 3 * 4;
            let from = [0, 2, 3][shift];
            for encoded in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
                forms.push(encoded.as_bytes()[from..whole].to_vec());
            }
        }
        forms.sort();
        forms.dedup();
        needles.extend(forms.into_iter().map(|form| (secret.clone(), form)));
    }
    needles
}

/// What is found of the needles: whose, and in which form.
pub(crate) fn found(haystack: &[u8], needles: &[(String, Vec<u8>)]) -> Option<String> {
    // One pass, by the first byte: the haystack is megabytes.
    let mut by_first: Vec<Vec<&(String, Vec<u8>)>> = vec![Vec::new(); 256];
    for needle in needles {
        by_first[usize::from(needle.1[0])].push(needle);
    }
    haystack.iter().enumerate().find_map(|(at, byte)| {
        let mut candidates = by_first[usize::from(*byte)].iter();
        let (secret, form) = candidates.find(|(_, form)| haystack[at..].starts_with(form))?;
        Some(format!("{secret} as {}", String::from_utf8_lossy(form)))
    })
}

pub(crate) fn search(what: &str, haystack: &[u8], needles: &[(String, Vec<u8>)]) {
    assert_eq!(found(haystack, needles), None, "{what} holds a patient");
}

/// Every row of every table of every schema of ours, as text, and what is bytes as bytes.
pub(crate) async fn dump(instance: &Instance) -> Vec<(String, Vec<u8>)> {
    let columns = sqlx::query(
        "SELECT table_schema::text, table_name::text, column_name::text, data_type::text
           FROM information_schema.columns
          WHERE table_schema NOT IN ('pg_catalog', 'information_schema')",
    );
    let columns = columns.fetch_all(&instance.pool).await.expect("the columns");
    let mut dump = Vec::new();
    for column in columns {
        let [schema, table, name, kind] = [0_usize, 1, 2, 3].map(|at| column.get::<String, _>(at));
        let as_bytes = match kind.as_str() {
            "bytea" => format!("\"{name}\""),
            _ => format!("convert_to(\"{name}\"::text, 'UTF8')"),
        };
        let sql = format!("SELECT coalesce({as_bytes}, ''::bytea) FROM \"{schema}\".\"{table}\"");
        let values: Vec<Vec<u8>> =
            sqlx::query_scalar(&sql).fetch_all(&instance.pool).await.expect("a column");
        dump.push((format!("{schema}.{table}.{name}"), values.join(&b'\n')));
    }
    dump
}

#[test]
fn the_search_finds_what_it_looks_for() {
    let secret = "Öztürkoğlu".to_owned();
    let needles = needles(std::slice::from_ref(&secret));
    let json = serde_json::to_string(&secret).expect("JSON");
    let mut hidden =
        vec![json, hex::encode(&secret), "\"\\u00d6zt\\u00fcrko\\u011flu\"".to_owned()];
    for before in ["", "x", "xy", "xyz"] {
        hidden.push(STANDARD_NO_PAD.encode(format!("{before}{secret} and more")));
        hidden.push(URL_SAFE_NO_PAD.encode(format!("{before}{secret}")));
    }
    for text in hidden {
        assert!(found(text.as_bytes(), &needles).is_some(), "{text}");
    }
    assert_eq!(found(b"nothing of the kind", &needles), None);
}
