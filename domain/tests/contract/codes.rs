//! Every list of codes: they are stored for good and exchanged with others, so each is reviewed.

use std::fmt::{Debug, Display, Write};
use std::str::FromStr;

use domain::access::AccessOutcome;
use domain::account::{AccountKind, Role};
use domain::appointment::{AppointmentStatus, CancellationReason, VisitStatus};
use domain::custody::{Authority, ErasureReason, HoldReason, ReleaseReason, Store};
use domain::disclosure::DisclosureOutcome;
use domain::location::{ClosingReason, LocationKind};
use domain::model::ModelStatus;
use domain::patient::DeactivationReason;
use domain::practitioner::LeavingReason;
use domain::value::{
    AddressUse, ContactSystem, ContactUse, Fold, Gender, IdentifierUse, NameUse, UnknownCode,
};
use domain::wound::healing::{Exudate, WorstTissue};
use domain::wound::{
    AnatomicalSite, Axis, Boundary, CloseReason, Etiology, Laterality, RejectionReason,
    WithdrawalReason,
};
use insta::assert_snapshot;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::events::in_snapshots;

/// The codes of a list, each read back as text and as JSON.
fn codes<C>(all: &[C], as_str: fn(C) -> &'static str) -> String
where
    C: Copy + Debug + PartialEq + Display + FromStr<Err = UnknownCode>,
    C: Serialize + DeserializeOwned,
{
    let codes: Vec<&str> = all.iter().map(|code| as_str(*code)).collect();
    for (code, text) in all.iter().zip(&codes) {
        assert_eq!((&code.to_string(), text.parse().as_ref()), (&(*text).to_owned(), Ok(code)));
        let json = serde_json::to_string(code).expect("serialisable");
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<C>(&json).ok(), Some(*code));
        assert!(
            text.to_uppercase().parse::<C>().is_err() && format!("{text} ").parse::<C>().is_err()
        );
    }
    let unknown = "".parse::<C>().expect_err("no code");
    assert_eq!(unknown.allowed, codes.join(", "));
    codes.join(" ")
}

macro_rules! table {
    ($($list:ident),* $(,)?) => {{
        let mut table = String::new();
        $(writeln!(table, "{:<20} {}", stringify!($list), codes($list::ALL, $list::as_str)).expect("text");)*
        table
    }};
}

#[test]
fn the_lists_of_codes() {
    let table = table![
        AccessOutcome,
        AccountKind,
        AddressUse,
        AnatomicalSite,
        AppointmentStatus,
        Authority,
        Axis,
        Boundary,
        CancellationReason,
        CloseReason,
        ClosingReason,
        ContactSystem,
        ContactUse,
        DeactivationReason,
        DisclosureOutcome,
        ErasureReason,
        Etiology,
        Exudate,
        Fold,
        Gender,
        HoldReason,
        IdentifierUse,
        Laterality,
        LeavingReason,
        LocationKind,
        ModelStatus,
        NameUse,
        RejectionReason,
        ReleaseReason,
        Role,
        Store,
        VisitStatus,
        WithdrawalReason,
        WorstTissue,
    ];
    in_snapshots(|| assert_snapshot!("codes", table));
}
