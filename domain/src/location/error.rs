//! Why a command on a location is refused.

use crate::stream::{Refusal, RefusalKind};

/// Why a command on a location is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// The stream already holds a location.
    #[error("a location is already registered under this id: use another id, or edit the location")]
    AlreadyRegistered,
    /// The stream holds no location.
    #[error("no location is registered under this id: register the location first")]
    NotRegistered,
    /// The location is out of use.
    #[error("the location is out of use already: there is nothing to do")]
    AlreadyInactive,
    /// The location is in use.
    #[error("the location is in use: there is nothing to do")]
    AlreadyActive,
    /// A site at another site.
    #[error("a site is at no other site: leave the parent out")]
    SiteWithParent,
    /// A parent that there is not.
    #[error("the parent is not registered: register the site first")]
    UnknownParent,
    /// A parent that is out of use.
    #[error("the parent is out of use: bring it back into use first, or name another")]
    InactiveParent,
    /// A parent that is no site.
    #[error("the parent is not a site: a location is at a site")]
    ParentIsNoSite,
    /// A zone that is not in the time zone database.
    #[error("the time zone is not known: give an IANA name, such as America/Chicago")]
    UnknownZone,
    /// Neither a zone nor a site that has one.
    #[error("nothing tells what the clock on the wall shows: give a time zone or a site")]
    ZoneRequired,
    /// An edit that edits nothing.
    #[error("the edit changes nothing: send only what differs from the entry")]
    NothingChanged,
    /// The reason says "other" and no note says more.
    #[error("the reason `other` needs a note that says more")]
    NoteRequired,
}

impl Refusal for LocationError {
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotRegistered => RefusalKind::Missing("location"),
            Self::AlreadyRegistered
            | Self::AlreadyInactive
            | Self::AlreadyActive
            | Self::InactiveParent
            | Self::NothingChanged => RefusalKind::Conflict,
            Self::SiteWithParent
            | Self::UnknownParent
            | Self::ParentIsNoSite
            | Self::UnknownZone
            | Self::ZoneRequired
            | Self::NoteRequired => RefusalKind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::AlreadyRegistered => "already-registered",
            Self::NotRegistered => "not-registered",
            Self::AlreadyInactive => "already-inactive",
            Self::AlreadyActive => "already-active",
            Self::SiteWithParent => "site-with-parent",
            Self::UnknownParent => "unknown-parent",
            Self::InactiveParent => "inactive-parent",
            Self::ParentIsNoSite => "parent-is-no-site",
            Self::UnknownZone => "unknown-time-zone",
            Self::ZoneRequired => "time-zone-required",
            Self::NothingChanged => "nothing-changed",
            Self::NoteRequired => "note-required",
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::AlreadyRegistered
            | Self::NotRegistered
            | Self::AlreadyInactive
            | Self::AlreadyActive
            | Self::NothingChanged => None,
            Self::SiteWithParent
            | Self::UnknownParent
            | Self::InactiveParent
            | Self::ParentIsNoSite => Some("parent_id"),
            Self::UnknownZone | Self::ZoneRequired => Some("zone"),
            Self::NoteRequired => Some("note"),
        }
    }
}
