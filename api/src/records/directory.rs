//! The directory, for reading: practitioners and locations. A look at it is not recorded, because it holds nothing of any
//! patient; so what may come out this way is a closed list.
//!
//! Whoever adds a document to that list says so here, and nothing else passes as an [`Entry`]:
//!
//! ```compile_fail
//! fn slipped(_: api::records::Entry<projections::read_models::PatientDocument>) {}
//! ```

use std::ops::Deref;

use commands::policy::may;
use domain::{LocationId, PractitionerId};
use projections::read_models::{
    Listing, LocationEntry, LocationSearch, Page, PractitionerDocument, PractitionerSearch,
    ReadModel,
};

use super::Records;
use super::denied::RecordOf;
use super::error::RecordsError;
use super::look::Look;

/// What is asked of whoever looks something up.
type LookUp = Look<may::ReadDirectory>;

/// A document that holds nothing of any patient. The list of them is closed.
pub trait OfNoPatient: listed::Listed {}

impl<T: listed::Listed> OfNoPatient for T {}

mod listed {
    use projections::read_models::{LocationEntry, PractitionerDocument};

    /// The list.
    pub trait Listed {}

    impl Listed for PractitionerDocument {}
    impl Listed for LocationEntry {}
}

/// Something of the directory. It may be shown without a record of the look.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<T: OfNoPatient>(T);

impl<T: OfNoPatient> Deref for Entry<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: OfNoPatient> Entry<T> {
    /// The document itself, for whoever makes an answer of it.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl Records {
    /// One practitioner.
    ///
    /// # Errors
    /// When there is none, or the caller may not look.
    #[tracing::instrument(name = "read", level = "debug", skip_all, fields(correlation.id = %look.correlation_id, stream.type = "practitioner", read = "practitioner"))]
    pub async fn practitioner(
        &self,
        look: &LookUp,
        id: PractitionerId,
    ) -> Result<Entry<PractitionerDocument>, RecordsError> {
        let seen = self.enter(look, ReadModel::PRACTITIONERS, RecordOf::Nobody).await?;
        let found = self.models.practitioner(id, seen).await?;
        found.map(Entry).ok_or(RecordsError::NotFound { what: "practitioner" })
    }

    /// The practitioners who match, by id.
    ///
    /// # Errors
    /// As [`Records::practitioner`].
    #[tracing::instrument(name = "read", level = "debug", skip_all, fields(correlation.id = %look.correlation_id, stream.type = "practitioner", read = "practitioner-list"))]
    pub async fn search_practitioners(
        &self,
        look: &LookUp,
        search: &PractitionerSearch,
        page: &Page,
    ) -> Result<Listing<Entry<PractitionerDocument>>, RecordsError> {
        self.enter(look, ReadModel::PRACTITIONERS, RecordOf::Nobody).await?;
        Ok(entries(self.models.search_practitioners(search, page).await?))
    }

    /// One location, with the time zone of its site where it has none of its own.
    ///
    /// # Errors
    /// As [`Records::practitioner`].
    #[tracing::instrument(name = "read", level = "debug", skip_all, fields(correlation.id = %look.correlation_id, stream.type = "location", read = "location"))]
    pub async fn location(
        &self,
        look: &LookUp,
        id: LocationId,
    ) -> Result<Entry<LocationEntry>, RecordsError> {
        let seen = self.enter(look, ReadModel::LOCATIONS, RecordOf::Nobody).await?;
        let found = self.models.location(id, seen).await?;
        found.map(Entry).ok_or(RecordsError::NotFound { what: "location" })
    }

    /// The locations that match, by id.
    ///
    /// # Errors
    /// As [`Records::practitioner`].
    #[tracing::instrument(name = "read", level = "debug", skip_all, fields(correlation.id = %look.correlation_id, stream.type = "location", read = "location-list"))]
    pub async fn search_locations(
        &self,
        look: &LookUp,
        search: &LocationSearch,
        page: &Page,
    ) -> Result<Listing<Entry<LocationEntry>>, RecordsError> {
        self.enter(look, ReadModel::LOCATIONS, RecordOf::Nobody).await?;
        Ok(entries(self.models.search_locations(search, page).await?))
    }
}

fn entries<T: OfNoPatient>(listing: Listing<T>) -> Listing<Entry<T>> {
    let Listing { items, next } = listing;
    Listing { items: items.into_iter().map(Entry).collect(), next }
}
