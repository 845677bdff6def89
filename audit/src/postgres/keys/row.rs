//! A row of the table of data keys, and the one way from it to a key.

use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::super::lenient::column;
use super::error::DataKeyError;
use crate::seal::{Binding, KeyWrap, SealError, SubjectKey, SubjectKind, WRAP_VERSION};

/// A row of the table of data keys, nothing of which is believed yet.
pub struct StoredKey {
    /// The id by which statements should name the key.
    pub key_id: Option<Uuid>,
    /// Whose key it should be.
    pub subject: Option<Uuid>,
    kind: Option<String>,
    version: Option<i16>,
    kek_id: String,
    wrapped: Option<Vec<u8>>,
}

impl StoredKey {
    /// The columns of a row of `keyring.data_keys k`.
    pub const COLUMNS: &str = "k.key_id, k.subject, k.kind, k.wrap_version, k.kek_id, k.wrapped";

    /// Reads the columns, which are the first of a row. No constraint and no type is sure to be there still: what is null or
    /// of another type is no genuine row's, and no failure of the database.
    #[must_use]
    pub fn read(row: &PgRow) -> StoredKey {
        StoredKey {
            key_id: column(row, 0),
            subject: column(row, 1),
            kind: column(row, 2),
            version: column(row, 3),
            kek_id: column(row, 4).unwrap_or_default(),
            wrapped: column(row, 5),
        }
    }

    /// The wrap, if the row has one.
    #[must_use]
    pub fn wrapped(&self) -> Option<&[u8]> {
        self.wrapped.as_deref()
    }

    /// The kind of subject, if it is one.
    #[must_use]
    pub fn kind(&self) -> Option<SubjectKind> {
        self.kind.as_deref().and_then(SubjectKind::parse)
    }

    /// The place for which alone the wrap may open: the one in which the row stands.
    ///
    /// # Errors
    /// When the row does not say which.
    pub fn place<'a>(&self, origin: &'a str) -> Result<Binding<'a>, DataKeyError> {
        let unbound = DataKeyError::Unbound { key_id: self.key_id.unwrap_or_else(Uuid::max) };
        match (self.kind(), self.subject, self.key_id) {
            (Some(kind), Some(subject), Some(key_id)) => {
                Ok(Binding { origin, kind, subject, key_id })
            }
            _ => Err(unbound),
        }
    }

    /// Opens the wrap for the place that its row stands in. What opens is genuine: the wrap binds log, kind, subject and id.
    ///
    /// # Errors
    /// When it does not open, or is not bound.
    pub fn open(&self, wrap: &dyn KeyWrap, origin: &str) -> Result<SubjectKey, DataKeyError> {
        let place = self.place(origin)?;
        let Binding { kind, key_id, .. } = place;
        if self.version != Some(WRAP_VERSION) {
            return Err(DataKeyError::Unbound { key_id });
        }
        let opened = wrap.unwrap(&self.kek_id, &place, self.wrapped.as_deref().unwrap_or_default());
        let key = opened.map_err(|source| DataKeyError::Unwrap { key_id, source })?;
        Ok(SubjectKey { id: key_id, kind, key })
    }

    /// Opens a wrap of version 1, which binds the id of the key alone, for a caller that has a statement that names
    /// subject, kind and key. What else the row says does not count.
    ///
    /// # Errors
    /// When the row has another key, or it does not open.
    pub fn open_of_before(
        &self,
        wrap: &dyn KeyWrap,
        named: &Binding<'_>,
    ) -> Result<SubjectKey, DataKeyError> {
        let Binding { kind, subject, key_id, .. } = *named;
        if (self.subject, self.key_id) != (Some(subject), Some(key_id)) {
            return Err(DataKeyError::OtherKey { key_id });
        }
        let opened = match self.wrapped.as_deref() {
            Some(wrapped) if self.is_of_before() => wrap.unwrap_v1(&self.kek_id, key_id, wrapped),
            _ => Err(SealError::Refused),
        };
        let key = opened.map_err(|source| DataKeyError::Unwrap { key_id, source })?;
        Ok(SubjectKey { id: key_id, kind, key })
    }

    /// Whether the wrap says that it binds the id of the key alone.
    #[must_use]
    pub fn is_of_before(&self) -> bool {
        self.version == Some(1)
    }
}
