//! JSON: what two readers could take differently.

use super::Cases;

const TEXTS: &[(&str, bool, &str)] = &[
    ("{}", true, "an object may be empty as far as JSON goes"),
    ("[]", true, "an array may be empty"),
    (
        " \t\r\n{ \"a\" : [ 1 , 2 ] } \n",
        true,
        "blanks may stand between tokens and around the value",
    ),
    (
        "\"\\u00e9\\ud83d\\ude00\\/\\b\\f\\n\\r\\t\\\\\\\"\"",
        true,
        "every escape of RFC 8259 is read",
    ),
    ("\"\u{e9}\u{1f600}\"", true, "characters need no escapes"),
    ("\"\\u0000\"", true, "an escaped control character is a character"),
    ("9007199254740991", true, "2^53 - 1 is the largest number"),
    ("0", true, "zero is a number"),
    ("[true,false,null]", true, "the three words"),
    ("", false, "there is no value"),
    ("  ", false, "there is no value"),
    ("\u{feff}{}", false, "a byte order mark is no blank"),
    ("\u{a0}{}", false, "a no-break space is no blank"),
    ("\u{b}{}", false, "a vertical tab is no blank"),
    ("{}{}", false, "there is more than one value"),
    ("{} ,", false, "something follows the value"),
    ("-0", false, "no number has a sign"),
    ("-1", false, "no number is negative"),
    ("+1", false, "no number has a sign"),
    ("1.0", false, "a fraction is another spelling"),
    ("1e0", false, "an exponent is another spelling"),
    ("1E2", false, "an exponent is another spelling"),
    ("01", false, "a leading zero is another spelling"),
    ("1.", false, "not a number of JSON"),
    (".5", false, "not a number of JSON"),
    ("0x10", false, "not a number of JSON"),
    ("9007199254740992", false, "beyond 2^53 - 1"),
    ("18446744073709551616", false, "beyond 64 bits"),
    ("NaN", false, "not a value of JSON"),
    ("Infinity", false, "not a value of JSON"),
    ("-Infinity", false, "not a value of JSON"),
    ("True", false, "words are in lower case"),
    ("nul", false, "a word is cut off"),
    ("nulll", false, "a word is too long"),
    ("'a'", false, "texts have double quotes"),
    ("\"a", false, "a text is cut off"),
    ("\"\u{1}\"", false, "a control character must be escaped"),
    ("\"\n\"", false, "a line feed must be escaped"),
    ("\"\\x41\"", false, "not an escape"),
    ("\"\\u12\"", false, "an escape is cut off"),
    ("\"\\u+123\"", false, "a sign is no hexadecimal digit"),
    ("\"\\ud800\"", false, "half of a surrogate pair"),
    ("\"\\udc00\"", false, "half of a surrogate pair"),
    ("\"\\ud800\\ud800\"", false, "two first halves"),
    ("\"\\ude00\\ud83d\"", false, "the halves are swapped"),
    ("\"\\ud800\\u0041\"", false, "a first half and a letter"),
    ("{\"\\ud800\":1}", false, "half of a surrogate pair in a name"),
    ("{\"a\":1,\"a\":1}", false, "a member is given twice"),
    ("{\"a\":1,\"\\u0061\":1}", false, "a member is given twice, in two spellings"),
    ("{\"a\":{\"b\":1,\"b\":2}}", false, "a member within is given twice"),
    ("{\"a\":1,}", false, "a comma too many"),
    ("[1,]", false, "a comma too many"),
    ("[,1]", false, "a comma too many"),
    ("{a:1}", false, "a name without quotes"),
    ("{\"a\" 1}", false, "a colon is missing"),
    ("{\"a\":}", false, "a value is missing"),
    ("{1:2}", false, "a name must be a text"),
    ("[1 2]", false, "a comma is missing"),
    ("[1", false, "an array is cut off"),
    ("{", false, "an object is cut off"),
    ("// a\n1", false, "JSON has no comments"),
];

pub(super) fn add(cases: &mut Cases) {
    for (text, valid, why) in TEXTS {
        let name: String = text.escape_default().take(40).collect();
        cases.text("json", &name, text, *valid, why);
    }
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    cases.text("json", "16 levels", &nested(16), true, "16 levels are the most");
    cases.text("json", "17 levels", &nested(17), false, "16 levels are the most");
    cases.text("json", "20,000 levels", &nested(20_000), false, "16 levels are the most");
    cases.text("json", "5,000 digits", &"1".repeat(5000), false, "beyond 2^53 - 1");
    let members = |count: usize| {
        let members: Vec<_> = (0..count).map(|at| format!("\"m{at}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    cases.text("json", "64 members", &members(64), true, "64 members are the most");
    cases.text("json", "65 members", &members(65), false, "64 members are the most");
    cases.bytes("json", "a stray byte", b"\"\xff\"", false, "not UTF-8");
    cases.bytes("json", "an overlong character", b"\"\xc0\xaf\"", false, "not UTF-8");
    cases.bytes("json", "a surrogate in UTF-8", b"\"\xed\xa0\x80\"", false, "not UTF-8");
    cases.bytes("json", "UTF-16", b"\xff\xfe{\0}\0", false, "not UTF-8");
}
