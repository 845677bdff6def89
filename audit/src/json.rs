//! The one JSON reader for everything that is signed or exported: RFC 8259, less what two readers could take
//! differently.
//!
//! Refused are a byte order mark, an object that gives a member twice or has more than [`MAX_MEMBERS`], a lone
//! surrogate, more than [`MAX_DEPTH`] levels, and every number that is not a plain decimal from 0 to 2^53 - 1.
//! Readers of values ask for exactly the members a format has, so that an array never stands in for an object and
//! a nullable member is never merely left out.

use std::borrow::Cow;

use uuid::Uuid;

use crate::encoding;
use crate::merkle::MAX_SIZE;

/// The most levels of arrays and objects.
pub const MAX_DEPTH: usize = 16;

/// The most members of one object.
pub const MAX_MEMBERS: usize = 64;

/// What can be wrong with a JSON text, or with the value in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON as this format takes it.
    #[error("at byte {at}: {problem}")]
    Syntax {
        /// Where.
        at: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// A value of another kind than the format has there.
    #[error("{what} must be {expected}")]
    Shape {
        /// Which value.
        what: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

/// A JSON value. Texts without escapes are borrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number from 0 to 2^53 - 1.
    Number(u64),
    /// A text.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Value<'a>>),
    /// An object, in the order of the text; each name once.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

/// Reads one JSON text: one value, with blanks around it at most.
pub fn parse(bytes: &[u8]) -> Result<Value<'_>, JsonError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| JsonError::Syntax { at: error.valid_up_to(), problem: "not UTF-8" })?;
    let mut reader = Reader { text, at: 0 };
    reader.blanks();
    let value = reader.value(0)?;
    reader.blanks();
    if reader.at == text.len() { Ok(value) } else { Err(reader.wrong("more than one value")) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self, problem: &'static str) -> JsonError {
        JsonError::Syntax { at: self.at, problem }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, JsonError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.wrong("not a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        match self.peek() {
            Some(b'{' | b'[') if depth >= MAX_DEPTH => Err(self.wrong("nested too deeply")),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.list(depth + 1),
            Some(b'"') => self.string().map(Value::Text),
            Some(b'0'..=b'9') => self.number().map(Value::Number),
            Some(b'-') => Err(self.wrong("a negative number")),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(self.wrong("not a value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        let mut members: Vec<(Cow<'a, str>, Value<'a>)> = Vec::new();
        self.at += 1;
        self.blanks();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.wrong("a member without a name"));
            }
            let name = self.string()?;
            if members.iter().any(|(earlier, _)| *earlier == name) {
                return Err(self.wrong("a member given twice"));
            }
            if members.len() >= MAX_MEMBERS {
                return Err(self.wrong("too many members"));
            }
            self.blanks();
            if !self.take(b':') {
                return Err(self.wrong("a member without a value"));
            }
            self.blanks();
            members.push((name, self.value(depth)?));
            self.blanks();
            if self.take(b'}') {
                return Ok(Value::Object(members));
            }
            if !self.take(b',') {
                return Err(self.wrong("neither a comma nor the end of an object"));
            }
            self.blanks();
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        let mut values = Vec::new();
        self.at += 1;
        self.blanks();
        if self.take(b']') {
            return Ok(Value::List(values));
        }
        loop {
            values.push(self.value(depth)?);
            self.blanks();
            if self.take(b']') {
                return Ok(Value::List(values));
            }
            if !self.take(b',') {
                return Err(self.wrong("neither a comma nor the end of an array"));
            }
            self.blanks();
        }
    }

    fn number(&mut self) -> Result<u64, JsonError> {
        let rest = &self.text[self.at..];
        let end = rest.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
        if matches!(rest.as_bytes().get(end), Some(b'.' | b'e' | b'E')) {
            return Err(self.wrong("a number with a fraction or an exponent"));
        }
        let number = encoding::decimal(&rest[..end])
            .filter(|number| *number <= MAX_SIZE)
            .ok_or_else(|| self.wrong("not a plain decimal number up to 2^53 - 1"))?;
        self.at += end;
        Ok(number)
    }

    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.at += 1;
        let mut read = Cow::Borrowed("");
        loop {
            let rest = &self.text[self.at..];
            let Some(end) = rest.bytes().position(|b| b == b'"' || b == b'\\' || b < 0x20) else {
                return Err(self.wrong("a text without an end"));
            };
            match &mut read {
                Cow::Borrowed("") => read = Cow::Borrowed(&rest[..end]),
                read => read.to_mut().push_str(&rest[..end]),
            }
            self.at += end;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(read);
                }
                Some(b'\\') => read.to_mut().push(self.escape()?),
                _ => return Err(self.wrong("a control character in a text")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        self.at += 1;
        let plain = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.code_point(),
            _ => return Err(self.wrong("not an escape")),
        };
        self.at += 1;
        Ok(plain)
    }

    fn code_point(&mut self) -> Result<char, JsonError> {
        let first = self.code_unit()?;
        if !(0xD800..0xE000).contains(&first) {
            return char::from_u32(first).ok_or_else(|| self.wrong("not a character"));
        }
        let low = if first < 0xDC00 && self.text[self.at..].starts_with("\\u") {
            self.at += 1;
            self.code_unit()?
        } else {
            0
        };
        if !(0xDC00..0xE000).contains(&low) {
            return Err(self.wrong("half of a surrogate pair"));
        }
        char::from_u32(0x10000 + ((first - 0xD800) << 10) + (low - 0xDC00))
            .ok_or_else(|| self.wrong("not a character"))
    }

    /// `uXXXX`.
    fn code_unit(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.as_bytes().get(self.at + 1..self.at + 5);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let unit = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.wrong("not four hexadecimal digits"))?;
        self.at += 5;
        Ok(unit)
    }
}

/// A member of an object, before its other members are looked at.
pub(crate) fn member<'v, 'a>(value: &'v Value<'a>, name: &str) -> Option<&'v Value<'a>> {
    let Value::Object(members) = value else { return None };
    members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// The members of an object that has exactly those a format names.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    names: &'static [&'static str],
    values: Vec<Option<Value<'a>>>,
}

impl<'a> Members<'a> {
    /// The object must have all of `names` and no other.
    pub(crate) fn exactly(
        value: Value<'a>,
        what: &'static str,
        names: &'static [&'static str],
    ) -> Result<Self, JsonError> {
        Self::with_optional(value, what, names, &[])
    }

    /// Those members of `names` that are `optional` may be absent.
    pub(crate) fn with_optional(
        value: Value<'a>,
        what: &'static str,
        names: &'static [&'static str],
        optional: &[&str],
    ) -> Result<Self, JsonError> {
        let Value::Object(members) = value else { return Err(shape(what, "an object")) };
        let mut values: Vec<Option<Value<'a>>> = names.iter().map(|_| None).collect();
        for (name, value) in members {
            let at = names.iter().position(|known| *known == name);
            let at = at.ok_or(shape(what, "an object without other members"))?;
            values[at] = Some(value);
        }
        let mut absent = names.iter().zip(&values).filter(|(_, value)| value.is_none());
        let absent = absent.find(|(name, _)| !optional.contains(*name));
        match absent {
            Some((name, _)) => Err(shape(name, "given")),
            None => Ok(Self { names, values }),
        }
    }

    /// The value of a member; `None` where an optional one is absent or it was taken before.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<Value<'a>> {
        let at = self.names.iter().position(|known| *known == name)?;
        self.values[at].take()
    }

    fn required(&mut self, name: &'static str) -> Result<Value<'a>, JsonError> {
        self.take(name).ok_or(shape(name, "given"))
    }

    pub(crate) fn value(&mut self, name: &'static str) -> Result<Value<'a>, JsonError> {
        self.required(name)
    }

    pub(crate) fn text(&mut self, name: &'static str) -> Result<String, JsonError> {
        text(self.required(name)?, name)
    }

    pub(crate) fn text_or_null(&mut self, name: &'static str) -> Result<Option<String>, JsonError> {
        match self.required(name)? {
            Value::Null => Ok(None),
            value => text(value, name).map(Some),
        }
    }

    /// An optional member, which is a text where it is given.
    pub(crate) fn text_if_given(
        &mut self,
        name: &'static str,
    ) -> Result<Option<String>, JsonError> {
        self.take(name).map(|value| text(value, name)).transpose()
    }

    /// An optional member, which is a UUID where it is given.
    pub(crate) fn uuid_if_given(&mut self, name: &'static str) -> Result<Option<Uuid>, JsonError> {
        self.take(name).map(|value| uuid(value, name)).transpose()
    }

    pub(crate) fn number(&mut self, name: &'static str) -> Result<u64, JsonError> {
        number(self.required(name)?, name)
    }

    pub(crate) fn number_or_null(&mut self, name: &'static str) -> Result<Option<u64>, JsonError> {
        match self.required(name)? {
            Value::Null => Ok(None),
            value => number(value, name).map(Some),
        }
    }

    pub(crate) fn bool(&mut self, name: &'static str) -> Result<bool, JsonError> {
        match self.required(name)? {
            Value::Bool(value) => Ok(value),
            _ => Err(shape(name, "true or false")),
        }
    }

    pub(crate) fn uuid(&mut self, name: &'static str) -> Result<Uuid, JsonError> {
        uuid(self.required(name)?, name)
    }

    pub(crate) fn uuid_or_null(&mut self, name: &'static str) -> Result<Option<Uuid>, JsonError> {
        match self.required(name)? {
            Value::Null => Ok(None),
            value => uuid(value, name).map(Some),
        }
    }

    pub(crate) fn digest(&mut self, name: &'static str) -> Result<[u8; 32], JsonError> {
        digest(self.required(name)?, name)
    }

    pub(crate) fn digest_or_null(
        &mut self,
        name: &'static str,
    ) -> Result<Option<[u8; 32]>, JsonError> {
        match self.required(name)? {
            Value::Null => Ok(None),
            value => digest(value, name).map(Some),
        }
    }

    pub(crate) fn list(&mut self, name: &'static str) -> Result<Vec<Value<'a>>, JsonError> {
        match self.required(name)? {
            Value::List(values) => Ok(values),
            _ => Err(shape(name, "an array")),
        }
    }
}

pub(crate) const fn shape(what: &'static str, expected: &'static str) -> JsonError {
    JsonError::Shape { what, expected }
}

pub(crate) fn text(value: Value<'_>, what: &'static str) -> Result<String, JsonError> {
    match value {
        Value::Text(text) => Ok(text.into_owned()),
        _ => Err(shape(what, "a text")),
    }
}

fn number(value: Value<'_>, what: &'static str) -> Result<u64, JsonError> {
    match value {
        Value::Number(number) => Ok(number),
        _ => Err(shape(what, "a whole number")),
    }
}

/// Exactly the spelling the format has: 36 characters, lower case, with hyphens.
fn uuid(value: Value<'_>, what: &'static str) -> Result<Uuid, JsonError> {
    match value {
        Value::Text(text) => parse_uuid(&text),
        _ => None,
    }
    .ok_or(shape(what, "a UUID of 36 lower-case characters"))
}

/// Reads the one spelling of a UUID.
pub(crate) fn parse_uuid(text: &str) -> Option<Uuid> {
    let lower = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    if lower { Uuid::try_parse(text).ok() } else { None }
}

fn digest(value: Value<'_>, what: &'static str) -> Result<[u8; 32], JsonError> {
    let mut bytes = [0; 32];
    match value {
        Value::Text(text)
            if !text.bytes().any(|byte| byte.is_ascii_uppercase())
                && hex::decode_to_slice(text.as_bytes(), &mut bytes).is_ok() =>
        {
            Ok(bytes)
        }
        _ => Err(shape(what, "64 lower-case hexadecimal digits")),
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_DEPTH, Value, parse};

    #[test]
    fn what_two_readers_could_take_differently_is_refused() {
        for wrong in [
            "",
            " ",
            "\u{feff}{}",
            "{}{}",
            "{} x",
            "nul",
            "tru",
            "NaN",
            "Infinity",
            "-1",
            "-0",
            "0.0",
            "1e0",
            "1E2",
            "01",
            "+1",
            ".5",
            "9007199254740992",
            "99999999999999999999",
            "'a'",
            "\"a",
            "\"\u{1}\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"\\ud800\\u0041\"",
            "\"\\ud800x\"",
            "\"\\ud800xxdc00\"",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{a:1}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,\"\\u0061\":2}",
            "[1,]",
            "[1 2]",
            "{",
            "[",
            "{\"a\"",
            "{\"a\":",
            "\u{a0}1",
            "/**/1",
            "\"\\u+123\"",
            "\u{b}1",
        ] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        assert!(parse(b"\"\xff\"").is_err());
        assert!(parse(b"\"\xed\xa0\x80\"").is_err());
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(parse(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(parse(nested(100_000).as_bytes()).is_err());
        // Objects nest as arrays do.
        let nested = |depth: usize| format!("{}0{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(parse(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(parse(nested(100_000).as_bytes()).is_err());
        let members = |count: usize| {
            let members: Vec<_> = (0..count).map(|at| format!("\"{at}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(parse(members(64).as_bytes()).is_ok());
        assert!(parse(members(65).as_bytes()).is_err());
    }

    #[test]
    fn json_is_read() {
        let text = " {\"a\" : [ 0, 9007199254740991 ,true,false,null],\r\n\t\"b\\n\":\"\\u00e9\\ud83d\\ude00\\/é\"} ";
        let list = vec![
            Value::Number(0),
            Value::Number(9_007_199_254_740_991),
            Value::Bool(true),
            Value::Bool(false),
            Value::Null,
        ];
        let read = Value::Object(vec![
            ("a".into(), Value::List(list)),
            ("b\n".into(), Value::Text("é\u{1f600}/é".into())),
        ]);
        assert_eq!(parse(text.as_bytes()), Ok(read));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, wrong) in [
            ("-1", "a negative number"),
            ("+1", "not a value"),
            ("\"\\udc00\\udc00\"", "half of a surrogate pair"),
            ("\"\\ud800\"", "half of a surrogate pair"),
        ] {
            let said = parse(text.as_bytes()).map(|_| ()).map_err(|error| error.to_string());
            assert!(said.as_ref().is_err_and(|said| said.ends_with(wrong)), "{text}: {said:?}");
        }
    }
}
