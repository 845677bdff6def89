//! How documents write down ids and instants: as text, alike in Mongo, in Redis and in JSON.

/// Ids and codes by their own text form. (BSON would make opaque binary of a UUID.)
pub(crate) mod plain {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        // The text may be about a person, so the error does not repeat it.
        text.parse().map_err(|_| D::Error::custom("a stored value has an unknown form"))
    }
}

/// As [`plain`], for what may be absent.
pub(crate) mod optional {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| {
                text.parse().map_err(|_| D::Error::custom("a stored value has an unknown form"))
            })
            .transpose()
    }
}

/// As [`instant`], for what may be absent.
pub(crate) mod optional_instant {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::instant::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        Option::<Timestamp>::deserialize(deserializer)
    }
}

/// Instants in UTC with six digits of a second: always of one length, so that text order is time order.
pub(crate) mod instant {
    use jiff::Timestamp;
    use jiff::fmt::temporal::DateTimePrinter;
    use serde::{Deserialize, Deserializer, Serializer};

    /// The text of an instant.
    pub(crate) fn text(instant: Timestamp) -> String {
        const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(6));
        PRINTER.timestamp_to_string(&instant)
    }

    pub(crate) fn serialize<S: Serializer>(
        value: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        Timestamp::deserialize(deserializer)
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn text_order_is_time_order() {
            let texts: Vec<String> =
                ["2026-03-08T08:00:00Z", "2026-03-08T08:00:00.5Z", "2026-03-08T08:00:01Z"]
                    .iter()
                    .map(|text| super::text(text.parse().expect("a valid instant")))
                    .collect();
            assert!(texts.is_sorted());
            assert_eq!(texts[1], "2026-03-08T08:00:00.500000Z");
        }
    }
}
