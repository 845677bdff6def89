//! What bodies, headers and documents look like, for the OpenAPI document.
//!
//! The domain's types do not know HTTP, so their shapes are written down here a second time. Lists of codes
//! come from the domain itself, and a test holds the fields against what the domain reads.

mod codes;
mod command;
mod document;
mod header;
mod model;

pub use codes::*;
pub use command::*;
pub use document::*;
pub use header::*;
pub use model::*;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::de::DeserializeOwned;
    use serde_json::json;
    use utoipa::PartialSchema;

    /// The fields that `T` reads, out of its complaint about one it does not know.
    fn read_by<T: DeserializeOwned>() -> BTreeSet<String> {
        let error = serde_json::from_value::<T>(json!({ "no such field": 0 })).err();
        let message = error.expect("an unknown field is refused").to_string();
        let (_, expected) = message.split_once("expected").expect("what was expected");
        expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    /// The fields that the document describes, without the id the edge takes for itself.
    fn described_by<S: PartialSchema>() -> BTreeSet<String> {
        let schema = serde_json::to_value(S::schema()).expect("a schema");
        let fields = schema["properties"].as_object().expect("properties");
        fields.keys().filter(|name| *name != "id").cloned().collect()
    }

    #[test]
    fn the_document_describes_what_is_read() {
        macro_rules! alike {
            ($($schema:ident = $read:ty;)*) => {$(
                assert_eq!(described_by::<super::$schema>(), read_by::<$read>(), stringify!($schema));
            )*};
        }
        alike! {
            HumanName = domain::value::HumanName;
            ContactPoint = domain::value::ContactPoint;
            Identifier = domain::value::Identifier;
            Address = domain::value::Address;
            RequestedTime = domain::value::RequestedTime;
            RegisterPatient = domain::patient::RegisterPatient;
            EditDemographics = domain::patient::EditDemographics;
            EditContacts = domain::patient::EditContacts;
            EditIdentifiers = domain::patient::EditIdentifiers;
            DeactivatePatient = domain::patient::DeactivatePatient;
            PlaceHold = crate::http::custody::NewHold;
            ReleaseHold = crate::http::custody::Release;
            Erase = domain::custody::Erase;
            PatientSearch = crate::http::patients::Search;
            BookAppointment = domain::appointment::BookAppointment;
            RescheduleAppointment = domain::appointment::RescheduleAppointment;
            CancelAppointment = domain::appointment::CancelAppointment;
            EnteredInError = domain::appointment::EnteredInError;
            OpenWound = domain::wound::OpenWound;
            RejectScan = crate::http::wounds::Rejection;
            WithdrawMeasurement = crate::http::wounds::Withdrawal;
            CloseWound = domain::wound::CloseWound;
            ModelReason = crate::http::models::Reason;
            ModelCard = domain::model::CardParts;
            CardMetrics = domain::model::CardMetrics;
            ContourError = domain::model::ContourError;
            ModelReference = domain::model::Reference;
            NewAccount = crate::http::accounts::NewAccount;
            GrantRole = domain::account::GrantRole;
            RevokeRole = domain::account::RevokeRole;
            DisableAccount = domain::account::DisableAccount;
        }
    }
}
