//! Closed lists of codes, as the domain has them, and bytes.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $list:ty;)*) => {$(
        $(#[doc = $doc])*
        pub struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let codes = <$list>::ALL.iter().map(|code| code.as_str());
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .description(Some(concat!($($doc),*).trim()))
                    .enum_values(Some(codes))
                    .into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )*};
}

codes! {
    /// Administrative gender, as in FHIR.
    Gender = domain::value::Gender;
    /// What a name is used for, as in FHIR.
    NameUse = domain::value::NameUse;
    /// The means of contact, as in FHIR.
    ContactSystem = domain::value::ContactSystem;
    /// What a contact is used for, as in FHIR.
    ContactUse = domain::value::ContactUse;
    /// What an identifier is used for, as in FHIR.
    IdentifierUse = domain::value::IdentifierUse;
    /// What an address is used for, as in FHIR.
    AddressUse = domain::value::AddressUse;
    /// Which of two equal local times is meant on the night the clocks go back.
    Fold = domain::value::Fold;
    /// Why a record is taken out of use.
    DeactivationReason = domain::patient::DeactivationReason;
    /// Why an appointment is cancelled.
    CancellationReason = domain::appointment::CancellationReason;
    /// How an appointment stands.
    AppointmentStatus = domain::appointment::AppointmentStatus;
    /// Why a record is held.
    HoldReason = domain::custody::HoldReason;
    /// Why a hold is released.
    ReleaseReason = domain::custody::ReleaseReason;
    /// Why a record is erased.
    ErasureReason = domain::custody::ErasureReason;
    /// On whose authority a hold is placed or released, or a record is erased.
    Authority = domain::custody::Authority;
    /// A store of what is derived from the log.
    Store = domain::custody::Store;
    /// Where on the body a wound is.
    AnatomicalSite = domain::wound::AnatomicalSite;
    /// On which side of the body a wound is.
    Laterality = domain::wound::Laterality;
    /// What caused a wound.
    Etiology = domain::wound::Etiology;
    /// Why a scan was not measured.
    RejectionReason = domain::wound::RejectionReason;
    /// Why a measurement was withdrawn. `model-withdrawn` is the worker's.
    WithdrawalReason = domain::wound::WithdrawalReason;
    /// How a model stands.
    ModelStatus = domain::model::ModelStatus;
    /// Why an episode was closed.
    CloseReason = domain::wound::CloseReason;
    /// Whether a person or a program acts.
    AccountKind = domain::account::AccountKind;
    /// What an account may do, in one word.
    Role = domain::account::Role;
}

macro_rules! bytes {
    ($($(#[doc = $doc:literal])* $name:ident;)*) => {$(
        $(#[doc = $doc])*
        pub struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
                    .description(Some(concat!($($doc),*).trim()))
                    .into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )*};
}

bytes! {
    /// The bytes of a capture.
    CaptureBytes;
    /// The bytes of a model's package.
    PackageBytes;
}
